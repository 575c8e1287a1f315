"""Labels that are judged as wholes: chips, rows of a table, polygons."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eoseg.evaluate.confident import Judgement, judge
from eoseg.evaluate.out_of_sample import Answers, TrainedRun, answers, held_out
from eoseg.geo.grid import Grid
from eoseg.geo.vectors import VectorLabels
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

if TYPE_CHECKING:
    from eoseg.datasets.datamodule import SceneData


@dataclass(eq=False)
class Units:
    """Labels with what the network says of each."""

    names: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    probabilities: list[NDArray[np.float64]] = field(default_factory=list)
    """`(K,)` each."""
    pixels: list[int] = field(default_factory=list)
    places: list[tuple[Grid, Window] | None] = field(default_factory=list)
    """Grid of the scene and window in it, where they are known."""

    def judge(self) -> Judgement:
        """Which of the labels are probably wrong."""
        return judge(np.stack(self.probabilities), np.array(self.given))


def chip_units(runs: Sequence[TrainedRun], *, device: str) -> Units:
    """Chips, or rows of a table, of the splits that were not trained on."""
    units = Units()
    for run in runs:
        for stage in held_out(run, of_several=len(runs) > 1):
            for batch in answers(run, stage, device=device):
                _add(units, run, stage, batch)
    return units


def _add(units: Units, run: TrainedRun, stage: str, batch: Answers) -> None:
    flat = batch.probabilities.reshape(*batch.probabilities.shape[:2])  # rows are chips of one pixel
    given = batch.given.reshape(len(flat))
    for place in np.flatnonzero(given != IGNORE).tolist():
        units.names.append(batch.names[place])
        units.splits.append(stage)
        units.given.append(int(given[place]))
        units.probabilities.append(flat[place].astype(np.float64))
        units.pixels.append(1)
        units.places.append(_place(run, batch, place))


def _place(run: TrainedRun, batch: Answers, number: int) -> tuple[Grid, Window] | None:
    from eoseg.datasets.chip_files import ChipFileData
    from eoseg.datasets.datamodule import SceneData
    from eoseg.geo.scene import Scene

    if batch.chips is not None and isinstance(run.data, SceneData):
        chip = batch.chips[number]
        return run.data.index.entry(chip.scene_id).grid, chip.window
    if isinstance(run.data, ChipFileData):
        found = run.data.chip_list
        with Scene(found.paths[found.files.index(batch.names[number])]) as scene:
            return (scene.grid, scene.grid.window) if scene.grid.is_georeferenced else None
    return None


def polygon_units(runs: Sequence[TrainedRun], *, device: str) -> Units:
    """Label polygons, each with the mean over those of its pixels that were not trained on."""
    sums: NDArray[np.float64] | None = None
    tested: dict[int, str] = {}
    classes: NDArray[np.uint8] = np.zeros(0, np.uint8)
    for run in runs:
        data = _scenes(run)
        for stage in held_out(run, of_several=len(runs) > 1):
            for batch in answers(run, stage, device=device):
                for place, chip in enumerate(batch.chips or ()):
                    labels = data.reader.labels(chip.scene_id)
                    assert isinstance(labels, VectorLabels)  # the index has vectors
                    classes = labels.classes
                    if sums is None:
                        sums = np.zeros((len(classes), batch.probabilities.shape[1] + 1))
                    numbers = labels.read_numbers(chip.window)
                    known = (numbers >= 0) & (batch.given[place] != IGNORE)
                    held = numbers[known]
                    for number in range(batch.probabilities.shape[1]):
                        sums[:, number] += np.bincount(
                            held, batch.probabilities[place, number][known], len(classes)
                        )
                    sums[:, -1] += np.bincount(held, minlength=len(classes))
                    tested |= dict.fromkeys(np.unique(held).tolist(), stage)
    units = Units()
    for number in sorted(tested):
        assert sums is not None  # something was tested
        units.names.append(f"feature {number}")
        units.splits.append(tested[number])
        units.given.append(int(classes[number]))
        units.probabilities.append(sums[number, :-1] / sums[number, -1])
        units.pixels.append(int(sums[number, -1]))
        units.places.append(None)
    return units


def _scenes(run: TrainedRun) -> "SceneData":
    from eoseg.datasets.datamodule import SceneData

    assert isinstance(run.data, SceneData)  # the caller looked
    return run.data
