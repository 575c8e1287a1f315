"""Where a pixel lies on the globe."""

import math

from rasterio._err import CPLE_BaseError  # raised by rasterio.warp.transform and by nothing public
from rasterio.errors import RasterioError
from rasterio.warp import transform

from eoseg.geo.grid import Grid


def lonlat(grid: Grid, *, row: float, col: float) -> tuple[float, float] | None:
    """Longitude and latitude of a place in a grid, in degrees of WGS 84.

    Args:
        grid: The grid.
        row: Rows from its upper edge; 0.5 is the middle of the first pixel.
        col: Columns from its left edge.

    Returns:
        None where the grid has no CRS, or the CRS no such place on Earth.
    """
    if grid.crs is None:
        return None
    x, y = grid.transform @ (col, row)
    try:
        longitudes, latitudes, *_ = transform(grid.crs, "EPSG:4326", [x], [y])
    except (RasterioError, CPLE_BaseError):
        return None
    if not (math.isfinite(longitudes[0]) and math.isfinite(latitudes[0])):
        return None
    return float(longitudes[0]), float(latitudes[0])
