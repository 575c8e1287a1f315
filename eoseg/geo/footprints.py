"""Where rectangles of different scenes lie on the ground, and which of them overlap."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from eoseg.geo.grid import Grid

_STEPS = 8
"""Points along each side of a footprint, because straight lines bend from one CRS to another."""

_LEAST_SHARE = 1e-3
"""Overlaps of a smaller share are rounding where footprints share a border."""


def find_overlaps(grids: Sequence[Grid]) -> list[tuple[int, int, float]]:
    """Pairs of grids that cover the same ground.

    Args:
        grids: Any CRS each; those without one are left out, because nobody can say where they lie.

    Returns:
        Places of both grids in the sequence, and the share of the smaller one that the other covers.
    """
    places = [place for place, grid in enumerate(grids) if grid.crs is not None]
    if len(places) < 2:
        return []
    shapes = footprints([grids[place] for place in places])
    tree = shapely.STRtree(shapes)
    found = []
    for first, second in zip(*tree.query(shapes, predicate="intersects"), strict=True):
        if first < second:
            common = shapely.area(shapely.intersection(shapes[first], shapes[second]))
            share = float(common / min(shapely.area(shapes[first]), shapely.area(shapes[second])))
            if share >= _LEAST_SHARE:
                found.append((places[first], places[second], share))
    return sorted(found)


def footprints(grids: Sequence[Grid]) -> NDArray[np.object_]:
    """Outlines of georeferenced grids as polygons in the CRS of the first one."""
    import geopandas

    target = grids[0].crs
    shapes = np.empty(len(grids), object)
    for crs in {grid.crs for grid in grids}:
        own = [place for place, grid in enumerate(grids) if grid.crs == crs]
        outlines = geopandas.GeoSeries([shapely.Polygon(outline(grids[place])) for place in own])
        if crs is not None and target is not None and crs != target:
            outlines = outlines.set_crs(crs.to_wkt()).to_crs(target.to_wkt())
        shapes[own] = outlines.to_numpy()
    return shapes


def outline(grid: Grid, *, steps: int = _STEPS) -> list[tuple[float, float]]:
    """Points around a grid in its CRS, of which the first is not repeated.

    Args:
        grid: With or without CRS.
        steps: Points along each side.
    """
    along = np.linspace(0, 1, steps, endpoint=False)
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    points = [
        (start[0] + (stop[0] - start[0]) * part, start[1] + (stop[1] - start[1]) * part)
        for start, stop in zip(corners, [*corners[1:], corners[0]], strict=True)
        for part in along
    ]
    return [grid.transform @ point for point in points]
