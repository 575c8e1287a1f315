"""Where pixels of different value meet: regions and their borders in a strip of a raster.

A *region* is a set of pixels of one value that are connected over their sides (connectivity 4). A *corner*
is a point of the lattice between pixels at which a border turns or branches. A *half-edge* is a straight
piece of border from one corner to the next with its region on the right, rows counted downwards; each border
has one half-edge for either side. Following the half-edges of a region gives its rings: the outer one
clockwise as seen on the screen, holes the other way.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

EAST, SOUTH, WEST, NORTH = range(4)
"""Directions, clockwise: the next one is a turn to the right."""


def pad_strip(above: NDArray[Any], rows: NDArray[Any], *, outside: int, last: bool) -> NDArray[Any]:
    """Put a strip between the row above it and what lies outside.

    Args:
        above: The row above `(W,)`.
        rows: The strip `(n, W)`.
        outside: Value of what lies left and right of the raster, and below it.
        last: Whether the raster ends with this strip.

    Returns:
        `(1 + n, W + 2)`, or `(2 + n, W + 2)` at the end of the raster.
    """
    height, width = rows.shape
    cells = np.full((height + 1 + last, width + 2), outside, rows.dtype)
    cells[0, 1:-1] = above
    cells[1 : height + 1, 1:-1] = rows
    return cells


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of some cells, by runs: pixels of one value that follow one another in a row."""

    starts: NDArray[np.int64]
    """First cell of each run, as index into the flat cells."""
    run_of_cell: NDArray[np.int32]
    """`(cells,)`."""
    region_of_run: NDArray[np.int32]
    count: int

    def at(self, cells: NDArray[np.int64]) -> NDArray[np.int32]:
        """The region of cells, given as indices into the flat cells."""
        return self.region_of_run[self.run_of_cell[cells]]


def find_regions(cells: NDArray[Any]) -> Regions:
    """Find the regions of padded cells.

    Args:
        cells: As `pad_strip` gives them. What lies outside makes runs that go from row to row.
    """
    values, stride = cells.ravel(), cells.shape[1]
    is_start = np.ones(values.size, np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_start[1:])
    starts = np.flatnonzero(is_start)
    run_of_cell = np.cumsum(is_start, dtype=np.int32) - np.int32(1)
    # Where two runs lie on one another, one of them starts: only there rows need to be compared.
    below = starts[starts >= stride]
    above = starts[starts < values.size - stride]
    upper = np.concatenate([below - stride, above])
    lower = np.concatenate([below, above + stride])
    same = values[upper] == values[lower]
    count, region_of_run = join(len(starts), run_of_cell[upper[same]], run_of_cell[lower[same]])
    return Regions(starts, run_of_cell, region_of_run, count)


def join(count: int, one: NDArray[Any], other: NDArray[Any]) -> tuple[int, NDArray[np.int32]]:
    """Number the groups of things that pairs connect.

    Args:
        count: Number of things.
        one: For each pair the number of a thing.
        other: The thing that belongs to it.

    Returns:
        How many groups there are, and the group of each thing.
    """
    graph = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(count, count))
    groups, group_of = connected_components(graph, directed=False)
    return int(groups), group_of


@dataclass(frozen=True, eq=False)
class Corners:
    """The k corners of a strip, from top to bottom and from left to right.

    The corners on the lower edge of the last row of cells belong to the next strip.
    """

    row: NDArray[np.int64]
    """0 is the upper edge of the second row of cells: of the strip itself."""
    col: NDArray[np.int64]
    borders: NDArray[np.bool_]
    """`(k, 4)`: whether a border leaves to the east, south, west, north."""
    right: NDArray[np.int64]
    """`(k, 4)`: the cell on the right of each of these, as index into the flat cells."""
    below: NDArray[np.int64]
    """`(k,)`: the next corner in the same column, -1 where the strip has no more."""


def find_corners(cells: NDArray[Any], *, cut: bool) -> Corners:
    """Find the corners of padded cells.

    Args:
        cells: As `pad_strip` gives them.
        cut: Whether borders that go straight through the upper edge of the strip have a corner there.
    """
    across = cells[1:] != cells[:-1]  # borders along the rows of corners, (m, W + 2)
    down = cells[:, 1:] != cells[:, :-1]  # along the columns, (m + 1, W + 1)
    found = (across[:, :-1] | across[:, 1:]) & (down[:-1] | down[1:])
    if cut:
        found[0] |= down[0] | down[1]
    row, col = np.divmod(np.flatnonzero(found), found.shape[1])
    stride = cells.shape[1]
    northwest = row * stride + col
    order = np.argsort(col.astype(np.min_scalar_type(stride)), kind="stable")  # by column, then row
    follows = np.flatnonzero(col[order[1:]] == col[order[:-1]])
    below = np.full(len(row), -1, np.int64)
    below[order[follows]] = order[follows + 1]
    return Corners(
        row=row,
        col=col,
        borders=np.stack(
            [across[row, col + 1], down[row + 1, col], across[row, col], down[row, col]], axis=1
        ),
        right=np.stack([northwest + stride + 1, northwest + stride, northwest, northwest + 1], axis=1),
        below=below,
    )


@dataclass(frozen=True, eq=False)
class Turns:
    """Where to go on at each corner: numbers of half-edges, -1 for none, by direction of arrival."""

    following: NDArray[np.int64]
    """`(k, 4)`: the half-edge that follows."""
    crossing: NDArray[np.int64]
    """`(k, 4)`: the one that follows instead where it is of the same region. Where the pixels on either side
    of a corner belong to one region only by way of elsewhere, rings that part there touch in a point and
    are valid; one ring that came twice would not be."""


def find_turns(values: NDArray[Any], corners: Corners, numbers: NDArray[np.int64]) -> Turns:
    """Find how half-edges follow each other.

    Args:
        values: The flat cells.
        corners: Of these cells.
        numbers: `(k, 4)`: the number of the half-edge that leaves each corner in each direction, -1 for none.
    """
    following, crossing = np.full_like(numbers, -1), np.full_like(numbers, -1)
    borders = corners.borders
    southeast, southwest, northwest, northeast = values[corners.right].T
    is_cross = borders.all(axis=1)
    rising, falling = is_cross & (southwest == northeast), is_cross & (southeast == northwest)
    for heading in range(4):
        right, left = (heading + 1) % 4, (heading - 1) % 4
        following[:, heading] = np.where(
            borders[:, right],
            numbers[:, right],
            np.where(borders[:, heading], numbers[:, heading], numbers[:, left]),
        )
        # Behind to the right is one pixel of the diagonal, ahead to the left the other.
        touches = rising if heading in (EAST, WEST) else falling
        crossing[touches, heading] = numbers[touches, left]
    return Turns(following, crossing)


def bends(borders: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`(k, 4)`: whether the ring of the half-edge that leaves a corner turns there, by `Corners.borders`."""
    right, behind = np.roll(borders, -1, axis=1), np.roll(borders, 2, axis=1)
    return right | ~behind
