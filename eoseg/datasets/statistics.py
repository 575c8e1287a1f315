"""Statistics of the training pixels, and where among them chips with labels lie; in one pass.

Of pairs and series every date of a pixel counts: a band has one mean and one deviation for all dates, so
that the network sees what changed between them.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.reader import SceneReader, read_size, windows_of
from eoseg.datasets.splits import Region
from eoseg.datasets.survey import cell_counts
from eoseg.errors import DataError
from eoseg.recipe import IGNORE, BandStatistics, Statistics

_SAMPLE = 400_000
"""Pixels from which percentiles are estimated; where there are fewer, they are exact."""

_READ_PX = 512


@dataclass(frozen=True, eq=False)
class TrainingSurvey:
    """What one pass over the training pixels found."""

    statistics: Statistics
    cell: int
    """Height and width in pixels of a cell of `labelled`."""
    labelled: tuple[NDArray[np.int64], ...]
    """For each training region, labelled valid pixels in cells from the region's top left corner."""


def survey_training(
    reader: SceneReader, regions: Sequence[Region], *, chip_size: int, seed: int
) -> TrainingSurvey:
    """Read the training regions once.

    Args:
        reader: The scenes.
        regions: The training regions, and no others: nothing else has an influence.
        chip_size: Height and width of a chip in pixels.
        seed: Draws the sample for the percentiles.

    Raises:
        DataError: There is no valid pixel, or no labelled valid pixel, in the training regions.
    """
    schema = reader.index.schema
    pixels = schema.steps * sum(region.window.height * region.window.width for region in regions)
    cell = max(1, chip_size // 8)
    bands = _Sampled.of(len(schema.bands), pixels, seed)
    target = _Sampled.of(1, pixels // schema.steps, seed)
    labelled, totals = [], np.zeros(schema.outputs, np.int64)
    for region in regions:
        area = region.window
        held = np.zeros((-(-area.height // cell), -(-area.width // cell)), np.int64)
        for window in windows_of(area, read_size(_READ_PX, schema.steps, multiple=cell)):
            image, valid, labels = reader.read_labelled(region.scene_id, window)
            bands.add(np.moveaxis(image, -3, 0)[:, valid])  # (C, n), all dates together
            if schema.quantity is not None:
                target.add(reader.read_values(region.scene_id, window)[None, labels != IGNORE])
            counts = cell_counts(labels, cell, schema.outputs)  # (rows, columns, K)
            row, col = (window.row - area.row) // cell, (window.col - area.col) // cell
            held[row : row + counts.shape[0], col : col + counts.shape[1]] = counts.sum(axis=2)
            totals += counts.sum(axis=(0, 1))
        labelled.append(held)
    if not bands.moments.count:
        raise DataError(
            "The training regions hold no valid pixel. Check 'nodata', and which scenes are in which split."
        )
    if not totals.any():
        raise DataError("The training regions hold no labelled valid pixel. Check the labels and the split.")
    statistics = Statistics(
        bands=bands.statistics(schema.bands),
        dtype=reader.index.dtype,
        pixels=pixels,
        valid_pixels=bands.moments.count,
        class_pixels=tuple(int(total) for total in totals),
        target=None if schema.quantity is None else target.statistics([schema.quantity.name])[0],
    )
    return TrainingSurvey(statistics, cell, tuple(labelled))


@dataclass
class _Sampled:
    """Moments of values that come in parts, and a seeded sample of them."""

    moments: "RunningMoments"
    rng: np.random.Generator
    rate: float
    """Share of the values that is kept."""
    kept: list[NDArray[np.float64]]

    @classmethod
    def of(cls, bands: int, pixels: int, seed: int) -> "_Sampled":
        rate = min(1.0, _SAMPLE / max(pixels, 1))
        return cls(RunningMoments.of(bands), np.random.default_rng(seed), rate, [])

    def add(self, part: NDArray[np.float32]) -> None:
        values = part.astype(np.float64)  # (C, n)
        self.moments.update(values)
        self.kept.append(values[:, self.rng.random(values.shape[1]) < self.rate])

    def statistics(self, names: Sequence[str]) -> tuple[BandStatistics, ...]:
        return band_statistics(names, self.moments, np.concatenate(self.kept, axis=1))


@dataclass
class RunningMoments:
    """Mean and variance of values that come in parts, in float64.

    Parts are merged as in Chan, Golub and LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115,
    which loses no digits where the mean is large beside the spread.
    """

    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    """Sum of squared differences from the mean."""
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    count: int = field(default=0)

    @classmethod
    def of(cls, bands: int) -> "RunningMoments":
        """No value yet."""
        zeros = np.zeros(bands)
        return cls(zeros, zeros.copy(), np.full(bands, np.inf), np.full(bands, -np.inf))

    def update(self, values: NDArray[np.float64]) -> None:
        """Add values, `(C, n)`."""
        added = values.shape[1]
        if not added:
            return
        mean = values.mean(axis=1)
        squares = ((values - mean[:, None]) ** 2).sum(axis=1)
        total = self.count + added
        shift = mean - self.mean
        self.mean = self.mean + shift * (added / total)
        self.squares = self.squares + squares + shift**2 * (self.count * added / total)
        self.minimum = np.minimum(self.minimum, values.min(axis=1))
        self.maximum = np.maximum(self.maximum, values.max(axis=1))
        self.count = total

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation over all values (divided by n)."""
        return np.sqrt(self.squares / max(self.count, 1))


def statistics_json(statistics: Statistics) -> str:
    """The text of statistics.json."""
    values = dataclasses.asdict(statistics)
    values["nodata_share"] = statistics.nodata_share
    values["balanced_weights"] = statistics.balanced_weights
    return json.dumps(values, indent=2) + "\n"


def band_statistics(
    names: Sequence[str], moments: RunningMoments, sample: NDArray[np.float64]
) -> tuple[BandStatistics, ...]:
    """Statistics of each band from running moments, the percentiles from a sample `(C, n)`."""
    if sample.shape[1] == 0:  # a handful of valid pixels among very many, none of them drawn
        sample = np.stack([moments.minimum, moments.maximum], axis=1)
    low, high = np.percentile(sample, [2, 98], axis=1)
    return tuple(
        BandStatistics(
            name=name,
            mean=float(moments.mean[n]),
            std=float(moments.std[n]),
            minimum=float(moments.minimum[n]),
            low=float(low[n]),
            high=float(high[n]),
            maximum=float(moments.maximum[n]),
        )
        for n, name in enumerate(names)
    )
