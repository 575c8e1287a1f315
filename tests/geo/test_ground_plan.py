"""Ground that footprints share, to the pixel, whatever their CRS."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import calculate_default_transform

from eoseg.geo.grid import Grid
from eoseg.geo.ground_plan import (
    GroundPart,
    GroundPlan,
    common_area,
    moved_points,
    part_of_box,
    plan_ground,
    rings_of,
)
from eoseg.geo.window import Window

UTM = CRS.from_epsg(32632)
SCENE = Grid(UTM, Affine(10, 0, 500_000, 0, -10, 5_400_000), 1000, 1000)


def moved(grid: Grid, rows: int, cols: int) -> Grid:
    return Grid(grid.crs, grid.transform @ Affine.translation(cols, rows), grid.height, grid.width)


def plan_of(*grids: Grid) -> GroundPlan:
    return plan_ground([GroundPart(str(n), grid, grid.window) for n, grid in enumerate(grids)])


def in_crs(grid: Grid, code: int) -> Grid:
    """About the same ground in another CRS."""
    transform, width, height = calculate_default_transform(
        grid.crs, CRS.from_epsg(code), grid.width, grid.height, *grid.bounds
    )
    return Grid(CRS.from_epsg(code), transform, height, width)


def test_one_row_of_pixels_that_two_scenes_share_is_found_with_its_area():
    plan = plan_of(SCENE, moved(SCENE, 999, 0))
    (found,), count = plan.shared(np.array([0, 2]))
    assert (found.first, found.second, count) == (0, 1, 1)
    assert found.area == pytest.approx(1000 * 100)  # a row of 1000 pixels of 100 m2
    assert found.share == pytest.approx(1e-3)
    assert common_area([found, found]) == pytest.approx(found.area)
    assert plan.window(0, found.shape) == Window(999, 0, 1, 1000)
    assert plan.window(1, found.shape) == Window(0, 0, 1, 1000)


def test_neighbours_and_parts_of_one_group_share_nothing():
    plan = plan_of(SCENE, moved(SCENE, 1000, 0), moved(SCENE, 0, 1000), SCENE)
    assert plan.shared(np.array([0, 1, 2, 0])) == ([], 0)
    assert plan_of(SCENE).shared(np.array([0])) == ([], 0)


@pytest.mark.parametrize(("code", "apart"), [(32633, 200), (4326, 10), (3857, 10), (3035, 100)])
def test_overlaps_and_gaps_are_told_across_coordinate_systems(code: int, apart: int):
    # A grid in another CRS is the box around the turned scene, so it reaches further.
    near = in_crs(moved(SCENE, 0, 980), code)  # 20 columns of 10 m
    far = in_crs(moved(SCENE, 0, 1000 + apart), code)
    plan = plan_of(SCENE, near, far)
    found, _ = plan.shared(np.array([0, 1, 1]))
    assert [(entry.first, entry.second) for entry in found] == [(0, 1)]
    assert 1000 * 20 * 100 * 0.9 < found[0].area < 1000 * (25 + apart) * 100
    assert plan.unit == "m"
    assert plan.crs != UTM


def test_the_plane_has_areas_that_are_equal_to_those_on_the_ground():
    grid = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 10.0, 0, -0.001, 60.0), 100, 100)
    plan = plan_of(grid, moved(grid, 0, 4000))
    # A tenth of a degree squared at 59.95 degrees north, on the ellipsoid: 11.14 km by 5.59 km.
    np.testing.assert_allclose(plan.areas, 62.28e6, rtol=2e-3)


def test_distances_are_in_metres_also_where_degrees_are_short():
    grid = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 10.0, 0, -0.001, 60.05), 100, 100)
    plan = plan_of(grid, moved(grid, 0, 200))  # a gap of a tenth of a degree of longitude at 60 degrees
    point = plan.locate(1, np.array([50.0]), np.array([0.0]))
    assert plan.distances(point, np.array([0]))[0] == pytest.approx(5580, rel=0.01)
    assert plan.distances(point, np.array([1]))[0] == pytest.approx(0, abs=1)
    assert np.isinf(plan.distances(point, np.array([], int)))


def test_scenes_on_both_sides_of_the_antimeridian_are_near():
    west = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 179.85, 0, -0.001, 0.0), 100, 100)
    east = Grid(CRS.from_epsg(4326), Affine(0.001, 0, -179.95, 0, -0.001, 0.0), 100, 100)
    plan = plan_of(west, east)
    far = plan.distances(plan.locate(1, np.array([50.0]), np.array([0.0])), np.array([0]))
    assert far[0] == pytest.approx(11_130, rel=0.01)


def test_without_a_crs_regions_of_a_scene_are_in_pixels_and_scenes_apart():
    grid = Grid(None, Affine.identity(), 100, 100)
    parts = [
        GroundPart("a", grid, Window(0, 0, 50, 100)),
        GroundPart("a", grid, Window(60, 0, 40, 100)),
        GroundPart("b", grid, Window(0, 0, 50, 100)),
    ]
    plan = plan_ground(parts)
    assert plan.unit == "px"
    assert plan.shared(np.array([0, 1, 2]))[0] == []
    far = plan.distances(plan.locate(1, np.array([65.0]), np.array([3.0])), np.array([0]))
    assert far[0] == pytest.approx(15)
    assert np.isinf(plan.distances(plan.locate(2, np.array([5.0]), np.array([3.0])), np.array([0])))[0]


def test_parts_without_crs_are_left_out_beside_others():
    nowhere = Grid(None, SCENE.transform, 10, 10)
    assert plan_of(nowhere, SCENE, nowhere).places.tolist() == [1]


def test_a_box_of_a_catalogue_is_a_part():
    part = part_of_box("a", left=500_000, top=5_400_000, height=5, width=7, pixel=(10, 20), crs=UTM.to_wkt())
    assert part.grid.bounds == (500_000, 5_399_900, 500_070, 5_400_000)
    assert part.window == Window(0, 0, 5, 7)


def test_shapes_are_brought_onto_the_plan_and_back_into_rings():
    geographic = in_crs(SCENE, 4326)
    plan = plan_of(geographic, SCENE)
    own = plan_of(SCENE).shapes[0]
    brought = plan.bring(1, own)
    assert brought.symmetric_difference(plan.shapes[1]).area < 1e-4 * brought.area
    assert rings_of(own)[0][0] == rings_of(own)[0][-1]
    assert plan.ring(1)[0] == pytest.approx(rings_of(brought)[0][0])
    assert moved_points(np.zeros((2, 2)), None, UTM).tolist() == [[0, 0], [0, 0]]
