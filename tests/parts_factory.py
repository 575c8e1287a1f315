"""Unfinished maps on disk, of known values."""

from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine

from eoseg.geo.grid import Grid
from eoseg.geo.layer import Layer
from eoseg.geo.parts import Parts
from eoseg.geo.share import Share
from eoseg.geo.tiles import plan_tiles

BYTES = Layer(bands=("class",), overviews="MODE")
FLOATS = Layer(bands=("a", "b"), overviews="AVERAGE", dtype="float32")
HEIGHT, WIDTH, CORE = 50, 70, 16
_copy = rasterio.shutil.copy  # what `copy_and_spoil` stands for in a test


def make_parts(folder: Path, *, shares: int = 1, overwrite: bool = False, **fingerprint: str) -> Parts:
    grid = Grid(None, Affine.identity(), HEIGHT, WIDTH)
    cores = plan_tiles(HEIGHT, WIDTH, core=CORE, halo=0, stride=1)
    return Parts(
        folder / "m.tif",
        grid,
        [BYTES, FLOATS],
        cores,
        fingerprint={"the scene": "s.tif", **fingerprint},
        shares=shares,
        overwrite=overwrite,
    )


def values_of(parts: Parts, index: int) -> list[np.ndarray]:
    core = parts.cores.tile(index).core
    numbers = np.arange(core.height * core.width, dtype=np.float32).reshape(core.height, core.width)
    return [((numbers + index) % 200).astype(np.uint8), np.stack([numbers * index, -numbers])]


def fill(parts: Parts, share: int = 0, *, until: int | None = None) -> None:
    with Share(parts, share) as open_share:
        for index in open_share.pending[:until]:
            open_share.write(index, values_of(parts, index), skipped=index == 2)
        if until is None:
            open_share.finish()


def pending(parts: Parts, share: int = 0) -> list[int]:
    with Share(parts, share) as open_share:
        return open_share.pending


def copy_and_spoil(source: Path, target: Path, **options: str) -> None:
    """As `rasterio.shutil.copy`, but one pixel of the copy is another."""
    _copy(source, target, **options)
    with rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        values = dataset.read(1)
        values[3, 3] += 1
        dataset.write(values, 1)
