"""Reading ahead: the next tiles are read while the network works on the present ones."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.scene import Scene
from eoseg.geo.stack import SceneStack, usable_pixels
from eoseg.geo.tiles import Tile
from eoseg.recipe import Time

READ_AHEAD = 1
"""Tiles that are read, or wait, while the network works on another; they bound the memory."""


@dataclass(frozen=True, slots=True)
class TileImage:
    """A tile with its pixels."""

    index: int
    tile: Tile
    image: NDArray[np.float32]
    """`(C, height, width)` of the read; `(T, C, height, width)` of several dates."""
    valid: NDArray[np.bool_]
    """`(height, width)` of the read; `(T, height, width)` of several dates."""
    time: Time = "single"
    """What dates there are."""
    area: AreaOfInterest | None = None
    """Outside it the map has no value; the network sees what is there all the same."""

    @property
    def core_valid(self) -> NDArray[np.bool_]:
        """Where in the core the map gets a value, `(height, width)`.

        Where both dates of a pair are valid, or any date of a series; and inside the area of interest.
        """
        rows, cols = self.tile.core.slices_in(self.tile.read)
        usable = usable_pixels(self.valid[..., rows, cols], self.time)
        return usable if self.area is None else usable & self.area.mask(self.tile.core)


def read_tile(
    scene: Scene | SceneStack,
    tile: Tile,
    index: int = 0,
    *,
    time: Time = "single",
    area: AreaOfInterest | None = None,
) -> TileImage:
    """Read the pixels of a tile; nothing is read where its core lies outside the area of interest."""
    if area is not None and not area.touches(tile.core):
        dates = (len(scene),) if isinstance(scene, SceneStack) else ()
        shape = (tile.read.height, tile.read.width)
        nothing = np.zeros((*dates, len(scene.bands), *shape), np.float32)
        return TileImage(index, tile, nothing, np.zeros((*dates, *shape), np.bool_), time, area)
    image, valid = scene.read(tile.read)
    return TileImage(index, tile, image, valid, time, area)


@contextmanager
def read_tiles(
    scenes: Sequence[Scene | SceneStack],
    tiles: Iterable[tuple[int, Tile]],
    *,
    time: Time = "single",
    ahead: int = READ_AHEAD,
    area: AreaOfInterest | None = None,
) -> Iterator[Iterator[TileImage]]:
    """Read tiles in other threads, a few at a time, in their order.

    Args:
        scenes: The same scene, or stack of dates, opened once for each thread that reads. They belong to
            these threads until the context ends, which waits for them.
        tiles: What to read, with its index.
        time: What dates there are.
        ahead: Tiles that are read, or wait, while another is worked on.
        area: Where a map is wanted; everywhere by default.

    Raises:
        DataError: A tile cannot be read; raised where the tile would have come.
    """
    pool = ThreadPoolExecutor(len(scenes), thread_name_prefix="eoseg-reader")
    free: SimpleQueue[Scene | SceneStack] = SimpleQueue()
    for scene in scenes:
        free.put(scene)

    def read(index: int, tile: Tile) -> TileImage:
        scene = free.get()
        try:
            return read_tile(scene, tile, index, time=time, area=area)
        finally:
            free.put(scene)

    try:
        yield _ahead(lambda index, tile: pool.submit(read, index, tile), tiles, ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(
    submit: Callable[[int, Tile], Future[TileImage]], tiles: Iterable[tuple[int, Tile]], ahead: int
) -> Iterator[TileImage]:
    waiting: deque[Future[TileImage]] = deque()
    for index, tile in tiles:
        waiting.append(submit(index, tile))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
