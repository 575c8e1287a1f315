import pytest
from affine import Affine
from rasterio.crs import CRS

from eoseg.geo.grid import Grid
from eoseg.geo.position import lonlat


def test_a_place_in_degrees_is_that_of_the_transform() -> None:
    grid = Grid(CRS.from_epsg(4326), Affine(0.5, 0, 10, 0, -0.25, 50), 8, 8)
    assert lonlat(grid, row=2, col=4) == pytest.approx((12.0, 49.5))


def test_the_central_meridian_of_a_utm_zone_is_where_it_is_defined() -> None:
    grid = Grid(CRS.from_epsg(32632), Affine(10, 0, 499_960, 0, -10, 40), 8, 8)
    place = lonlat(grid, row=4, col=4)  # 500 km east, on the equator: the definition of zone 32
    assert place == pytest.approx((9.0, 0.0), abs=1e-9)


def test_without_a_crs_nobody_knows() -> None:
    assert lonlat(Grid(None, Affine.identity(), 8, 8), row=1, col=1) is None


def test_a_place_beyond_the_projection_is_none() -> None:
    grid = Grid(CRS.from_epsg(32632), Affine(1e9, 0, 0, 0, -1e9, 0), 8, 8)
    assert lonlat(grid, row=4, col=4) is None
