"""Reading ahead: the next tiles are read while the network works on the present ones."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.scene import Scene
from eoseg.geo.tiles import Tile

READ_AHEAD = 1
"""Tiles that wait for the network at most; with the one being read, these bound the memory."""

_POLL_S = 0.1


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
    ready: queue.Queue[TileImage | BaseException | None] = queue.Queue(READ_AHEAD)
    stopped = threading.Event()

    def put(item: TileImage | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for index, tile in enumerate(tiles):
                if not put(read_tile(scene, tile, index)):
                    return
            put(None)
        except BaseException as error:  # raised again in the thread that takes from the queue
            put(error)

    thread = threading.Thread(target=work, name="eoseg-reader", daemon=True)
    thread.start()
    try:
        yield _taken(ready)
    finally:
        stopped.set()
        thread.join()


def _taken(ready: queue.Queue[TileImage | BaseException | None]) -> Iterator[TileImage]:
    while (item := ready.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
