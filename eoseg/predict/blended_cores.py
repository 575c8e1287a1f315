"""From blended scores to what is written: cores that are complete, and in which order they come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from eoseg.geo.tiles import Tile, TilePlan
from eoseg.geo.window import Window
from eoseg.predict.blend import Blender
from eoseg.predict.product import Layers, Product


@dataclass(frozen=True, slots=True)
class FinishedCore:
    """A core that waits for no other tile."""

    index: int
    layers: Layers
    skipped: bool
    """Whether it has no valid pixel."""


@dataclass(slots=True)
class _Core:
    """A core whose tile has come."""

    window: Window
    valid: NDArray[np.bool_]
    bands: list[Layers] = field(default_factory=list)


class BlendedCores:
    """Blends tiles, which come row by row, into cores.

    A core is cut into what it shares with the row of tiles above, what it has for itself, and what it
    shares with the row below. Only the last waits for another row.
    """

    def __init__(self, plan: TilePlan, overlap: int, cores: Sequence[int], product: Product) -> None:
        """Find out which tiles are needed.

        Args:
            plan: The tiles.
            overlap: Pixels that a tile counts beyond its core.
            cores: Which cores are wanted, by their tiles.
            product: What the scores mean.
        """
        self._plan, self._product = plan, product
        self._wanted = frozenset(cores)
        self._waiting: dict[int, _Core] = {}
        self._core_of: list[int] = []
        self._bands: list[Window] = []
        self._last_band: dict[int, int] = {}
        for index in cores:
            for band in _cut(plan, overlap, index):
                self._last_band[index] = len(self._bands)
                self._core_of.append(index)
                self._bands.append(band)
        self._blender = Blender(plan, overlap, self._bands)

    @property
    def tiles(self) -> list[int]:
        """The tiles that are needed, in the order in which they are to come."""
        return self._blender.tiles

    def tile(self, index: int) -> Tile:
        """A tile, with all pixels that it counts for as its core."""
        return self._blender.tile(index)

    def add(self, index: int, valid: NDArray[np.bool_], scores: Tensor | None) -> list[FinishedCore]:
        """Take the next tile.

        Args:
            index: Which.
            valid: Where the map gets a value, of the pixels that it counts for.
            scores: Of these pixels, `(C, height, width)`; None where none is valid. Such a tile need not
                be computed: no valid pixel is in its reach, so no sum lacks it.

        Returns:
            The cores that are now complete.

        Raises:
            CheckpointError: The scores hold values that are no numbers.
        """
        if index in self._wanted:
            core = self._plan.tile(index).core
            part = core.slices_in(self._blender.tile(index).core)
            self._waiting[index] = _Core(core, valid[part].copy())
        finished = []
        for number, average in self._blender.add(index, scores):
            owner = self._core_of[number]
            core_so_far = self._waiting[owner]
            core_so_far.bands.append(self._decode(self._bands[number], core_so_far, average))
            if number == self._last_band[owner]:
                finished.append(_join(owner, self._waiting.pop(owner)))
        return finished

    def _decode(self, band: Window, core: _Core, average: Tensor | None) -> Layers:
        valid = core.valid[band.slices_in(core.window)]
        if average is None or not valid.any():
            return self._product.empty(band.height, band.width)
        return self._product.decode(self._product.logits(average), valid)


def _cut(plan: TilePlan, overlap: int, index: int) -> Iterator[Window]:
    """A core in bands: shared with the row above, its own, shared with the row below."""
    core = plan.tile(index).core
    upper = core.row + overlap if core.row else 0
    lower = core.row_stop - overlap if core.row_stop < plan.height else plan.height
    upper = min(upper, core.row_stop)
    for start, stop in ((core.row, upper), (upper, lower), (lower, core.row_stop)):
        if stop > start:
            yield Window(start, core.col, stop - start, core.width)


def _join(index: int, core: _Core) -> FinishedCore:
    layers = tuple(
        np.concatenate([band if band.ndim == 3 else band[None] for band in bands], axis=1)
        for bands in zip(*core.bands, strict=True)
    )  # (bands, height, width) each
    return FinishedCore(index, layers, skipped=not core.valid.any())
