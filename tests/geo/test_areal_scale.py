"""How much projections enlarge areas, where it is known."""

import math

import pytest
from affine import Affine
from rasterio.crs import CRS

from eoseg.errors import GridError
from eoseg.geo.areal_scale import areal_error, require_true_areas
from eoseg.geo.grid import Grid


def grid(epsg: int | None, x: float, y: float, pixel: float = 10.0) -> Grid:
    crs = None if epsg is None else CRS.from_epsg(epsg)
    return Grid(crs, Affine(pixel, 0, x, 0, -pixel, y), 100, 100)


def test_utm_is_at_its_scale_factor_on_the_central_meridian() -> None:
    assert areal_error(grid(32632, 500_000, 5_400_000)) == pytest.approx(1 - 0.9996**2, rel=1e-2)


def test_an_equal_area_projection_has_no_error() -> None:
    assert areal_error(grid(3035, 4_321_000, 3_210_000)) < 1e-6


def test_web_mercator_is_refused_away_from_the_equator() -> None:
    latitude = math.radians(48)
    y = 6_378_137 * math.log(math.tan(math.pi / 4 + latitude / 2))
    north = grid(3857, 1_000_000, y)
    assert areal_error(north) == pytest.approx(1 / math.cos(latitude) ** 2 - 1, rel=0.02)
    with pytest.raises(GridError, match=r"EPSG:3857.* up to 12\d% away .* -t_srs EPSG:6933 -r near 'm.tif'"):
        require_true_areas(north, path="m.tif")
    assert require_true_areas(grid(3857, 1_000_000, 500), path="m.tif") < 0.01


@pytest.mark.parametrize(("epsg", "pixel"), [(4326, 0.001), (None, 1.0)])
def test_degrees_and_bare_pixels_have_none(epsg: int | None, pixel: float) -> None:
    assert areal_error(grid(epsg, 10, 50, pixel)) == 0


def test_a_place_outside_the_projection_is_refused() -> None:
    with pytest.raises(GridError, match="Warp the map"):
        require_true_areas(grid(32632, 5e9, 5e9), path="m.tif")
