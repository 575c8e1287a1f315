"""Small versions of large rasters, for looking at. Memory does not grow with the height of the scene.

All previews of one grid have one size: pixel (r, c) of a preview stands for the square of
`factor` x `factor` pixels that begins at (r * factor, c * factor). Images show its mean, classes the
pixel in its middle, so that image, reference, map and errors lie exactly over each other.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window

_STRIP_PIXELS = 4_000_000
"""Pixels of the scene that are read at once, as far as whole rows of the preview allow."""


def preview_factor(grid: Grid, max_size: int) -> int:
    """How many pixels of the grid, along a side, one pixel of its preview stands for.

    Args:
        grid: The grid of the scene.
        max_size: The most pixels that a side of the preview may have.

    Raises:
        ConfigError: `max_size` is below 1.
    """
    if max_size < 1:
        raise ConfigError(f"A preview needs a max_size of at least 1 px; got {max_size}.")
    return max(1, -(-max(grid.height, grid.width) // max_size))


def preview_image(
    path: str | Path,
    *,
    bands: Sequence[str] | None = None,
    band_names: Sequence[str] | None = None,
    nodata: float | None = None,
    max_size: int = 1024,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read a scene at reduced size: the mean of the valid pixels of each square.

    Args:
        path: The scene.
        bands: As for `Scene`.
        band_names: As for `Scene`.
        nodata: As for `Scene`.
        max_size: The most pixels that a side of the result may have.

    Returns:
        Float32 `(C, h, w)` and bool `(h, w)`, which is False where a square has no valid pixel.

    Raises:
        DataError: The scene cannot be read.
    """
    with Scene(path, bands=bands, band_names=band_names, nodata=nodata) as scene:
        factor = preview_factor(scene.grid, max_size)
        images, valids = [], []
        for window in _strips(scene.grid, factor):
            image, valid = scene.read(window)
            mean, known = _block_mean(image, valid, factor)
            images.append(mean)
            valids.append(known)
    return np.concatenate(images, axis=1), np.concatenate(valids)


def preview_classes(
    read: Callable[[Window], NDArray[Any]], grid: Grid, *, max_size: int = 1024
) -> NDArray[np.uint8]:
    """Read classes at reduced size: the pixel in the middle of each square.

    Args:
        read: Gives the classes of a window inside the grid, `(height, width)`, 0 to 255.
        grid: The grid of the scene.
        max_size: The most pixels that a side of the result may have.

    Returns:
        uint8 `(h, w)`.
    """
    factor = preview_factor(grid, max_size)
    # The last square may be cut off by the border of the scene; its middle stays inside.
    rows = _middles(grid.height, factor)
    cols = _middles(grid.width, factor)
    parts = []
    for window in _strips(grid, factor):
        inside = rows[(rows >= window.row) & (rows < window.row_stop)] - window.row
        parts.append(read(window)[np.ix_(inside, cols)].astype(np.uint8))
    return np.concatenate(parts)


def _middles(size: int, factor: int) -> NDArray[np.int64]:
    starts = np.arange(0, size, factor)
    middles: NDArray[np.int64] = (starts + np.minimum(starts + factor, size)) // 2
    return middles


def _strips(grid: Grid, factor: int) -> Iterator[Window]:
    """Windows over the full width whose heights are multiples of the factor (the last may be less)."""
    height = max(1, _STRIP_PIXELS // (grid.width * factor)) * factor
    for row in range(0, grid.height, height):
        yield Window(row, 0, min(height, grid.height - row), grid.width)


def _block_mean(
    image: NDArray[np.float32], valid: NDArray[np.bool_], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean over the valid pixels of each square; squares at the right and bottom may be cut off."""
    if factor == 1:
        return image, valid
    row_starts = np.arange(0, valid.shape[0], factor)
    col_starts = np.arange(0, valid.shape[1], factor)
    counts = _block_sum(valid.astype(np.float32), row_starts, col_starts)  # (h, w)
    sums = _block_sum(image * valid, row_starts, col_starts)  # (C, h, w)
    return (sums / np.maximum(counts, 1)).astype(np.float32), counts > 0


def _block_sum(
    values: NDArray[np.float32], row_starts: NDArray[np.int64], col_starts: NDArray[np.int64]
) -> NDArray[np.float32]:
    rows = np.add.reduceat(values, row_starts, axis=-2, dtype=np.float32)
    sums: NDArray[np.float32] = np.add.reduceat(rows, col_starts, axis=-1, dtype=np.float32)
    return sums
