"""What everything but the network costs: a run with a network that costs next to nothing."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from figures import Figure
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from world import BLOCK, make_cheap, write_scene

from eoseg.geo.settings import gdal_settings
from eoseg.predict import PredictOptions, predict_scene

LIMIT_MS, LIMIT_SHARE = 50.0, 0.60
TILE, HALO, ROUNDS = 1024, 32, 3


def measure(folder: Path, side: int) -> list[Figure]:
    """CPU time per megapixel, and speed against reading the scene and writing the same map alone."""
    scene = write_scene(folder / f"land_{side}_4.tif", side, 4)
    network, recipe = make_cheap(4)
    options = PredictOptions(tile=TILE, halo=HALO, precision="float32", overwrite=True)
    out = folder / "map.tif"

    def whole() -> None:
        predict_scene(network, recipe, str(scene), out, options=options)

    whole()  # imports, first calls
    values, creation = _map_of(out)
    runs = [
        (_timed(whole), _timed(lambda: _read(scene)), _timed(lambda: _write(values, creation, folder)))
        for _ in range(ROUNDS)
    ]
    megapixels = side**2 / 1e6
    run, read, write = (min(entries) for entries in zip(*runs, strict=True))  # by CPU time
    share = (read[0] + write[0]) / run[0]
    note = f"{side} px, 4 bands, tiles of {TILE} px with a halo of {HALO} px; best of {ROUNDS}"
    return [
        Figure(
            "capacity",
            "CPU time per unique megapixel",
            1000 * run[0] / megapixels,
            "ms",
            LIMIT_MS,
            "smaller",
            note,
        ),
        Figure("capacity", "reading the scene alone", 1000 * read[0] / megapixels, "ms"),
        Figure("capacity", "writing the same map alone", 1000 * write[0] / megapixels, "ms"),
        Figure("capacity", "speed against reading and writing alone, CPU", share, "", LIMIT_SHARE),
        Figure("capacity", "the same, wall", (read[1] + write[1]) / run[1]),
    ]


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _read(scene: Path) -> None:
    """Read all of a scene as fast as GDAL does: by whole rows of blocks."""
    with gdal_settings(), rasterio.open(scene) as dataset:
        rows = np.empty((dataset.count, BLOCK, dataset.width), dataset.dtypes[0])
        for row in range(0, dataset.height, BLOCK):
            height = min(BLOCK, dataset.height - row)
            dataset.read(out=rows[:, :height], window=((row, row + height), (0, dataset.width)))


def _map_of(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    with rasterio.open(path) as dataset:
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        creation = {
            "crs": dataset.crs,
            "transform": dataset.transform,
            "nodata": dataset.nodata,
            "compress": structure["COMPRESSION"],
            "blocksize": dataset.block_shapes[0][0],
        }
        return dataset.read(1), creation


def _write(values: NDArray[np.uint8], creation: dict[str, Any], folder: Path) -> None:
    """Write a raster as eoseg's maps are, with overviews, from memory."""
    from eoseg.geo.cog import COMPRESSION

    options = {
        "driver": "COG",
        "OVERVIEW_RESAMPLING": "MODE",
        "BLOCKSIZE": creation["blocksize"],
        **COMPRESSION,
    }
    profile = {key: creation[key] for key in ("crs", "transform", "nodata")}
    profile |= {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint8"}
    with gdal_settings(), MemoryFile() as memory:
        with memory.open(driver="GTiff", tiled=True, **profile) as dataset:
            dataset.write(values, 1)
        with memory.open() as dataset:
            rasterio.shutil.copy(dataset, folder / "copy.tif", **options)
