import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import calculate_default_transform

from eoseg.geo.footprints import find_overlaps, footprints
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window

UTM = CRS.from_epsg(32632)
GRID = Grid(UTM, Affine(10, 0, 500_000, 0, -10, 5_400_000), 100, 100)


def test_overlapping_grids_are_found_with_their_share():
    half = GRID.crop(Window(0, 50, 100, 100))
    assert find_overlaps([GRID, half]) == [(0, 1, pytest.approx(0.5))]


def test_the_share_is_of_the_smaller_grid():
    assert find_overlaps([GRID, GRID.crop(Window(20, 20, 10, 10))])[0][2] == pytest.approx(1)


def test_neighbours_do_not_overlap():
    assert find_overlaps([GRID, GRID.crop(Window(0, 100, 100, 100)), GRID.crop(Window(100, 0, 9, 9))]) == []


def test_overlaps_are_found_across_coordinate_systems():
    transform, width, height = calculate_default_transform(UTM, "EPSG:4326", 100, 100, *GRID.bounds)
    geographic = Grid(CRS.from_epsg(4326), transform, height, width)
    (first, second, share), *rest = find_overlaps([GRID, geographic])
    assert (first, second, rest) == (0, 1, [])
    assert share > 0.95


def test_grids_without_crs_are_left_out():
    nowhere = Grid(None, GRID.transform, 100, 100)
    assert find_overlaps([nowhere, GRID, nowhere]) == []
    assert find_overlaps([nowhere, GRID, nowhere, GRID]) == [(1, 3, pytest.approx(1))]


def test_a_footprint_is_the_outline_in_the_first_crs():
    assert footprints([GRID])[0].bounds == GRID.bounds
