"""By how much a projection enlarges areas where a raster lies."""

import numpy as np

from eoseg.errors import GridError
from eoseg.geo.grid import Grid, crs_name

NOTABLE = 0.005
"""Share by which areas may be wrong before it is said. UTM stays below 0.002 inside its zone."""

MOST = 0.05
"""Share from which areas are refused."""


def areal_error(grid: Grid) -> float:
    """The largest share by which areas on the map differ from those on the ellipsoid.

    Looked at are 5 x 5 places of the grid. It is 0 without a CRS, and in a geographic one, where
    `eoseg.geo.pixel_area` takes the ellipsoid's own.
    """
    if grid.crs is None or not grid.crs.is_projected:
        return 0.0
    import pyproj

    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    cols, rows = np.meshgrid(np.linspace(0, grid.width, 5), np.linspace(0, grid.height, 5))
    xs, ys = grid.places(cols.ravel(), rows.ravel())
    move = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    longitudes, latitudes = move.transform(xs, ys)
    scales = np.asarray(pyproj.Proj(crs).get_factors(longitudes, latitudes).areal_scale)
    return float(np.abs(scales - 1).max())


def require_true_areas(grid: Grid, *, path: str) -> float:
    """Refuse a map on whose projection areas mean little.

    Returns:
        What `areal_error` gave.

    Raises:
        GridError: Areas are wrong by more than `MOST`.
    """
    error = areal_error(grid)
    if not error <= MOST:  # NaN and infinity too
        raise GridError(
            f"In the CRS of '{path}' ({crs_name(grid.crs)}) areas are up to {error:.0%} away from those on "
            f"the ground; expected at most {MOST:.0%}. Warp the map to an equal-area CRS first, such as "
            f"gdalwarp -t_srs EPSG:6933 -r near '{path}' equal_area.tif"
        )
    return error
