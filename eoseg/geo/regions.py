"""Connected regions of a raster that is held in memory, as polygons and as numbers of pixels."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize, shapes

from eoseg.geo.grid import Grid
from eoseg.geo.ground_plan import moved_points

type Crs = CRS
"""For those who pass one on without knowing rasterio."""


def regions_of(
    codes: NDArray[np.uint16], grid: Grid
) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.int32]]:
    """Regions of equal codes whose pixels touch by their sides; code 0 is no region.

    Args:
        codes: `(height, width)`.
        grid: Where the pixels are.

    Returns:
        Polygons in the grid's CRS `(n,)`, their codes `(n,)`, and for each pixel the place of its region, or
        -1, `(height, width)`.
    """
    held = list(shapes(codes.astype(np.int32), mask=codes > 0, connectivity=4, transform=grid.transform))
    polygons = np.empty(len(held), object)
    polygons[:] = [shapely.geometry.shape(shape) for shape, _ in held]
    values = np.array([int(value) for _, value in held], np.int64)
    if not held:
        return polygons, values, np.full(codes.shape, -1, np.int32)
    numbers = rasterize(
        ((shape, number) for number, (shape, _) in enumerate(held)),
        out_shape=codes.shape,
        transform=grid.transform,
        fill=-1,
        dtype="int32",
    )
    return polygons, values, numbers


def moved_shapes(
    polygons: Sequence[shapely.Geometry], crs: CRS | None, target: CRS | None
) -> NDArray[np.object_]:
    """Polygons in another CRS, corner by corner."""
    found = np.empty(len(polygons), object)
    found[:] = list(polygons)
    if crs is None or target is None or crs == target:
        return found
    moved: NDArray[np.object_] = shapely.transform(found, lambda xy: moved_points(xy, crs, target))
    return moved
