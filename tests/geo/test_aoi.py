"""Which pixels of a scene lie in a polygon, wherever and in whatever CRS it was drawn."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform
from shapely.geometry import Point, Polygon, box

from eoseg.errors import DataError
from eoseg.geo.aoi import Area, AreaOfInterest, read_area
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window

LEFT, TOP = 500_000.0, 5_400_000.0
GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, LEFT, 0, -10, TOP), 12, 15)
FIELD = box(LEFT + 20, TOP - 40, LEFT + 60, TOP - 10)
INSIDE = np.zeros((12, 15), bool)
INSIDE[1:4, 2:6] = True


def write(path: Path, shapes: list[object], crs: str = "EPSG:32632", layer: str = "x") -> str:
    frame = geopandas.GeoDataFrame(geometry=shapes, crs="EPSG:32632")
    frame = frame.to_crs(crs or "EPSG:32632")
    frame.to_file(path, layer=layer) if path.suffix == ".gpkg" else frame.to_file(path)
    return str(path)


def area(shapes: list[object], crs: str) -> Area:
    return Area("area.gpkg", CRS.from_string(crs).to_wkt(), np.array(shapes, object))


def centres(grid: Grid, crs: str) -> np.ndarray:
    """The centres of all pixels in another CRS as points `(h, w)`; each one transformed on its own."""
    rows, cols = np.indices((grid.height, grid.width)) + 0.5
    xs, ys = grid.transform @ (cols.ravel(), rows.ravel())
    moved = transform(grid.crs, crs, xs, ys)
    return shapely.points(*moved).reshape(rows.shape)


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp"])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3035"])
def test_an_area_of_any_format_and_crs_is_where_it_was_drawn(tmp_path: Path, name: str, crs: str) -> None:
    read = read_area(write(tmp_path / name, [FIELD], crs)).on(GRID, image="s.tif")
    np.testing.assert_array_equal(read.mask(GRID.window), INSIDE)


SLANTED = AreaOfInterest(
    GRID, np.array([Polygon([(LEFT, TOP), (LEFT + 140, TOP - 33), (LEFT + 61, TOP - 117)]), FIELD], object)
)


@given(row=st.integers(-4, 13), col=st.integers(-4, 16), height=st.integers(1, 9), width=st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_any_window_equals_the_cut_of_the_whole(row: int, col: int, height: int, width: int) -> None:
    whole = SLANTED.mask(GRID.window.grow(30))
    found = SLANTED.mask(Window(row, col, height, width))
    np.testing.assert_array_equal(found, whole[row + 30 :, col + 30 :][:height, :width])
    if not SLANTED.touches(Window(row, col, height, width)):
        assert not found.any()


def test_a_window_beside_the_area_is_told_without_looking_at_pixels() -> None:
    assert SLANTED.touches(Window(1, 2, 1, 1))
    assert not SLANTED.touches(Window(9, 12, 3, 3))
    assert not SLANTED.touches(Window(-8, 0, 4, 4))


# A straight edge along a parallel is a curve in these CRS.
BENT = [
    ("EPSG:32632", Affine(1000, 0, 0, 0, -1000, 6_600_000), [box(4, 55, 14, 58.37)]),
    ("EPSG:3035", Affine(1000, 0, 4_000_000, 0, -1000, 3_500_000), [box(-30, 45.123, 40, 51.37)]),
    # The north pole and the antimeridian lie inside; no pixel centre lies on the latter.
    ("EPSG:3413", Affine(6000, 0, -1_501_234, 0, -6000, 1_500_000), [box(-180, 84.2, 100, 90)]),
    # Two halves of an island on the antimeridian.
    (
        "EPSG:32601",
        Affine(1000, 0, 100_000, 0, -1000, 7_200_000),
        [box(178, 62, 180, 64), box(-180, 62, -177, 64)],
    ),
    # A geographic scene that counts on beyond 180 degrees.
    ("EPSG:4326", Affine(0.01, 0, 178, 0, -0.01, 65), [box(179, 62, 180, 64), box(-180, 62, -179.203, 64)]),
]  # fmt: skip


@pytest.mark.parametrize(("crs", "place", "drawn"), BENT, ids=[crs for crs, *_ in BENT])
def test_edges_bend_as_the_crs_does(crs: str, place: Affine, drawn: list[Polygon]) -> None:
    grid = Grid(CRS.from_string(crs), place, 500, 500)
    found = area(drawn, "EPSG:4326").on(grid, image="s.tif").mask(grid.window)
    points = centres(grid, "EPSG:4326")
    wrapped = shapely.transform(points, lambda xy: np.stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]], axis=1))
    expected = shapely.contains(shapely.union_all(np.array(drawn, object)), wrapped)
    assert 0.05 < expected.mean() < 0.95
    assert (found != expected).sum() <= 2  # centres within a few metres of an edge


def test_an_area_on_another_grid_holds_all_pixels_that_it_touches() -> None:
    coarse = Grid(GRID.crs, GRID.transform @ Affine.scale(3), 4, 5)
    around, rows, cols = SLANTED.around(coarse).mask(coarse.window), *np.nonzero(SLANTED.mask(GRID.window))
    assert around[rows // 3, cols // 3].all()
    assert not around.all()


def test_an_area_larger_than_the_area_of_use_of_the_crs_is_fine() -> None:
    found = area([box(-180, -90, 180, 90)], "EPSG:4326").on(GRID, image="s.tif")
    assert found.mask(GRID.window).all()


def test_an_area_in_a_larger_layer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write(path, [FIELD], layer="fields")
    write(path, [box(LEFT, TOP - 120, LEFT + 150, TOP)], layer="scene")
    mask = read_area(f"{path}::fields").on(GRID, image="s.tif").mask(GRID.window)
    np.testing.assert_array_equal(mask, INSIDE)
    assert read_area(f"{path}::scene").on(GRID, image="s.tif").mask(GRID.window).all()
    with pytest.raises(DataError, match=r"has 2 layers \(fields, scene\).*Name it, as in '.*a.gpkg::fields'"):
        read_area(str(path))
    with pytest.raises(DataError, match="There is no layer 'field'. Did you mean 'fields'"):
        read_area(f"{path}::field")


def test_an_area_outside_the_scene_is_refused_with_both_extents(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", [box(LEFT + 1000, TOP, LEFT + 2000, TOP + 500)])
    extents = (
        r"a.gpkg' \(501000, 5400000, 502000, 5400500\) lies outside 's.tif' \(500000, 5399880, 500150, 54"
    )
    with pytest.raises(DataError, match=extents):
        read_area(path).on(GRID, image="s.tif")


def test_an_area_without_pixels_between_its_polygons_and_the_scene_is_refused() -> None:
    """The extents overlap, the polygons do not touch the scene."""
    around = box(LEFT - 500, TOP - 500, LEFT + 500, TOP + 500) - box(
        LEFT - 50, TOP - 150, LEFT + 160, TOP + 9
    )
    with pytest.raises(DataError, match="lies outside"):
        area([around], "EPSG:32632").on(GRID, image="s.tif")


def test_a_scene_without_crs_is_refused() -> None:
    with pytest.raises(DataError, match=r"'s.tif' has no CRS.*rio edit-info --crs"):
        area([FIELD], "EPSG:32632").on(Grid(None, Affine.identity(), 5, 5), image="s.tif")


def test_a_scene_that_the_area_crs_cannot_place_is_refused() -> None:
    far = Grid(CRS.from_epsg(32632), Affine(10, 0, 9e12, 0, -10, 9e12), 5, 5)
    with pytest.raises(DataError, match="outside the area of use"):
        area([FIELD], "EPSG:4326").on(far, image="s.tif")


def test_files_that_are_no_area_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file '.*absent.gpkg'"):
        read_area(str(tmp_path / "absent.gpkg"))
    text = tmp_path / "a.gpkg"
    text.write_text("no polygons")
    with pytest.raises(DataError, match="not a vector file that GDAL can read"):
        read_area(str(text))
    with pytest.raises(DataError, match="that are no polygons"):
        read_area(write(tmp_path / "points.geojson", [Point(LEFT, TOP)]))
    bare = write(tmp_path / "bare.shp", [FIELD])
    (tmp_path / "bare.prj").unlink()
    with pytest.raises(DataError, match="has no CRS.*ogr2ogr -a_srs"):
        read_area(bare)
    with pytest.raises(DataError, match="holds no polygon"):
        read_area(write(tmp_path / "empty.gpkg", []))
