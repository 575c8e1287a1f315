"""Everything that a report is about: what lies in the run folder and beside it, or was named."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eoseg.report.area import AreaTable, read_area
from eoseg.report.measures import Measure, read_evaluation, read_test_measure, read_validation_measure
from eoseg.report.pictures import MapView, view_map
from eoseg.report.reliability import Diagram, read_diagrams
from eoseg.report.run import Run, Tested, find_test, read_run, read_test
from eoseg.report.selective import Surest, read_surest
from eoseg.report.split import SplitTable, read_split_table


@dataclass(frozen=True, slots=True)
class Sources:
    """Which files to take; what is None is looked for in the run folder and beside it."""

    test: Path | None = None
    """Folder of a test of the run."""
    map: Path | None = None
    scene: str | None = None
    """The scene that was mapped."""
    evaluation: Path | None = None
    """What `eoseg evaluate --out` wrote."""
    accuracy: Path | None = None
    """What `eoseg accuracy --out` wrote."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What is known of a run."""

    run: Run
    tested: Tested | None
    split: SplitTable | None
    measures: tuple[Measure, ...]
    """The most telling first: test, then map, and validation where there is no other."""
    evaluation: Path | None
    protocol: Mapping[str, Any]
    """How the map was evaluated; empty without an evaluation."""
    view: MapView | None
    area: AreaTable | None
    diagrams: list[Diagram]
    """Reliability on the test split, or on validation where there is no test."""
    fitted: list[Diagram]
    """Reliability on validation, before and after calibration, where there is a test beside it."""
    surest: Surest | None
    """Accuracy of the surest answers, where `diagrams` are from."""


def gather(folder: Path, sources: Sources = Sources()) -> Findings:
    """Read a run and what goes with it.

    Args:
        folder: The run folder.
        sources: Files to take instead of those that are found.

    Raises:
        ConfigError: The folder is none of a training, or the test is of another run.
        DataError: A file cannot be read, or is about something else.
        CheckpointError: The checkpoint cannot be read.
    """
    run = read_run(folder)
    tested = find_test(run) if sources.test is None else read_test(sources.test, run)
    measures: list[Measure] = [] if tested is None else [read_test_measure(run, tested)]
    evaluation = sources.evaluation or _if_there(folder / "evaluation.json")
    protocol: Mapping[str, Any] = {}
    if evaluation is not None:
        measure, protocol = read_evaluation(evaluation, run.recipe)
        measures.append(measure)
    if not measures:
        validated = read_validation_measure(run)
        measures += [] if validated is None else [validated]
    own = read_diagrams(run.figures, path=str(run.folder / "figures.json"))
    diagrams, fitted = own, list[Diagram]()
    surest = read_surest(run.figures, path=str(run.folder / "figures.json"))
    if tested is not None:
        path = str(tested.folder / "figures.json")
        diagrams, fitted = read_diagrams(tested.figures, path=path), own
        surest = read_surest(tested.figures, path=path)
    accuracy = sources.accuracy or _if_there(folder / "accuracy.json")
    map_path = sources.map or _evaluated_map(protocol) or _if_there(folder / "map.tif")
    view = None
    if map_path is not None:
        view = view_map(map_path, run.recipe, scene=sources.scene, protocol=protocol)
    return Findings(
        run,
        tested,
        read_split_table(run),
        tuple(measures),
        evaluation,
        protocol,
        view,
        None if accuracy is None else read_area(accuracy),
        diagrams,
        fitted,
        surest,
    )


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _evaluated_map(protocol: Mapping[str, Any]) -> Path | None:
    named = protocol.get("map")
    return None if not named else _if_there(Path(str(named)))
