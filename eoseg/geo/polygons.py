"""Polygons of equal values of a raster of any size, strip by strip.

The polygons are those of the whole raster, corner by corner, however it is cut into strips: a strip adds its
half-edges (see `eoseg.geo.borders`) to those that are open, borders that cross its edges are joined where
they were cut, and no ring is closed before its region is complete. Regions that touch over a seam are joined
by their numbers. Rings are therefore never cut and never merged as shapes.

Memory: some arrays of the size of a strip, and about 30 bytes per half-edge of the regions that reach the
present strip; two or three times that while complete regions are looked for. A region that spans the whole
raster, such as a background, is complete only at its end: all corners of its border are in memory then, with
about 180 bytes each while its polygon is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from eoseg.geo.borders import (
    EAST,
    NORTH,
    SOUTH,
    WEST,
    Corners,
    Regions,
    Turns,
    bends,
    find_corners,
    find_regions,
    find_turns,
    join,
    pad_strip,
)
from eoseg.geo.rings import make_polygons

_SWEEP = 2**20
"""So many half-edges and regions, or twice those that were open, before complete ones are looked for: so the
work for that stays in proportion to the raster."""


@dataclass(frozen=True, eq=False)
class Polygons:
    """Some polygons of a raster."""

    shapes: NDArray[np.object_]
    """`(n,)` shapely polygons."""
    values: NDArray[np.int64]
    """`(n,)`: the value of the pixels."""
    pixels: NDArray[np.int64]
    """`(n,)`: the number of pixels."""
    sums: NDArray[np.float64]
    """`(n, L)`: over the pixels, of each layer that was given."""


@dataclass(eq=False)
class _HalfEdges:
    """Columns of a table of half-edges."""

    corner: NDArray[np.int64]
    """Where it starts: row times corners per row, plus column."""
    region: NDArray[np.int32]
    following: NDArray[np.int64]
    """The half-edge after it; -1 while it is not known, because the border goes on in the next strip."""
    crossing: NDArray[np.int64]
    """See `eoseg.geo.borders.Turns`."""
    is_vertex: NDArray[np.bool_]
    """Whether its corner is a vertex of the polygon."""

    def __len__(self) -> int:
        return len(self.corner)


@dataclass(eq=False)
class _Seam:
    """Borders that cross the lower edge of a strip, by column of corners: numbers of half-edges, or -1."""

    southward: NDArray[np.int64]
    """The half-edge that crosses downwards."""
    following: NDArray[np.int64]
    """The one that follows the half-edge that crosses upwards."""
    crossing: NDArray[np.int64]
    """The one that follows it instead in one region."""

    def renumber(self, numbers: NDArray[np.int64]) -> None:
        """Take up new numbers of half-edges; the last is that of -1."""
        for column in (self.southward, self.following, self.crossing):
            column[:] = numbers[column]


class PolygonTracer:
    """Take a raster strip by strip, give back polygons as they become complete."""

    def __init__(
        self,
        width: int,
        *,
        outside: int,
        transform: Affine | None = None,
        values: Sequence[int] | None = None,
        layers: int = 0,
    ) -> None:
        """Begin a raster.

        Args:
            width: Of the raster in pixels.
            outside: The value that means "nothing"; it makes no polygons.
            transform: From corners (column, row) to coordinates; by default these themselves.
            values: Make polygons of these values alone.
            layers: How many numbers per pixel are summed up.
        """
        self._width = width
        self._outside = outside
        self._transform = Affine.identity() if transform is None else transform
        self._values = values
        self._layers = layers
        self._row = 0
        self._above: NDArray[Any] | None = None
        nothing = np.full(width + 1, -1, np.int64)
        self._seam = _Seam(nothing, nothing.copy(), nothing.copy())
        self._table: list[_HalfEdges] = []
        self._edges = self._kept = 0
        self._late: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        # Of regions: value and sums, pairs that are one region, and the regions of the last row.
        self._region_values: list[NDArray[np.int64]] = []
        self._region_sums: list[NDArray[np.float64]] = []
        self._regions = 0
        self._no_pairs = np.empty((2, 0), np.int64)
        self._pairs = [self._no_pairs]
        self._last = np.zeros(width, np.int64)

    def add(
        self,
        rows: NDArray[Any],
        layers: Sequence[NDArray[Any]] = (),
        *,
        vertices: NDArray[np.bool_] | None = None,
        last: bool = False,
    ) -> Polygons:
        """Add the next strip.

        Args:
            rows: Values `(n, W)`, of the same type in each strip.
            layers: Numbers `(n, W)` per pixel that are summed up over each polygon.
            vertices: `(n + 1, W + 1)`: which corners become vertices; by default those at which a ring
                turns. The first row, where borders are cut then, must be all True.
            last: Whether the raster ends here.

        Returns:
            Polygons that are complete and were not given back before.
        """
        above = np.full(self._width, self._outside, rows.dtype) if self._above is None else self._above
        cells = pad_strip(above, rows, outside=self._outside, last=last)
        regions = find_regions(cells)
        self._add_half_edges(cells, regions, vertices)
        self._add_regions(cells, regions, layers)
        self._last = (
            self._regions
            - regions.count
            + regions.at((len(rows) * cells.shape[1]) + 1 + np.arange(self._width)).astype(np.int64)
        )
        self._above = rows[-1].copy()
        self._row += len(rows)
        if last or self._edges + self._regions >= max(_SWEEP, 2 * self._kept):
            return self._sweep(last=last)
        return _no_polygons(self._layers)

    def _add_half_edges(
        self, cells: NDArray[Any], regions: Regions, vertices: NDArray[np.bool_] | None
    ) -> None:
        """Number the half-edges of a strip and connect them with each other."""
        corners = find_corners(cells, cut=vertices is not None)
        values = cells.ravel()
        beside = values[corners.right]
        is_wanted = corners.borders & (beside != self._outside)
        if self._values is not None:
            is_wanted &= np.isin(beside, self._values, kind="table")
        numbers = np.where(is_wanted, self._edges - 1 + np.cumsum(is_wanted).reshape(is_wanted.shape), -1)
        turns = find_turns(values, corners, numbers)
        following, crossing = np.full_like(numbers, -1), np.full_like(numbers, -1)
        upper = np.flatnonzero(corners.below >= 0)
        lower = corners.below[upper]
        for own, turn in ((following, turns.following), (crossing, turns.crossing)):
            own[:-1, EAST], own[1:, WEST] = turn[1:, EAST], turn[:-1, WEST]  # along a row: the next corner
            own[upper, SOUTH], own[lower, NORTH] = turn[lower, SOUTH], turn[upper, NORTH]
        self._cross_seam(corners, numbers, turns, following, crossing)
        is_vertex = bends(corners.borders)
        if vertices is not None:
            is_vertex[:] = vertices[corners.row, corners.col][:, None]
        code = (self._row + corners.row) * (self._width + 1) + corners.col
        self._table.append(
            _HalfEdges(
                corner=np.broadcast_to(code[:, None], is_wanted.shape)[is_wanted],
                region=regions.at(corners.right[is_wanted]) + np.int32(self._regions),
                following=following[is_wanted],
                crossing=crossing[is_wanted],
                is_vertex=is_vertex[is_wanted],
            )
        )
        self._edges += int(is_wanted.sum())

    def _cross_seam(
        self,
        corners: Corners,
        numbers: NDArray[np.int64],
        turns: Turns,
        following: NDArray[np.int64],
        crossing: NDArray[np.int64],
    ) -> None:
        """Connect the borders that cross the upper edge of the strip, and note those that cross the lower."""
        is_first = np.ones(len(corners.col), np.bool_)
        is_first[corners.below[corners.below >= 0]] = False
        first = np.flatnonzero(is_first & corners.borders[:, NORTH])
        col = corners.col[first]
        waiting = self._seam.southward[col]
        known = waiting >= 0
        arrived = first[known]
        self._late.append((waiting[known], turns.following[arrived, SOUTH], turns.crossing[arrived, SOUTH]))
        following[first, NORTH] = self._seam.following[col]
        crossing[first, NORTH] = self._seam.crossing[col]
        final = np.flatnonzero((corners.below < 0) & corners.borders[:, SOUTH])
        col = corners.col[final]
        self._seam.southward[col] = numbers[final, SOUTH]
        self._seam.following[col] = turns.following[final, NORTH]
        self._seam.crossing[col] = turns.crossing[final, NORTH]

    def _add_regions(self, cells: NDArray[Any], regions: Regions, layers: Sequence[NDArray[Any]]) -> None:
        """Note values, numbers of pixels and sums of the regions of a strip, and which continue others."""
        if self._above is not None:
            top = regions.at(1 + np.arange(self._width)).astype(np.int64) + self._regions
            self._pairs.append(np.stack([self._last, top]))
        values = np.empty(regions.count, np.int64)
        values[regions.region_of_run] = cells.ravel()[regions.starts]
        sums = np.empty((regions.count, 1 + self._layers))
        of_run = np.diff(regions.starts, append=cells.size).astype(np.float64)
        of_run[regions.starts < cells.shape[1]] = 0  # the row above was counted with its own strip
        sums[:, 0] = np.bincount(regions.region_of_run, of_run, regions.count)
        for number, layer in enumerate(layers, start=1):
            padded = np.zeros(cells.shape, layer.dtype)
            padded[1 : len(layer) + 1, 1:-1] = layer
            of_run = np.add.reduceat(padded.ravel(), regions.starts, dtype=np.float64)
            sums[:, number] = np.bincount(regions.region_of_run, of_run, regions.count)
        self._region_values.append(values)
        self._region_sums.append(sums)
        self._regions += regions.count

    def _sweep(self, *, last: bool) -> Polygons:
        """Make polygons of the regions that are complete, and forget these."""
        count, group = join(self._regions, *np.concatenate(self._pairs, axis=1))
        values = np.empty(count, np.int64)
        values[group] = np.concatenate(self._region_values)
        of_region = np.concatenate(self._region_sums)
        sums = np.stack([np.bincount(group, column, count) for column in of_region.T], axis=1)
        is_open = np.zeros(count, np.bool_)
        if not last:
            is_open[group[self._last]] = True
        edges = self._joined_table()
        edges.region = group[edges.region]
        stays = is_open[edges.region]
        complete = self._close(edges, np.flatnonzero(~stays))
        self._keep(edges, stays)
        number = np.cumsum(is_open) - 1
        self._table[0].region = number[self._table[0].region].astype(np.int32)
        self._last = number[group[self._last]]
        self._region_values, self._region_sums = [values[is_open]], [sums[is_open]]
        self._pairs = [self._no_pairs]
        self._regions = int(is_open.sum())
        self._kept = self._edges + self._regions
        regions, shapes = complete
        return Polygons(shapes, values[regions], sums[regions, 0].astype(np.int64), sums[regions, 1:])

    def _joined_table(self) -> _HalfEdges:
        """All half-edges in one table, those that cross seams connected."""
        parts = [vars(part) for part in self._table]
        edges = _HalfEdges(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        self._table = []
        for waiting, following, crossing in self._late:
            edges.following[waiting], edges.crossing[waiting] = following, crossing
        self._late = []
        return edges

    def _close(
        self, edges: _HalfEdges, chosen: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
        """The regions of some half-edges, and the polygon of each."""
        chosen = chosen[np.argsort(edges.region[chosen], kind="stable")]
        region, following, crossing = edges.region[chosen], edges.following[chosen], edges.crossing[chosen]
        crosses = (crossing >= 0) & (edges.region[crossing] == region)
        place = np.full(len(edges), -1, np.int64)
        place[chosen] = np.arange(len(chosen))
        row, col = np.divmod(edges.corner[chosen], self._width + 1)
        t = self._transform
        points = np.stack([t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f], axis=1)
        following = place[np.where(crosses, crossing, following)]
        regions = region[np.diff(region, prepend=-1) > 0]
        return regions, make_polygons(points, region, following, edges.is_vertex[chosen])

    def _keep(self, edges: _HalfEdges, stays: NDArray[np.bool_]) -> None:
        """Go on with some half-edges under new numbers."""
        numbers = np.where(stays, np.cumsum(stays) - 1, -1)
        numbers = np.append(numbers, -1)  # so that the number of -1 is -1
        kept = _HalfEdges(**{name: column[stays] for name, column in vars(edges).items()})
        for links in (kept.following, kept.crossing):
            links[:] = numbers[links]
        self._seam.renumber(numbers)
        self._table = [kept]
        self._edges = len(kept)


def _no_polygons(layers: int) -> Polygons:
    none = np.empty(0, np.int64)
    return Polygons(np.empty(0, object), none, none, np.empty((0, layers)))
