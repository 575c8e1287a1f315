"""Put the parts of a picture that was cut in rows and columns together again.

    .venv/bin/python scripts/mosaic_parts.py --columns 3 --out tile6.tif "data/Tile 6/images/"*.jpg

Parts are given row by row. Parts of one row may differ by a few pixels in height, as parts of one column
in width (cutters round): each row takes the smallest height of its parts, each column the smallest width.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError


def mosaic(paths: Sequence[str], columns: int) -> np.ndarray:
    """Read the parts and put them together, `(bands, height, width)`; palettes become RGB."""
    parts = [_read(path) for path in paths]
    rows = [parts[start : start + columns] for start in range(0, len(parts), columns)]
    widths = [min(part.shape[2] for part in column) for column in zip(*rows, strict=True)]
    strips = []
    for row in rows:
        height = min(part.shape[1] for part in row)
        cut = [part[:, :height, :width] for part, width in zip(row, widths, strict=True)]
        strips.append(np.concatenate(cut, axis=2))
    return np.concatenate(strips, axis=1)


def _read(path: str) -> np.ndarray:
    with rasterio.open(path) as dataset:
        values = dataset.read()
        if dataset.colorinterp[0].name != "palette":
            return values
        table = np.zeros((256, 3), np.uint8)
        for index, color in dataset.colormap(1).items():
            table[index] = color[:3]
        return table[values[0]].transpose(2, 0, 1)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Put the parts of a picture together, row by row.")
    parser.add_argument("parts", nargs="+", help="the parts, first row first, each row from left to right")
    parser.add_argument("--columns", type=int, required=True, help="parts in a row")
    parser.add_argument("--out", type=Path, required=True, help="the GeoTIFF to write")
    options = parser.parse_args()
    if options.columns < 1 or len(options.parts) % options.columns:
        parser.error(f"{len(options.parts)} parts do not fill rows of {options.columns}")
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        values = mosaic(options.parts, options.columns)
    except RasterioIOError as error:
        sys.exit(f"error: {error}")
    profile = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        options.out,
        "w",
        driver="GTiff",
        dtype=values.dtype,
        compress="deflate",
        tiled=True,
        photometric="RGB",
        **profile,
    ) as dataset:
        dataset.write(values)
    print(f"{options.out}: {profile['width']} x {profile['height']} px from {len(options.parts)} parts")


if __name__ == "__main__":
    main()
