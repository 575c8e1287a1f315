"""Values of a scene that training never saw: the share at each pixel, and the tiles that hold many.

A network was never shown what it should say of such values, and may well be sure of it all the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import PROBABILITY_STEPS
from eoseg.geo.parts import Parts
from eoseg.geo.share import Share
from eoseg.geo.uncertaintyfile import Extra
from eoseg.recipe import Recipe

FLAGGED_SHARE = 0.05
"""Of a tile's pixels: where more of them have such a value, it is pointed out."""

OUT_OF_RANGE: Extra = "out_of_range"
_STRIP_BYTES = 2 * 2**20  # of a band that are read at a time


class Ranges:
    """The smallest and largest value of each band in the training pixels; of several trainings, in all."""

    def __init__(self, recipes: Sequence[Recipe], *, device: torch.device | None = None) -> None:
        """Look the ranges up.

        Args:
            recipes: Of networks with the same bands.
            device: Where images are.
        """
        each = [{band.name: band for band in recipe.statistics.bands} for recipe in recipes]
        names = recipes[0].schema.bands
        low = [min(bands[name].minimum for bands in each) for name in names]
        high = [max(bands[name].maximum for bands in each) for name in names]
        self._low, self._high = (
            torch.tensor(ends, dtype=torch.float32, device=device).view(-1, 1, 1) for ends in (low, high)
        )  # (C, 1, 1)

    def outside(self, image: Tensor, valid: Tensor, *, of_chips: bool = False) -> Tensor:
        """Which share of the valid values lies outside of the range of their band.

        The share is rounded to the steps in which it is stored, but not to 0: what is the same in several
        tiles stays the same where they are blended. A value that was missing, and for which the training mean
        stands, lies inside.

        Args:
            image: Raw values `(B, [T,] C, H, W)`.
            valid: Bool `(B, [T,] H, W)`.
            of_chips: One share for a whole image, instead of one for each pixel.

        Returns:
            `(B, 1, H, W)`, or `(B, 1)` of chips; 0 to 1, and 0 where nothing is valid.
        """
        known = valid.unsqueeze(-3)  # (B, [T,] 1, H, W)
        beyond = ((image < self._low) | (image > self._high)) & known  # (B, [T,] C, H, W)
        axes = tuple(range(1, image.ndim if of_chips else image.ndim - 2))
        found, values = beyond.sum(dim=axes), known.sum(dim=axes) * len(self._low)  # (B, [H, W])
        steps = (PROBABILITY_STEPS * found / values.clamp_min(1)).round()
        return (torch.where(found > 0, steps.clamp_min(1), steps) / PROBABILITY_STEPS).unsqueeze(1)


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """How many tiles of a map have values that training never saw, and where they are most."""

    tiles: int
    """Those with a value in the map."""
    flagged: int
    """Those of them with such a value, in any band, in more than `FLAGGED_SHARE` of their mapped pixels."""
    worst: float
    """That share of the worst tile, 0 to 1."""
    row: int
    """Middle of the worst tile, in pixels of the scene."""
    column: int
    place: tuple[float, float] | None
    """The same in the scene's CRS, x and y; None without one."""

    def __str__(self) -> str:
        """As the map's tags say it."""
        where = f", worst {self.worst:.1%} around row {self.row}, column {self.column}" if self.worst else ""
        return f"{self.flagged} of {self.tiles} tiles{where}"


def count_out_of_range(parts: Parts, layer: int, *, grid: Grid) -> OutOfRange | None:
    """Look for tiles with many values that training never saw.

    Args:
        parts: The map so far, complete.
        layer: Which layer has the band for it.
        grid: The scene's own grid, for the place.

    Returns:
        None where the map has no value at all.
    """
    band, tiles, flagged, worst = parts.layers[layer].bands.index(OUT_OF_RANGE), 0, 0, (-1.0, 0)
    for number in range(parts.shares):
        with Share(parts, number, wait=True, check=False) as share:
            for index, known, outside in _tiles(share, layer, band):
                if known:
                    tiles += 1
                    flagged += outside > FLAGGED_SHARE * known
                    worst = max(worst, (outside / known, -index))  # the first of equal ones
    if not tiles:
        return None
    core = parts.cores.tile(-worst[1]).core
    down, right = grid.height / parts.grid.height, grid.width / parts.grid.width
    row, column = (core.row + core.height / 2) * down, (core.col + core.width / 2) * right
    place = None
    if grid.is_georeferenced:
        x, y = grid.places(np.array([column]), np.array([row]))
        place = (float(x[0]), float(y[0]))
    return OutOfRange(tiles, flagged, worst[0], int(row), int(column), place)


def _tiles(share: Share, layer: int, band: int) -> Iterator[tuple[int, int, int]]:
    """Each tile of a share, how many of its pixels have a value, and how many are out of range.

    Tiles of one row are read together, because rows of the whole width are one piece of the file.
    """
    cores, kind = share.parts.cores, share.parts.layers[layer]
    indices = range(*share.parts.bounds(share.number))
    step = max(1, _STRIP_BYTES // (cores.width * kind.item_bytes))
    for _, group in groupby(indices, key=lambda index: index // cores.columns):
        windows = {index: cores.tile(index).core for index in group}
        first, counts = next(iter(windows.values())), {index: np.zeros(2, np.int64) for index in windows}
        for row in range(first.row, first.row_stop, step):
            values = share.read_rows(layer, band, row, min(row + step, first.row_stop))
            known = ~np.isnan(values) if kind.dtype == "float32" else values != kind.nodata
            outside = known & (values > 0)
            for index, core in windows.items():
                columns = slice(core.col, core.col_stop)
                counts[index] += known[:, columns].sum(), outside[:, columns].sum()
        for index, (seen, beyond) in counts.items():
            yield index, int(seen), int(beyond)
