"""How GDAL is set for reading and writing scenes of any size."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import rasterio
from rasterio.env import get_gdal_config

BLOCK_CACHE_BYTES = 64 * 2**20
"""GDAL's cache of decoded blocks, for all open rasters of a process together.

GDAL's default is 5 % of the machine's memory, which makes the memory of a run grow with the scene. 64 MB
hold one row of 512 px blocks of 4 uint16 bands over 16384 px, so that each block is decoded once.
"""


@contextmanager
def gdal_settings(cache_bytes: int = BLOCK_CACHE_BYTES) -> Iterator[None]:
    """Bound GDAL's block cache, and keep GDAL from printing what is also raised.

    Args:
        cache_bytes: Size of the block cache in bytes. (As a variable of the environment GDAL reads
            small numbers as megabytes; rasterio passes bytes.)
    """
    with rasterio.Env():
        before = get_gdal_config("GDAL_CACHEMAX")
    # Lines that libtiff would write to stderr when a disk is full; the error itself is raised.
    with rasterio.Env(GDAL_CACHEMAX=cache_bytes, CPL_LOG=os.devnull):
        try:
            yield
        finally:
            with rasterio.Env(GDAL_CACHEMAX=before):
                pass
