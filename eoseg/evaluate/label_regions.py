"""Wrong labels of rasters: connected regions that the network is sure are another class.

Two passes over what the network said, which is kept on disk in between: the first finds from which
probability on it is sure of a class, the second the regions. Memory does not grow with the scenes.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eoseg.evaluate.confident import (
    NOT_CONFIDENT,
    ClassThresholds,
    confident_classes,
    confident_joint,
    margins,
)
from eoseg.evaluate.out_of_sample import Answers, TrainedRun, answers, held_out
from eoseg.geo.grid import Grid
from eoseg.geo.regions import regions_of
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

if TYPE_CHECKING:
    from eoseg.datasets.chips import Chip

_STRIP_ROWS = 1024
"""Rows of a region that are looked at together, about; a suspect region is cut where two such strips meet."""


@dataclass(frozen=True, slots=True)
class SuspectRegion:
    """Pixels of one label that the network takes for one other class."""

    scene: str
    split: str
    grid: Grid
    """Of the scene."""
    shape: object
    """Polygon in the CRS of the scene."""
    given: int
    proposed: int
    pixels: int
    margin: float
    """Mean over the pixels."""
    own: float
    """Mean probability of the given class."""


@dataclass(frozen=True, eq=False)
class RasterJudgement:
    """What was found."""

    regions: list[SuspectRegion]
    """The most evidence first: pixels times by how much the other class is likelier."""
    joint: NDArray[np.int64]
    """`(K, K)` pixels."""
    labels: NDArray[np.int64]
    """`(K,)` pixels."""


def judge_rasters(runs: Sequence[TrainedRun], *, device: str) -> RasterJudgement:
    """Find the suspect regions of the splits that were not trained on.

    A region counts if it is three pixels wide somewhere: narrower ones are borders, of which no one knows.

    Args:
        runs: One run, or all folds.
        device: Where the networks run.
    """
    classes = len(runs[0].data.schema.classes)
    thresholds = ClassThresholds(classes)
    with tempfile.TemporaryFile(prefix="eoseg-") as file:
        kept: list[tuple[str, Chip, Grid]] = []
        for run, stage, batch in _batches(runs, device):
            for place, chip in enumerate(batch.chips or ()):
                kept.append((stage, chip, _grid(run, chip)))
                _keep(file, thresholds, batch, place, chip)
        file.seek(0)
        joint = np.zeros((classes, classes), np.int64)
        regions: list[SuspectRegion] = []
        for (stage, scene, _, _), entries in groupby(kept, key=_strip_of):
            strip = list(entries)
            regions += _strip(file, strip, thresholds.values, joint, (stage, scene, strip[0][2]))
    regions.sort(key=lambda region: region.pixels * region.margin)
    return RasterJudgement(regions, joint, thresholds.counts)


def _batches(runs: Sequence[TrainedRun], device: str) -> Iterator[tuple[TrainedRun, str, Answers]]:
    for run in runs:
        for stage in held_out(run, of_several=len(runs) > 1):
            for batch in answers(run, stage, device=device):
                yield run, stage, batch


def _grid(run: TrainedRun, chip: "Chip") -> Grid:
    from eoseg.datasets.datamodule import SceneData

    assert isinstance(run.data, SceneData)  # chips come from scenes
    return run.data.index.entry(chip.scene_id).grid


def _keep(file: IO[bytes], thresholds: ClassThresholds, batch: Answers, place: int, chip: "Chip") -> None:
    """Add the pixels of a chip that count to the thresholds, and write them."""
    rows, cols = chip.counted.slices_in(chip.window)
    part = np.rint(batch.probabilities[place][:, rows, cols] * 255).astype(np.uint8)  # (K, h, w)
    given = batch.given[place][rows, cols].astype(np.uint8)
    known = given != IGNORE
    thresholds.add(part[:, known].T / np.float32(255), given[known])
    file.write(given.tobytes())
    file.write(part.tobytes())


def _strip_of(entry: "tuple[str, Chip, Grid]") -> tuple[str, str, Window, int]:
    stage, chip, _ = entry
    return stage, chip.scene_id, chip.region, (chip.counted.row - chip.region.row) // _STRIP_ROWS


def _strip(
    file: IO[bytes],
    strip: "Sequence[tuple[str, Chip, Grid]]",
    thresholds: NDArray[np.float64],
    joint: NDArray[np.int64],
    where: tuple[str, str, Grid],
) -> list[SuspectRegion]:
    """The suspect regions of some chips that lie together; adds to the joint."""
    counted = [chip.counted for _, chip, _ in strip]
    area = Window.from_stops(
        min(part.row for part in counted),
        min(part.col for part in counted),
        max(part.row_stop for part in counted),
        max(part.col_stop for part in counted),
    )
    size, classes = (area.height, area.width), len(thresholds)
    codes, margin, own = np.zeros(size, np.uint16), np.zeros(size, np.float32), np.zeros(size, np.float32)
    for part in counted:
        count = part.height * part.width
        given = np.frombuffer(file.read(count), np.uint8).astype(np.int64)
        found = np.frombuffer(file.read(count * classes), np.uint8).reshape(classes, count).T / np.float32(
            255
        )
        known = given != IGNORE
        confident = np.full(count, NOT_CONFIDENT, np.int64)
        confident[known] = confident_classes(found[known], thresholds)
        joint += confident_joint(given[known], confident[known], classes)
        wrong = known & (confident != NOT_CONFIDENT) & (confident != given)
        inside = part.slices_in(area)
        codes[inside] = np.where(wrong, 1 + given * classes + confident, 0).reshape(part.height, part.width)
        values = np.zeros((2, count), np.float32)
        values[0, wrong] = margins(found[wrong], given[wrong])
        values[1, wrong] = found[wrong, given[wrong]]
        margin[inside], own[inside] = values.reshape(2, part.height, part.width)
    return _regions(codes, margin, own, area, classes, where)


def _regions(
    codes: NDArray[np.uint16],
    margin: NDArray[np.float32],
    own: NDArray[np.float32],
    area: Window,
    classes: int,
    where: tuple[str, str, Grid],
) -> list[SuspectRegion]:
    stage, scene, grid = where
    shapes, values, numbers = regions_of(codes, grid.crop(area))
    held, count = numbers >= 0, len(shapes)
    pixels = np.bincount(numbers[held], minlength=count)
    cores = np.bincount(numbers[held], weights=_cores(codes)[held], minlength=count)
    sums = [np.bincount(numbers[held], weights=layer[held], minlength=count) for layer in (margin, own)]
    return [
        SuspectRegion(
            scene,
            stage,
            grid,
            shapes[number],
            int(values[number] - 1) // classes,
            int(values[number] - 1) % classes,
            int(pixels[number]),
            float(sums[0][number] / pixels[number]),
            float(sums[1][number] / pixels[number]),
        )
        for number in np.flatnonzero(cores > 0).tolist()
    ]


def _cores(codes: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Pixels whose eight neighbours have the same code."""
    padded = np.pad(codes, 1)
    height, width = codes.shape
    same = codes > 0
    for row in range(3):
        for col in range(3):
            same &= padded[row : row + height, col : col + width] == codes
    return np.asarray(same)
