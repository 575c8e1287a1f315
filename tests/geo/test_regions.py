import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS

from eoseg.geo.grid import Grid
from eoseg.geo.regions import moved_shapes, regions_of

GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 4, 5)


def test_regions_touch_by_their_sides():
    codes = np.array([[7, 7, 0, 9, 9], [0, 0, 7, 0, 0], [9, 0, 0, 0, 0], [9, 9, 0, 0, 300]], np.uint16)
    shapes, values, numbers = regions_of(codes, GRID)
    held = sorted((int(value), shape.area / 100) for shape, value in zip(shapes, values, strict=True))
    assert held == [(7, 1), (7, 2), (9, 2), (9, 3), (300, 1)]
    assert ((numbers >= 0) == (codes > 0)).all()
    for number, value in enumerate(values):
        assert (codes[numbers == number] == value).all()


def test_no_region_is_none():
    shapes, values, numbers = regions_of(np.zeros((4, 5), np.uint16), GRID)
    assert (len(shapes), len(values)) == (0, 0)
    assert (numbers == -1).all()


def test_shapes_are_moved_between_crs():
    square = shapely.box(500_000, 5_400_000, 500_100, 5_400_100)
    (moved,) = moved_shapes([square], GRID.crs, CRS.from_epsg(4326))
    (back,) = moved_shapes([moved], CRS.from_epsg(4326), GRID.crs)
    assert 8.9 < moved.centroid.x < 9.1
    assert back.symmetric_difference(square).area < 1
    assert moved_shapes([square], None, GRID.crs)[0] is square
