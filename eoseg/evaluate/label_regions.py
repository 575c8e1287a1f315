"""Wrong labels of rasters: connected regions that the network is sure are another class.

What the network said is kept on disk and passed over three times: from which probability on it is sure of a
class; how many pixels of each pair of classes are wrong, and by how much the other class is likelier in as
many
pixels; which regions these make. Memory does not grow with the scenes.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eoseg.evaluate.confident import (
    ClassThresholds,
    confident_classes,
    confident_joint,
    expected_errors,
    rivals,
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
        joint, leads = _count(file, [chip for _, chip, _ in kept], thresholds.values)
        least = _least_leads(leads, expected_errors(joint, thresholds.counts))
        file.seek(0)
        regions: list[SuspectRegion] = []
        for (stage, scene, _, _), entries in groupby(kept, key=_strip_of):
            strip = list(entries)
            regions += _strip(file, strip, least, (stage, scene, strip[0][2]))
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


def _read(
    file: IO[bytes], part: Window, classes: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_]]:
    """Labels `(n,)`, probabilities in 255ths `(n, K)`, and which pixels have a label `(n,)`, of a chip."""
    count = part.height * part.width
    given = np.frombuffer(file.read(count), np.uint8).astype(np.int64)
    found = np.frombuffer(file.read(count * classes), np.uint8).reshape(classes, count).T
    return given, found, given != IGNORE


def _count(
    file: IO[bytes], chips: "Sequence[Chip]", thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The confident joint, and how often another class leads by how much.

    Returns:
        `(K, K)`, and `(K, K, 256)`: by label, by the other class, and by its lead in 255ths.
    """
    classes = len(thresholds)
    joint = np.zeros((classes, classes), np.int64)
    leads = np.zeros((classes, classes, 256), np.int64)
    for chip in chips:
        given, found, known = _read(file, chip.counted, classes)
        given, found = given[known], found[known]
        joint += confident_joint(given, confident_classes(found / np.float32(255), thresholds), classes)
        rival, lead = _lead(found, given)
        np.add.at(leads, (given, rival, lead), 1)
    return joint, leads


def _lead(found: NDArray[np.uint8], given: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The likeliest other class, and by how much it is likelier than the label, 0 to 255."""
    rival, rows = rivals(found, given), np.arange(len(given))
    lead = found[rows, rival].astype(np.int64) - found[rows, given]
    return rival, lead.clip(min=0)


def _least_leads(leads: NDArray[np.int64], expected: NDArray[np.int64]) -> NDArray[np.int64]:
    """From which lead on as many pixels of each pair as are expected to be wrong are suspect, `(K, K)`."""
    at_least = leads[..., ::-1].cumsum(axis=2)[..., ::-1]  # pixels with this lead or a larger one
    enough = (at_least >= expected[..., None]).sum(axis=2) - 1  # the largest lead that suffices
    return np.where(expected > 0, enough.clip(min=1), 256)


def _strip_of(entry: "tuple[str, Chip, Grid]") -> tuple[str, str, Window, int]:
    stage, chip, _ = entry
    return stage, chip.scene_id, chip.region, (chip.counted.row - chip.region.row) // _STRIP_ROWS


def _strip(
    file: IO[bytes],
    strip: "Sequence[tuple[str, Chip, Grid]]",
    least: NDArray[np.int64],
    where: tuple[str, str, Grid],
) -> list[SuspectRegion]:
    """The suspect regions of some chips that lie together."""
    counted = [chip.counted for _, chip, _ in strip]
    area = Window.from_stops(
        min(part.row for part in counted),
        min(part.col for part in counted),
        max(part.row_stop for part in counted),
        max(part.col_stop for part in counted),
    )
    size, classes = (area.height, area.width), len(least)
    codes, margin, own = np.zeros(size, np.uint16), np.zeros(size, np.float32), np.zeros(size, np.float32)
    for part in counted:
        given, found, known = _read(file, part, classes)
        labels, told = given[known], found[known]
        rival, lead = _lead(told, labels)
        wrong = lead >= least[labels, rival]
        layers = np.zeros((3, len(given)), np.float32)
        layers[:, known] = [
            np.where(wrong, 1 + labels * classes + rival, 0),
            -lead / 255,
            told[np.arange(len(labels)), labels] / 255,
        ]
        inside = part.slices_in(area)
        codes[inside], margin[inside], own[inside] = layers.reshape(3, part.height, part.width)
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
