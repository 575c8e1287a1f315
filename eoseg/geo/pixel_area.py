"""How large pixels are on the ground."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.grid import Grid

type AreaUnit = Literal["m2", "px"]


class PixelArea:
    """The area of the pixels of a grid.

    In a projected CRS it is one figure, in square metres of the projection. In a geographic CRS it is the
    area on the ellipsoid, which depends on the latitude. Without either it is 1 pixel.
    """

    def __init__(self, grid: Grid) -> None:
        """Learn about a grid's CRS."""
        self._grid = grid
        self.unit: AreaUnit = "px"
        self.constant: float | None = 1.0
        """Area of each pixel; None where it is not the same everywhere."""
        if grid.crs is None or not (grid.crs.is_projected or grid.crs.is_geographic):
            return
        self.unit = "m2"
        unit = float(grid.crs.units_factor[1])  # of the CRS, in metres or radians
        self._in_metres_or_radians = abs(grid.transform.determinant) * unit**2
        self.constant = self._in_metres_or_radians
        if grid.crs.is_geographic:
            import pyproj

            self.constant = None
            self._radians = unit
            self._ellipsoid: Any = pyproj.CRS.from_wkt(grid.crs.to_wkt()).get_geod()

    def of_rows(self, row: int, count: int) -> NDArray[np.float64]:
        """The area of each pixel of some rows on the ellipsoid, where it is not constant.

        Extent in latitude times extent in longitude times M N cos(latitude), the product of the radii of
        curvature and the cosine at the pixel's centre: M N = a^2 (1 - e^2) / (1 - e^2 sin^2(latitude))^2
        (Snyder, Map Projections: A Working Manual, 1987, equations 4-18 and 4-20). The error is of the order
        of the square of a pixel's height in radians.

        Args:
            row: The first row.
            count: How many rows.

        Returns:
            `(count, width)` in m2.
        """
        t, width = self._grid.transform, self._grid.width
        rows = np.arange(row, row + count)[:, None] + 0.5
        cols = np.arange(width) + 0.5 if t.d else np.zeros(1)  # latitude is one in each row of most grids
        latitude = (t.d * cols + t.e * rows + t.f) * self._radians
        squared = float(self._ellipsoid.es)
        radii = self._ellipsoid.a**2 * (1 - squared) / (1 - squared * np.sin(latitude) ** 2) ** 2
        areas = self._in_metres_or_radians * radii * np.cos(latitude)
        return np.broadcast_to(areas, (count, width))
