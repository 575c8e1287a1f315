"""How GDAL is set for reading and writing scenes of any size."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import rasterio
from rasterio.env import get_gdal_config, set_gdal_config

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


def bound_block_cache(cache_bytes: int) -> None:
    """Bound GDAL's block cache for the rest of the process, unless the environment sets GDAL_CACHEMAX.

    Args:
        cache_bytes: Size of the block cache in bytes.
    """
    if "GDAL_CACHEMAX" not in os.environ:
        set_gdal_config("GDAL_CACHEMAX", cache_bytes)


REMOTE_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # ask for the file alone, not for the listing of its folder
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # the header of most COGs in one request
    "GDAL_HTTP_CONNECTTIMEOUT": "10",  # seconds
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",  # a server that sends less than this (bytes per second)
    "GDAL_HTTP_LOW_SPEED_TIME": "20",  # for so long (seconds) is given up
    "GDAL_HTTP_MAX_RETRY": "3",  # of busy servers (429, 5xx) and lost connections
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds; it grows with each time
}
"""How rasters on other machines are read. An unreachable server is given up within two minutes.

See https://developmentseed.org/titiler/advanced/performance_tuning/ for the first two. They are for remote
rasters alone: local ones have sidecar files, which a listing of the folder finds. GDAL merges requests for
neighbouring ranges by default. VSI_CACHE stays off: with it a window of a COG took 1.7 times the bytes.
"""


def remote_settings(*, needed: bool) -> AbstractContextManager[object]:
    """Set what remote rasters need, for one call of GDAL, in this thread.

    What the user has set, in the environment or in a configuration of GDAL, stays as it is.

    Args:
        needed: Whether the raster is remote; otherwise nothing is set.
    """
    if not needed:
        return nullcontext()
    unset = {name: value for name, value in REMOTE_OPTIONS.items() if get_gdal_config(name) is None}
    environment: AbstractContextManager[object] = rasterio.Env(**unset)
    return environment
