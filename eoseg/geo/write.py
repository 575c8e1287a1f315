"""Writing a raster that fits in memory: training scenes, labels, examples. Maps have their own writer."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from eoseg.errors import OutputError
from eoseg.geo.grid import Grid
from eoseg.recipe import Color

_BLOCK = 256


def write_raster(
    path: Path,
    values: NDArray[Any],
    grid: Grid,
    *,
    nodata: float | None = None,
    names: Sequence[str] | None = None,
    colors: Sequence[Color] | None = None,
) -> None:
    """Write a tiled, compressed GeoTIFF; folders are made, an existing file is replaced.

    The file appears under its name only once it is complete. The same values give the same bytes.

    Args:
        path: The file to write.
        values: `(bands, height, width)`, or `(height, width)` for one band.
        grid: Where the pixels are; its size must be that of the values.
        nodata: The value that means "no value".
        names: A description for each band.
        colors: Colour table for one band of uint8 values 0, 1, 2 ...

    Raises:
        OutputError: The values do not fit the grid, the names or the colours, or the file cannot be
            written.
    """
    array = values if values.ndim == 3 else values[None]  # (C, H, W)
    _require_fit(path, array, grid, names, colors)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": array.shape[0],
        "height": grid.height,
        "width": grid.width,
        "dtype": array.dtype,
        "nodata": nodata,
        "transform": grid.transform,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "predictor": 3 if array.dtype.kind == "f" else 2,
    }
    if grid.crs is not None:
        profile["crs"] = grid.crs
    # By way of memory: GDAL may learn that a disk is full when it closes a file, where nothing is
    # raised any more, whereas Python always tells.
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(array)
            for number, name in enumerate(names or (), start=1):
                dataset.set_band_description(number, name)
            if colors is not None:
                dataset.write_colormap(1, {value: (*color, 255) for value, color in enumerate(colors)})
        content = bytes(memory.getbuffer())
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OutputError(
            f"'{path}' cannot be written: {error}. Check the folder and the free space."
        ) from error


def north_up_grid(epsg: int, *, left: float, top: float, pixel_size: float, height: int, width: int) -> Grid:
    """The grid of a new raster with square pixels and north at the top.

    Args:
        epsg: Code of the CRS.
        left: x of the left border, in units of the CRS.
        top: y of the top border.
        pixel_size: Width and height of a pixel in units of the CRS.
        height: Rows.
        width: Columns.
    """
    return Grid(CRS.from_epsg(epsg), Affine(pixel_size, 0, left, 0, -pixel_size, top), height, width)


def _require_fit(
    path: Path,
    array: NDArray[Any],
    grid: Grid,
    names: Sequence[str] | None,
    colors: Sequence[Color] | None,
) -> None:
    bands, height, width = array.shape
    if (height, width) != (grid.height, grid.width):
        raise OutputError(
            f"'{path}' cannot be written: the grid has {grid.width} x {grid.height} px, the values have "
            f"{width} x {height}. Crop the grid first."
        )
    if names is not None and len(names) != bands:
        raise OutputError(
            f"'{path}' cannot be written: {bands} bands need as many names; found {len(names)}."
        )
    if colors is not None and (bands != 1 or array.dtype != np.uint8):
        raise OutputError(
            f"'{path}' cannot be written: a colour table needs one uint8 band; found {bands} of "
            f"{array.dtype}."
        )
