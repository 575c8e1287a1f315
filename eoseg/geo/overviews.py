"""Overviews of classes: of four pixels the value that is there most often.

GDAL makes such overviews as well, in several times as long, because its way serves any factor and any type.
"""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from eoseg.recipe import IGNORE

_STRIP_BYTES = 2 * 2**20  # that are looked at at a time


def overview_sizes(height: int, width: int, *, least: int) -> list[tuple[int, int]]:
    """Height and width of each overview: halved, rounded up, until one fits a block of `least` pixels."""
    sizes = []
    while max(height, width) > least:
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return sizes


def write_mode_overviews(source: Path, name: str, *, least: int) -> list[Path]:
    """Write the overviews of a uint8 raster as plain values beside it, band after band, with ENVI headers.

    Args:
        source: The raster; 255 means "no value".
        name: What the names of the files begin with.
        least: Side of a block: the last overview fits one.

    Raises:
        OSError: The disk is full.
    """
    paths: list[Path] = []
    with rasterio.open(source) as dataset:
        bands, height, width = dataset.count, dataset.height, dataset.width
    for level, size in enumerate(overview_sizes(height, width, least=least), start=1):
        path = source.with_name(f"{name}.{level}.raw")
        with FileIO(path, "w") as file:
            os.ftruncate(file.fileno(), max(bands * size[0] * size[1], 16))  # GDAL ignores smaller files
            row = 0
            for strip in _strips(paths[-1] if paths else source):
                halved = halve_mode(strip)
                for band, values in enumerate(halved):
                    file.seek((band * size[0] + row) * size[1])
                    _write_all(file, values)
                row += halved.shape[1]
        write_envi_header(path, height=size[0], width=size[1], bands=bands, data_type=1)
        paths.append(path)
    return paths


def halve_mode(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Halve `(bands, height, width)`: the most frequent value of each four pixels, nodata left out.

    Of two values that are there twice, the one of the upper left pixel is taken; of four different ones the
    smallest.
    """
    height, width = values.shape[1:]
    if height % 2 or width % 2:
        values = np.pad(values, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=IGNORE)
    corners = [np.ascontiguousarray(values[:, row::2, col::2]) for row in (0, 1) for col in (0, 1)]
    first, second, third, fourth = corners
    result = np.minimum(np.minimum(first, second), np.minimum(third, fourth))  # 255 is the largest
    _take(result, third, third == fourth)
    _take(result, second, (second == third) | (second == fourth))
    _take(result, first, (first == second) | (first == third) | (first == fourth))
    return result


def _take(result: NDArray[np.uint8], candidate: NDArray[np.uint8], repeated: NDArray[np.bool_]) -> None:
    np.copyto(result, candidate, where=repeated & (candidate != IGNORE))


def _strips(path: Path) -> Iterator[NDArray[np.uint8]]:
    """A raster in strips of even height, but for the last."""
    with rasterio.open(path) as dataset:
        step = max(1, _STRIP_BYTES // (2 * dataset.width * dataset.count)) * 2
        for row in range(0, dataset.height, step):
            yield dataset.read(window=((row, min(row + step, dataset.height)), (0, dataset.width)))


def _write_all(file: FileIO, values: NDArray[np.uint8]) -> None:
    content = memoryview(np.ascontiguousarray(values)).cast("B")
    while content:  # a disk that gets full takes a part
        content = content[file.write(content) :]


def write_envi_header(raw: Path, *, height: int, width: int, bands: int, data_type: int) -> None:
    """Tell GDAL what a file of plain values holds: https://gdal.org/en/stable/drivers/raster/envi.html."""
    raw.with_name(f"{raw.name}.hdr").write_text(
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = {bands}\n"
        f"header offset = 0\nfile type = ENVI Standard\ndata type = {data_type}\n"
        "interleave = bsq\nbyte order = 0\n",
        encoding="ascii",
    )
