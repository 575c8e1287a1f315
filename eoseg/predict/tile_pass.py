"""One pass over the tiles of a share: read, classify and write, each at the same time as the others."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from eoseg.errors import ConfigError
from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.scene import Scene
from eoseg.geo.share import Share
from eoseg.geo.stack import SceneStack
from eoseg.geo.tiles import TilePlan
from eoseg.geo.window import Window
from eoseg.predict.blend import panels
from eoseg.predict.blended_cores import BlendedCores, FinishedCore
from eoseg.predict.classifier import Classifier, TileResult
from eoseg.predict.options import Times
from eoseg.predict.plan import ChipPlan, Layout
from eoseg.predict.product import Layers
from eoseg.predict.reader import READ_AHEAD, TileImage, read_tiles
from eoseg.predict.reading import Reading
from eoseg.progress import Progress
from eoseg.recipe import Time

_WAITING_WRITES = 2


class _Writer:
    """Writes tiles in another thread, a few at a time. Use it as a context manager."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="eoseg-writer")
        self._waiting: deque[Future[None]] = deque()

    def put(self, index: int, values: Sequence[NDArray[Any]], *, skipped: bool) -> None:
        """Hand over the values of a tile; waits where the disk is slow.

        Raises:
            OutputError: An earlier tile could not be written.
        """
        self._waiting.append(self._pool.submit(self._share.write, index, values, skipped=skipped))
        while len(self._waiting) > _WAITING_WRITES or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if error is None:
            for written in self._waiting:
                written.result()


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A tile with where the map gets a value of it; its pixels where that is anywhere."""

    index: int
    valid: NDArray[np.bool_]
    image: TileImage | None


@dataclass(slots=True)
class TilePass:
    """Maps the shares of a scene that are this process's."""

    scenes: Sequence[Scene | SceneStack]
    """The scene, opened once for each thread that reads."""
    time: Time
    layout: Layout
    classifier: Classifier
    total_pixels: int
    """Pixels of the shares, for the progress."""
    progress: Callable[[Progress], None] | None = None
    times: Times = field(default_factory=Times)
    area: AreaOfInterest | None = None
    """Where a map is wanted; everywhere by default."""
    reading: Reading | None = None
    """In which order tiles are read; row by row by default."""
    batch_size: int = 0
    """Tiles per pass; less than planned once memory ran out."""
    _done_pixels: int = 0

    def __post_init__(self) -> None:
        self.batch_size = self.layout.batch_size

    def map_share(self, share: Share) -> None:
        """Read, classify and write the tiles of a share that are not finished."""
        start, stop = share.parts.bounds(share.number)
        todo = set(share.pending)
        for index in range(start, stop):
            if index not in todo:
                core = share.parts.cores.tile(index).core
                self._done_pixels += core.height * core.width
        with _Writer(share) as writer:
            if self.layout.overlap:
                self._map_blended(share, writer)
            else:
                self._map_apart(share, writer)
        share.finish()

    def _map_apart(self, share: Share, writer: _Writer) -> None:
        """Write the core of each tile as it comes."""
        pending = (
            self.reading.order(share.pending, share.parts.cores.columns) if self.reading else share.pending
        )
        tiles = ((index, self.layout.plan.tile(index)) for index in pending)
        # Chips are small: a whole pass of them is read while the one before is computed.
        is_of_chips = isinstance(self.layout.plan, ChipPlan)
        ahead = max(len(self.scenes), self.layout.batch_size if is_of_chips else READ_AHEAD)
        with read_tiles(self.scenes, tiles, time=self.time, ahead=ahead, area=self.area) as images:
            for batch in self._batches(images, writer):
                for result in self._timed("compute", self._classify, batch):
                    image = result.source
                    self._write(writer, image.index, image.tile.core, result.layers)

    def _map_blended(self, share: Share, writer: _Writer) -> None:
        """Write each core once all tiles around it have come, in panels from left to right."""
        layout, product = self.layout, self.classifier.product
        assert isinstance(layout.plan, TilePlan)
        for wanted in panels(layout.plan, layout.panel, share.pending):
            cores = BlendedCores(layout.plan, layout.overlap, wanted, product)
            tiles = ((index, cores.tile(index)) for index in cores.tiles)
            ahead = max(len(self.scenes), READ_AHEAD)
            with read_tiles(self.scenes, tiles, time=self.time, ahead=ahead, area=self.area) as images:
                for run in self._runs(images):
                    for finished in self._timed("compute", self._blend, cores, run):
                        core = layout.plan.tile(finished.index).core
                        self._write(writer, finished.index, core, finished.layers, skipped=finished.skipped)

    def _blend(self, cores: BlendedCores, run: "list[_Weighed]") -> list[FinishedCore]:
        computed = [one.image for one in run if one.image is not None]
        logits = iter(self._fit(self.classifier.logits, computed) if computed else [])
        finished = []
        for one in run:
            scores = None if one.image is None else self.classifier.product.scores(next(logits))
            finished += cores.add(one.index, one.valid, scores)
        return finished

    def _runs(self, images: Iterable[TileImage]) -> "Iterator[list[_Weighed]]":
        """Tiles in their order: as many to compute as go into a pass, and those that come between them."""
        run, count, images = list[_Weighed](), 0, iter(images)
        while (image := self._timed("read", next, images, None)) is not None:
            valid = image.core_valid
            run.append(_Weighed(image.index, valid, image if valid.any() else None))
            count += run[-1].image is not None
            if count >= self.batch_size or not count:
                yield run
                run, count = [], 0
        if run:
            yield run

    def _batches(self, images: Iterable[TileImage], writer: _Writer) -> Iterator[list[TileImage]]:
        """Tiles to compute; those without a valid pixel are written as nodata at once."""
        product, batch = self.classifier.product, []
        images = iter(images)
        while (image := self._timed("read", next, images, None)) is not None:
            if image.core_valid.any():
                batch.append(image)
            else:
                core = image.tile.core
                nothing = product.empty(core.height, core.width)
                self._write(writer, image.index, core, nothing, skipped=True)
            if len(batch) >= self.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _classify(self, batch: Sequence[TileImage]) -> list[TileResult]:
        return self._fit(self.classifier.classify, batch)

    def _fit[T](self, call: Callable[[Sequence[TileImage]], list[T]], batch: Sequence[TileImage]) -> list[T]:
        """Give tiles to the network, fewer at a time where the memory of the device is too small.

        Raises:
            ConfigError: Not even one tile fits.
        """
        try:
            return call(batch)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                read = batch[0].tile.read
                raise ConfigError(
                    f"A tile of {read.height} x {read.width} px does not fit the memory of the device. Use a "
                    "smaller --tile or --max-memory."
                ) from error
        half = len(batch) // 2
        self.batch_size = half
        torch.cuda.empty_cache()
        return self._fit(call, batch[:half]) + self._fit(call, batch[half:])

    def _write(
        self, writer: _Writer, index: int, core: Window, layers: Layers, *, skipped: bool = False
    ) -> None:
        started = time.perf_counter()
        writer.put(index, layers, skipped=skipped)
        self.times.add("write", time.perf_counter() - started)
        self._done_pixels += core.height * core.width
        if self.progress is not None:
            self.progress(Progress(self._done_pixels, self.total_pixels))

    def _timed[T](self, activity: str, call: Callable[..., T], *arguments: Any) -> T:
        started = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            self.times.add(activity, time.perf_counter() - started)
