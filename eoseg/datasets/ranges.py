"""One pass over all scenes for the doctor: values, validity, and fills that look like nodata."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.reader import SceneReader, read_size, windows_of
from eoseg.datasets.statistics import RunningMoments, band_statistics
from eoseg.geo.window import Window
from eoseg.recipe import BandStatistics

_READ_PX = 1024

_SAMPLE = 400_000
"""Pixels from which percentiles are estimated."""

_FILL_SHARE = 0.002
"""A value looks like a fill where it takes this share of a scene, and of its border ten times as much."""


@dataclass(frozen=True, slots=True)
class Fill:
    """A value that looks like nodata and is not declared as such: all bands have it, at a corner too."""

    value: float
    scenes: int
    share: float
    """Of the pixels of these scenes, 0 to 1."""


@dataclass(frozen=True)
class ValueSurvey:
    """What the images hold, all scenes together."""

    bands: tuple[BandStatistics, ...]
    valid_share: dict[str, float]
    """By scene id, 0 to 1."""
    fills: tuple[Fill, ...]


def survey_values(reader: SceneReader, *, seed: int = 0) -> ValueSurvey:
    """Read every scene once; `bands` is empty where no pixel is valid.

    Args:
        reader: The scenes.
        seed: Draws the sample for the percentiles.
    """
    index = reader.index
    steps = index.schema.steps
    total = steps * sum(entry.grid.height * entry.grid.width for entry in index.entries.values())
    rate, rng = min(1.0, _SAMPLE / total), np.random.default_rng(seed)
    moments, samples = RunningMoments.of(len(index.schema.bands)), []
    candidates = _candidates(index.dtype)
    valid_share: dict[str, float] = {}
    shares: list[NDArray[np.float64]] = []
    for scene_id, entry in index.entries.items():
        whole, valid_pixels = entry.grid.window, 0
        held = np.zeros((len(candidates), 3), np.int64)  # in the scene, on its border, at corners
        for window in windows_of(whole, read_size(_READ_PX, steps)):
            image, valid = reader.read(scene_id, window)
            values = np.moveaxis(image, -3, 0)[:, valid].astype(np.float64)  # (C, n), all dates together
            moments.update(values)
            samples.append(values[:, rng.random(values.shape[1]) < rate])
            valid_pixels += values.shape[1]
            size = (window.height, window.width)
            dates = zip(image.reshape(steps, -1, *size), valid.reshape(steps, *size), strict=True)
            for date, known in dates:
                held += _count_fills(date, known, candidates, whole, window)
        pixels, border = steps * whole.height * whole.width, steps * _border_pixels(whole)
        valid_share[scene_id] = valid_pixels / pixels
        shares.append(held / [pixels, border, 1])
    bands: tuple[BandStatistics, ...] = ()
    if moments.count:
        bands = band_statistics(index.schema.bands, moments, np.concatenate(samples, axis=1))
    return ValueSurvey(bands, valid_share, _fills(candidates, shares))


def _candidates(dtype: str) -> list[float]:
    """Values that are used for "no value", as far as the type holds them."""
    usual = {0.0, 255.0, 65535.0, -9999.0, -32768.0, -1.0}
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return sorted(usual | {float(np.finfo(np.float32).min)})
    info = np.iinfo(kind)
    return sorted({value for value in usual if info.min <= value <= info.max} | {float(info.max)})


def _count_fills(
    image: NDArray[np.float32], valid: NDArray[np.bool_], values: list[float], whole: Window, window: Window
) -> NDArray[np.int64]:
    """For each value, pixels with it in all bands: in the window, on the scene's border, at its corners."""
    same = valid & (image == image[:1]).all(axis=0)  # (h, w)
    rows = np.arange(window.row, window.row_stop)[:, None]
    cols = np.arange(window.col, window.col_stop)[None, :]
    end_row = (rows == 0) | (rows == whole.height - 1)
    end_col = (cols == 0) | (cols == whole.width - 1)
    held = [same & (image[0] == np.float32(value)) for value in values]
    counts = [
        [int(part.sum()), int((part & (end_row | end_col)).sum()), int((part & end_row & end_col).sum())]
        for part in held
    ]
    return np.array(counts, np.int64)


def _border_pixels(whole: Window) -> int:
    inner = max(0, whole.height - 2) * max(0, whole.width - 2)
    return whole.height * whole.width - inner


def _fills(values: list[float], shares: list[NDArray[np.float64]]) -> tuple[Fill, ...]:
    found = []
    for place, value in enumerate(values):
        own = [
            float(inside)
            for inside, border, corners in (held[place] for held in shares)
            if inside >= _FILL_SHARE and border >= 10 * _FILL_SHARE and corners
        ]
        if own:
            found.append(Fill(value, len(own), sum(own) / len(own)))
    return tuple(found)
