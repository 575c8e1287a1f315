"""Reading ahead: the next tiles are read while the network works on the present ones."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.scene import Scene
from eoseg.geo.tiles import Tile

READ_AHEAD = 1
"""Tiles that are read, or wait, while the network works on another; they bound the memory."""


@dataclass(frozen=True, slots=True)
class TileImage:
    """A tile with its pixels."""

    index: int
    tile: Tile
    image: NDArray[np.float32]
    """`(C, height, width)` of the read."""
    valid: NDArray[np.bool_]
    """`(height, width)` of the read."""

    @property
    def core_valid(self) -> NDArray[np.bool_]:
        """Validity of the core."""
        return self.valid[self.tile.core.slices_in(self.tile.read)]


def read_tile(scene: Scene, tile: Tile, index: int = 0) -> TileImage:
    """Read the pixels of a tile."""
    image, valid = scene.read(tile.read)
    return TileImage(index, tile, image, valid)


@contextmanager
def read_tiles(scene: Scene, tiles: Iterable[Tile]) -> Iterator[Iterator[TileImage]]:
    """Read tiles in another thread, a few at a time, in their order.

    The scene belongs to that thread until the context ends, which waits for it.

    Args:
        scene: An open scene.
        tiles: What to read.

    Raises:
        DataError: A tile cannot be read; raised where the tile would have come.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="eoseg-reader")
    try:
        yield _ahead(pool, scene, tiles)
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: Executor, scene: Scene, tiles: Iterable[Tile]) -> Iterator[TileImage]:
    waiting: deque[Future[TileImage]] = deque()
    for index, tile in enumerate(tiles):
        waiting.append(pool.submit(read_tile, scene, tile, index))
        if len(waiting) > READ_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
