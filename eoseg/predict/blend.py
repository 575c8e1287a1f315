"""Averages of neighbouring tiles where they overlap.

Where a network's result depends on where a tile lies, cores that are cut off side by side meet in visible
lines. Instead, a tile counts a little beyond its core, and less and less: its weight falls along half a
wave of a cosine (a Hann window) across each border that it shares with a neighbour. The weights of all tiles
at a pixel add up to one and none is zero, also at the scene's borders, where there is no neighbour and
hence no fall. So nothing is divided in the end, and a pixel needs no tile but those that reach it.

A tile reaches no further than the middle of its neighbours, so a core depends on the tiles around it alone.
What is held is therefore a rolling strip: the pixels that wait for the next row of tiles.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eoseg.geo.tiles import Tile, TilePlan
from eoseg.geo.window import Window

_LEAST_PANEL = 4  # narrower panels would compute most tiles twice


@dataclass(frozen=True, slots=True)
class StripBytes:
    """Memory of a pixel that waits."""

    sums: int
    """Where it waits for scores: four bytes for each."""
    results: int
    """Where it waits for its core: what is written of it, and whether it is valid."""


def overlap_of(plan: TilePlan) -> int:
    """How many pixels a blended tile counts beyond its core: its halo, but at most half of a core."""
    return min(plan.halo, plan.core // 2)


def weights(plan: TilePlan, overlap: int, place: int, *, along: int) -> Tensor:
    """The weight of a tile for each pixel that it counts for, along one axis.

    Args:
        plan: The tiles.
        overlap: Pixels that a tile counts beyond its core.
        place: Row of the tile, or column.
        along: Height of the scene in pixels, or width.

    Returns:
        Float32, above 0 and up to 1.
    """
    start, stop = plan.span(place, along)
    pixels = torch.arange(max(start - overlap, 0), min(stop + overlap, along), dtype=torch.float64) + 0.5
    found = torch.ones_like(pixels)
    if overlap and start > 0:
        found *= _risen(pixels - start, overlap)
    if overlap and stop < along:
        found *= 1 - _risen(pixels - stop, overlap)
    return found.float()


def _risen(beyond: Tensor, overlap: int) -> Tensor:
    """From 0 to 1 across a border: the weight of the tile beyond it."""
    share = ((beyond + overlap) / (2 * overlap)).clamp(0, 1)
    risen: Tensor = (math.pi / 2 * share).sin() ** 2
    return risen


class Blender:
    """Averages the results of tiles, which come row by row, for some windows of the scene.

    It holds sums for the windows that have been begun and still wait for a tile.
    """

    def __init__(self, plan: TilePlan, overlap: int, windows: Sequence[Window]) -> None:
        """Find out which tiles each window needs.

        Args:
            plan: The tiles.
            overlap: Pixels that a tile counts beyond its core, at most half a core; 0 to join cores alone.
            windows: What is wanted, inside the scene.
        """
        self._plan, self._overlap, self._windows = plan, overlap, windows
        self._needing: dict[int, list[int]] = defaultdict(list)
        self._last: list[int] = []
        for number, window in enumerate(windows):
            needed = self._tiles_of(window)
            self._last.append(needed[-1])
            for index in needed:
                self._needing[index].append(number)
        self._sums: dict[int, Tensor] = {}
        self.tiles = sorted(self._needing)
        """The tiles that reach into the windows: all of them are to come, in this order."""
        self._expected = iter(self.tiles)

    def _tiles_of(self, window: Window) -> list[int]:
        plan, more = self._plan, self._overlap
        rows = range(
            max(plan.row_of(window.row - more), 0),
            min(plan.row_of(window.row_stop - 1 + more), plan.rows - 1) + 1,
        )
        columns = range(
            max(plan.row_of(window.col - more), 0),
            min(plan.row_of(window.col_stop - 1 + more), plan.columns - 1) + 1,
        )
        return [row * plan.columns + column for row in rows for column in columns]

    def tile(self, index: int) -> Tile:
        """A tile, with all pixels that it counts for as its core."""
        tile = self._plan.tile(index)
        scene = Window(0, 0, self._plan.height, self._plan.width)
        wider = tile.core.grow(self._overlap).intersection(scene)
        assert wider is not None
        return Tile(wider, tile.read)

    @torch.inference_mode()
    def add(self, index: int, scores: Tensor | None) -> list[tuple[int, Tensor | None]]:
        """Take the next tile.

        The sums are the same to the last bit whichever windows are wanted: a pixel's tiles are added in
        their order, one by one.

        Args:
            index: The tile, the next of `tiles`.
            scores: `(C, height, width)` of the pixels that it counts for; None where none of them matters.

        Returns:
            The windows that wait for no other tile, by their number, with their averages
            `(C, height, width)`; None for those of which no pixel matters.

        Raises:
            ValueError: It is not the next tile.
        """
        if index != next(self._expected, None):
            raise ValueError(f"tiles come in their order, each once; found tile {index}")
        counts_for, weight = self.tile(index).core, None
        if scores is not None:
            row, column = divmod(index, self._plan.columns)
            down = weights(self._plan, self._overlap, row, along=self._plan.height)
            right = weights(self._plan, self._overlap, column, along=self._plan.width)
            weight = (down[:, None] * right).to(scores.device)
        done = []
        for number in self._needing.pop(index):
            window = self._windows[number]
            part = window.intersection(counts_for)
            if scores is not None and weight is not None and part is not None:
                inner = part.slices_in(counts_for)
                added = scores[:, *inner] * weight[inner]  # multiplied first: a fused sum may round otherwise
                if number not in self._sums:
                    self._sums[number] = added.new_zeros((len(scores), window.height, window.width))
                self._sums[number][:, *part.slices_in(window)] += added
            if self._last[number] == index:
                done.append((number, self._sums.pop(number, None)))
        return done


def panel_columns(plan: TilePlan, overlap: int, *, pixel_bytes: StripBytes, strip_bytes: int) -> int:
    """How many columns of tiles are worked on from top to bottom before the next ones.

    All of them where what waits for the next row of tiles stays within the memory. Elsewhere the tiles
    beside a panel are computed again for it.

    Args:
        plan: The tiles.
        overlap: Pixels that a tile counts beyond its core.
        pixel_bytes: What waits, per pixel.
        strip_bytes: Memory for all that waits.
    """
    of_one = strip_size(plan, overlap, columns=1, pixel_bytes=pixel_bytes)
    fitting = max(_LEAST_PANEL, strip_bytes // of_one)
    panels = -(-plan.columns // fitting)
    return -(-plan.columns // panels)


def strip_size(plan: TilePlan, overlap: int, *, columns: int, pixel_bytes: StripBytes) -> int:
    """Bytes that wait for the next row of tiles, of so many columns.

    These are the sums of the pixels that two rows share, and what is known already of cores that are not
    complete.
    """
    width = min(columns * plan.core, plan.width)
    return width * (2 * overlap * pixel_bytes.sums + plan.core * pixel_bytes.results)


def panels(plan: TilePlan, columns: int, cores: Sequence[int]) -> Iterator[list[int]]:
    """Share out cores to panels of so many columns, each row by row."""
    for first in range(0, plan.columns, columns):
        chosen = [index for index in cores if first <= index % plan.columns < first + columns]
        if chosen:
            yield chosen


def count_computed(plan: TilePlan, overlap: int, columns: int, shares: int) -> int:
    """How many tiles are computed in all, with those that several panels or processes need."""
    total = 0
    for share in range(shares):
        bounds = (number * len(plan) // shares for number in (share, share + 1))
        for cores in panels(plan, columns, range(*bounds)):
            total += len(Blender(plan, overlap, [plan.tile(index).core for index in cores]).tiles)
    return total
