"""Figures of a run from the files that hold them: its test, its validation, the evaluation of its map."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError
from eoseg.evaluate.sections import Ends
from eoseg.metrics import Scores, score
from eoseg.recipe import Recipe
from eoseg.report.run import Run, Tested, Values, read_values

type Kind = Literal["test", "validation", "map"]

FIGURE_TITLES = {
    "oa": "overall accuracy",
    "miou": "mean IoU",
    "kappa": "kappa",
    "mean_f1": "mean F1",
    "balanced_accuracy": "balanced accuracy",
    "change_f1": "F1 of change",
    "micro_f1": "F1 over all labels",
    "labels_right": "labels right",
    "rmse": "RMSE",
    "mae": "MAE",
    "bias": "bias",
    "r2": "R2",
}
"""Overall figures of runs in the order in which reports show them."""

LONG_NAMES = {"oa": "overall_accuracy", "miou": "mean_iou"}
"""Names of figures in an evaluation, where a run calls them otherwise."""


@dataclass(frozen=True, eq=False)
class Measure:
    """Figures of one part of the data, and where they come from."""

    kind: Kind
    title: str
    unit: str
    """What was counted: pixels or chips."""
    figures: Mapping[str, float | None]
    """Overall figures by the names of `FIGURE_TITLES`."""
    matrix: NDArray[np.int64] | None = None
    """`(K, K)`, rows reference, columns map; None where there is none."""
    scores: Scores | None = None
    """What follows from the matrix."""
    ends: Ends = field(default_factory=dict)
    """95 % intervals by the names that `Scores` has."""
    notes: tuple[str, ...] = ()
    """What a reader must know beside the figures."""
    labels: tuple[tuple[str, tuple[int, ...], float | None], ...] = ()
    """Of several labels per chip: name, counts (right, missed, false, rightly absent) and F1."""
    source: str = ""
    """The file or folder that they were read from."""

    def interval(self, name: str) -> tuple[float, float] | None:
        """The 95 % interval of an overall figure by its name in `figures`."""
        return self.ends.get(LONG_NAMES.get(name, name))


def read_test_measure(run: Run, tested: Tested) -> Measure:
    """The figures of a test.

    Raises:
        DataError: A file of it cannot be read, or does not fit the checkpoint's classes.
    """
    return _read_stage(run.recipe, tested.folder, tested.figures, "test")


def read_validation_measure(run: Run) -> Measure | None:
    """The figures on the validation split after the last epoch; None where there are none."""
    if not any(name.startswith("val/") for name in _mapping(run.figures, "figures")):
        return None
    return _read_stage(run.recipe, run.folder, run.figures, "val")


def read_evaluation(path: Path, recipe: Recipe) -> tuple[Measure, Values]:
    """The figures of a map, and how they were measured.

    Args:
        path: What `eoseg evaluate --out` wrote.
        recipe: That of the checkpoint, whose classes the map must have.

    Raises:
        DataError: The file is missing or something else, or is about a map of other classes.
    """
    values = read_values(path)
    try:
        held = values["confusion_matrix"]
        names, protocol = [str(name) for name in held["classes"]], dict(values["protocol"])
        matrix = np.array(held["pixels"], np.int64)
        scores = score(matrix, names)
        ends: dict[str, tuple[float, float] | None] = {
            str(name): None if entry is None else (float(entry[0]), float(entry[1]))
            for name, entry in values["intervals"].items()
        }
        compared, ignored = int(values["compared_pixels"]), int(values["ignored_pixels"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, DataError) as error:
        raise DataError(
            f"'{path}' is no evaluation of a map ({error}). Use what 'eoseg evaluate MAP REFERENCE --out "
            "FILE.json' wrote."
        ) from error
    if names != recipe.schema.class_names:
        raise DataError(
            f"'{path}' is about a map of {', '.join(names)}; the checkpoint has "
            f"{', '.join(recipe.schema.class_names) or 'no classes'}. Use an evaluation of its own map."
        )
    reason = values.get("interval_reason")
    between = (
        f"Intervals: {reason}."
        if reason
        else f"Intervals: {protocol.get('interval', 'bootstrap')}, {protocol.get('blocks')} blocks of "
        f"{protocol.get('block_size')} px, {protocol.get('draws')} draws."
    )
    notes = (f"{compared:,} pixels compared; {ignored:,} without label left out.", between)
    title = f"Map {Path(str(protocol.get('map', 'map'))).name}"
    measure = Measure(
        "map",
        title,
        "pixels",
        _figures_of(scores),
        matrix=matrix,
        scores=scores,
        ends=ends,
        notes=notes,
        source=str(path),
    )
    return measure, protocol


def read_matrix(path: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Read a confusion matrix that a run wrote as CSV.

    Args:
        path: A file such as confusion_test.csv.
        names: The classes that it should have.

    Raises:
        DataError: The file cannot be read, or is about other classes.
    """
    rows = _read_csv(path)
    try:
        found, cells = rows[0][1:], np.array([row[1:] for row in rows[1:]], np.int64)
    except (IndexError, ValueError) as error:
        raise DataError(f"'{path}' is no confusion matrix ({error}). Run 'eoseg test' again.") from error
    if found != list(names) or cells.shape != (len(names), len(names)):
        raise DataError(
            f"'{path}' has the classes {', '.join(found)}; the checkpoint has {', '.join(names)}. Run 'eoseg "
            "test' again."
        )
    return cells


