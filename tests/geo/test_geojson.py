"""Where grids lie on the globe, near its awkward places too."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry import shape

from eoseg.geo.geojson import Footprint, footprint
from eoseg.geo.grid import Grid


def place(crs: str, left: float, top: float, pixel: float, height: int, width: int) -> Footprint:
    found = footprint(Grid(CRS.from_string(crs), Affine(pixel, 0, left, 0, -pixel, top), height, width))
    assert found is not None
    polygon = shape(found.geometry)
    assert polygon.is_valid
    west, south, east, north = polygon.bounds
    assert west >= -180
    assert east <= 180
    assert (south, north) == (found.bbox[1], found.bbox[3])
    for part in shapely.get_parts(polygon):
        assert part.exterior.is_ccw  # RFC 7946, section 3.1.6
    return found


def covers(found: Footprint, lon: float, lat: float) -> bool:
    return bool(shapely.contains_xy(shape(found.geometry), lon, lat))


def test_a_scene_in_utm() -> None:
    found = place("EPSG:32632", 500_000, 5_400_000, 100, 1000, 1000)
    assert found.geometry["type"] == "Polygon"
    # The central meridian of zone 32 is 9 degrees east; 5400 km north of the equator is 48.75 degrees.
    assert found.bbox == pytest.approx([9.0, 47.84, 10.361, 48.754], abs=0.01)
    assert covers(found, 9.5, 48.3)
    # The northern border bends: its middle lies further north than the chord between its ends.
    ring = np.array(found.geometry["coordinates"][0])
    assert len(ring) > 100
    assert ring[0].tolist() == ring[-1].tolist()


def test_a_scene_across_the_antimeridian_is_cut_there() -> None:
    found = place("EPSG:32601", 100_000, 100_000, 1000, 100, 200)
    assert found.geometry["type"] == "MultiPolygon"
    west, _, east, _ = found.bbox
    assert (west, east) == pytest.approx((179.41, -178.8), abs=0.02)
    assert covers(found, 179.7, 0.5)
    assert covers(found, -179.5, 0.5)
    assert not covers(found, 0, 0.5)


@pytest.mark.parametrize("left", [170.0, -190.0])
def test_longitudes_beyond_the_antimeridian_start_anew(left: float) -> None:
    found = place("EPSG:4326", left, 10, 0.5, 20, 40)
    assert found.bbox == [170.0, 0.0, -170.0, 10.0]
    assert shape(found.geometry).area == pytest.approx(200)


def test_a_scene_that_ends_at_the_antimeridian_is_whole() -> None:
    assert place("EPSG:4326", 170, 10, 0.5, 20, 20).geometry["type"] == "Polygon"
    assert place("EPSG:4326", 170, 10, 0.5, 20, 20).bbox == [170.0, 0.0, 180.0, 10.0]
    assert place("EPSG:4326", -180, 10, 0.5, 20, 20).bbox == [-180.0, 0.0, -170.0, 10.0]


@pytest.mark.parametrize("left", [-180.0, 0.0])
def test_the_whole_globe(left: float) -> None:
    found = place("EPSG:4326", left, 90, 1, 180, 360)
    assert found.bbox == [-180.0, -90.0, 180.0, 90.0]
    assert shape(found.geometry).area == pytest.approx(360 * 180)


def test_a_global_grid_with_pixels_centred_on_the_poles() -> None:
    found = place("EPSG:4326", -180.125, 90.125, 0.25, 721, 1440)
    assert found.bbox == [-180.0, -90.0, 180.0, 90.0]
    assert shape(found.geometry).area == pytest.approx(360 * 180)


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90.0), ("EPSG:3031", -90.0)])
def test_a_scene_around_a_pole(crs: str, pole: float) -> None:
    found = place(crs, -1_000_000, 1_000_000, 10_000, 200, 200)
    assert (found.bbox[0], found.bbox[2]) == (-180.0, 180.0)
    assert pole in found.bbox
    sign = np.sign(pole)
    for lon in range(-175, 180, 10):
        assert covers(found, lon, sign * 89)
        assert not covers(found, lon, sign * 70)


def test_a_scene_beside_a_pole() -> None:
    found = place("EPSG:3413", 500_000, -500_000, 1000, 100, 100)
    assert found.geometry["type"] == "Polygon"
    assert found.bbox[3] < 84


@pytest.mark.parametrize("transform", [Affine(10, 0, 5e5, 0, 10, 5e6), Affine(6, 8, 5e5, 8, -6, 5e6)])
def test_grids_that_are_turned(transform: Affine) -> None:
    found = footprint(Grid(CRS.from_epsg(32632), transform, 50, 80))
    assert found is not None
    assert shape(found.geometry).exterior.is_ccw
    upright = footprint(Grid(CRS.from_epsg(32632), Affine(10, 0, 5e5, 0, -10, 5e6), 50, 80))
    assert upright is not None
    assert shape(found.geometry).area == pytest.approx(shape(upright.geometry).area, rel=0.01)


def test_grids_of_no_place_have_none() -> None:
    small = Affine(1e-9, 0, 9, 0, -1e-9, 48)  # below what is kept of a degree
    assert footprint(Grid(CRS.from_epsg(4326), small, 5, 5)) is None
    here = Affine(1, 0, 0, 0, -1, 0)
    assert footprint(Grid(None, here, 5, 5)) is None
    drawing = CRS.from_wkt('LOCAL_CS["drawing",UNIT["metre",1]]')
    assert footprint(Grid(drawing, here, 5, 5)) is None
    beyond = Affine(1e7, 0, -1e9, 0, -1e7, 1e9)  # metres: far off the projection
    assert footprint(Grid(CRS.from_epsg(32632), beyond, 200, 200)) is None
