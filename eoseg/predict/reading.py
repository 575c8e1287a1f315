"""In which order tiles are read, and with how large a cache, so that few blocks are decoded twice.

A block of a file is decoded whole, whatever part of it a tile needs. Tiles overlap by their halo, and their
edges seldom lie on those of blocks, so the blocks of a whole row of tiles have to stay in the cache until the
next row is read. Where the cache cannot hold the blocks of a row of a wide scene, tiles are read in panels:
several columns of tiles from top to bottom, then the next ones. Only blocks between two panels are then
decoded twice, and memory does not grow with the width of the scene.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from eoseg.geo.tiles import TilePlan
from eoseg.predict.plan import ChipPlan

_USUAL_BYTES = 128 * 2**20
"""Of the cache, so that memory does not show how large a scene is; more only where blocks are many."""
_LEAST_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """How the tiles of a scene are read."""

    cache_bytes: int
    """Size of GDAL's cache of blocks."""
    columns: int
    """Tiles side by side in a panel."""

    def order(self, indices: Iterable[int], columns: int) -> list[int]:
        """Sort tiles by panel, and row by row within it.

        Args:
            indices: Places in the row-by-row order of all tiles.
            columns: How many tiles of the scene lie side by side.
        """
        return sorted(indices, key=lambda index: (index % columns // self.columns, index))


def plan_reading(
    plan: TilePlan | ChipPlan, *, block_shape: tuple[int, int], pixel_bytes: int, at_most: int
) -> Reading:
    """Choose the panels and the cache of a scene.

    Args:
        plan: The tiles.
        block_shape: Height and width of the file's blocks.
        pixel_bytes: Of a pixel in the file, over all bands and dates.
        at_most: Bytes that the cache may have.
    """
    cores = plan.cores if isinstance(plan, ChipPlan) else plan
    height, width = block_shape
    reads = [plan.tile(row * cores.columns).read for row in range(cores.rows)]
    rows = max(-(-read.row_stop // height) - read.row // height for read in reads)
    column_bytes = rows * height * pixel_bytes  # of one pixel column of what a row of tiles needs

    def needed(columns: int) -> int:
        # What lies beside a panel; and the blocks of the tile at work, before older ones are given up.
        across = columns * plan.core + 2 * plan.halo + 2 * width
        if columns >= cores.columns or width >= cores.width:
            across = cores.width
        return column_bytes * (across + min(cores.width, plan.core + 2 * plan.halo + width))

    if width >= cores.width:  # lines of the whole width: a panel of them would save nothing
        return Reading(min(at_most, max(_USUAL_BYTES, needed(cores.columns))), cores.columns)
    least = min(_LEAST_COLUMNS, cores.columns)
    cache = min(at_most, max(_USUAL_BYTES, needed(least)))
    fitting = [columns for columns in range(least, cores.columns + 1) if needed(columns) <= cache]
    return Reading(cache, max(fitting, default=least))
