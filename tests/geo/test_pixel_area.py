"""Areas of pixels against a projection that keeps areas, and against geodesics."""

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS

from eoseg.geo.grid import Grid
from eoseg.geo.pixel_area import PixelArea


def grid(crs: str | None, transform: Affine, height: int = 4, width: int = 3) -> Grid:
    return Grid(CRS.from_string(crs) if crs else None, transform, height, width)


@pytest.mark.parametrize(
    ("crs", "transform", "unit", "area"),
    [
        ("EPSG:32632", Affine(10, 0, 0, 0, -20, 0), "m2", 200),
        ("EPSG:32632", Affine.rotation(30) @ Affine.scale(10, -20), "m2", 200),
        ("EPSG:2263", Affine(10, 0, 0, 0, -20, 0), "m2", 200 * (1200 / 3937) ** 2),  # US survey feet
        (None, Affine(10, 0, 0, 0, -20, 0), "px", 1),
        ('LOCAL_CS["site",UNIT["metre",1]]', Affine(10, 0, 0, 0, -20, 0), "px", 1),
    ],
)
def test_in_a_plane_all_pixels_are_alike(crs: str | None, transform: Affine, unit: str, area: float) -> None:
    found = PixelArea(grid(crs, transform))
    assert found.unit == unit
    assert found.constant == pytest.approx(area, rel=1e-12)


@pytest.mark.parametrize("transform", [Affine(0.01, 0, 8, 0, -0.01, 80), Affine(0.01, 0, 8, 0, 0.01, -33)])
def test_on_the_ellipsoid_the_area_is_that_of_geodesics(transform: Affine) -> None:
    found = PixelArea(grid("EPSG:4326", transform))
    assert (found.unit, found.constant) == ("m2", None)
    areas = found.of_rows(1, 3)
    assert areas.shape == (3, 3)
    corners = [transform @ corner for corner in [(2, 3), (3, 3), (3, 4), (2, 4)]]  # of the last pixel
    expected, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*zip(*corners, strict=True))
    assert areas[-1, -1] == pytest.approx(abs(expected), rel=1e-6)
    assert areas[0, 0] != pytest.approx(areas[1, 0], rel=1e-6)


def test_a_rotated_geographic_grid_has_another_area_in_each_pixel() -> None:
    transform = Affine.translation(8, 60) @ Affine.rotation(45) @ Affine.scale(0.01, -0.01)
    areas = PixelArea(grid("EPSG:4326", transform)).of_rows(0, 4)
    corners = [transform @ corner for corner in [(2, 3), (3, 3), (3, 4), (2, 4)]]
    expected, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*zip(*corners, strict=True))
    assert areas[3, 2] == pytest.approx(abs(expected), rel=1e-6)
    assert len(np.unique(areas[0])) == 3


def test_the_whole_earth_has_its_area() -> None:
    whole = PixelArea(grid("EPSG:4326", Affine(0.5, 0, -180, 0, -0.5, 90), 360, 720)).of_rows(0, 360)
    assert whole.sum() == pytest.approx(510_065_621.724e6, rel=1e-5)


def test_degrees_are_not_the_only_unit() -> None:
    degrees = PixelArea(grid("EPSG:4807", Affine(0.9, 0, 0, 0, -0.9, 45))).of_rows(0, 1)  # in grads
    assert CRS.from_epsg(4807).units_factor[0] == "grad"
    same = PixelArea(grid("EPSG:4275", Affine(0.81, 0, 0, 0, -0.81, 40.5))).of_rows(0, 1)  # in degrees
    np.testing.assert_allclose(degrees, same, rtol=1e-9)