def _read_stage(recipe: Recipe, folder: Path, values: Values, stage: Literal["test", "val"]) -> Measure:
    logged = _mapping(values, "figures")
    figures: dict[str, float | None] = {
        name: float(logged[f"{stage}/{name}"]) for name in FIGURE_TITLES if f"{stage}/{name}" in logged
    }
    names = recipe.schema.class_names
    matrix_path, label_path = folder / f"confusion_{stage}.csv", folder / f"labels_{stage}.csv"
    matrix = read_matrix(matrix_path, names) if matrix_path.is_file() and names else None
    chips = recipe.task == "ClassificationTask"
    if stage == "test":
        notes: tuple[str, ...] = ()
    else:
        chosen = recipe.provenance.get("chosen_by") or "a figure of it"
        notes = (f"The validation split chose the checkpoint ({chosen}), so these figures flatter.",)
    ends, told = read_intervals(values, stage)
    return Measure(
        "test" if stage == "test" else "validation",
        "Test split" if stage == "test" else "Validation split, last epoch",
        "chips" if chips else "pixels",
        figures,
        matrix=matrix,
        scores=None if matrix is None else score(matrix, names),
        ends=ends,
        notes=(*notes, *told),
        labels=_read_labels(label_path) if label_path.is_file() else (),
        source=str(folder),
    )


def read_intervals(values: Values, stage: str) -> tuple[Ends, tuple[str, ...]]:
    """The intervals that figures.json may hold, by the names of `Scores`, and how they came about.

    Raises:
        DataError: They are there, and not as eoseg writes them.
    """
    record = _mapping(values, "intervals")
    held = record.get("values", record)
    ends: dict[str, tuple[float, float] | None] = {}
    try:
        for name, entry in held.items():
            if isinstance(entry, (list, Mapping)):
                low, high = (entry["low"], entry["high"]) if isinstance(entry, Mapping) else entry
                short = str(name).removeprefix(f"{stage}/")
                ends[LONG_NAMES.get(short, short)] = (float(low), float(high))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"The intervals of figures.json are not as eoseg writes them ({error}). Run 'eoseg test' again."
        ) from error
    told = [record["reason"]] if record.get("reason") else []
    if ends and record.get("blocks"):
        told.append(f"bootstrap over {record['blocks']} spatial blocks, {record.get('draws')} draws")
    return ends, tuple(f"Intervals: {line}." for line in told)


def _read_labels(path: Path) -> tuple[tuple[str, tuple[int, ...], float | None], ...]:
    try:
        return tuple(
            (row[0], tuple(int(cell) for cell in row[1:5]), float(row[5]) if row[5] else None)
            for row in _read_csv(path)[1:]
        )
    except (IndexError, ValueError) as error:
        raise DataError(f"'{path}' is no table of labels ({error}). Run 'eoseg test' again.") from error


def _read_csv(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{path}' cannot be read ({error}). Run 'eoseg test' again.") from error


def _figures_of(scores: Scores) -> dict[str, float | None]:
    names = ("oa", "miou", "kappa", "mean_f1", "balanced_accuracy")
    return {name: getattr(scores, LONG_NAMES.get(name, name)) for name in names}


def _mapping(values: Values, name: str) -> Mapping[str, Any]:
    held = values.get(name)
    return held if isinstance(held, Mapping) else {}
