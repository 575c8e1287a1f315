"""Polygons from edges that know which follows."""

import numpy as np
import shapely

from eoseg.geo.rings import make_polygons

SQUARE = np.array([(0, 0), (4, 0), (4, 4), (0, 4)], float)


def test_edges_make_rings_and_rings_make_polygons() -> None:
    # A square with a hole, then a triangle; the edges of the hole lie among those of the square.
    points = np.array([(0, 0), (1, 1), (4, 0), (4, 4), (1, 2), (2, 2), (0, 4), (9, 9), (8, 8), (9, 8)], float)
    following = np.array([2, 4, 3, 6, 5, 1, 0, 8, 9, 7])
    polygon = np.array([3] * 7 + [5] * 3)
    with_hole, triangle = make_polygons(points, polygon, following, np.ones(10, bool))
    assert with_hole.equals(shapely.Polygon(SQUARE, [[(1, 1), (1, 2), (2, 2)]]))
    assert len(with_hole.interiors) == 1
    assert triangle.equals(shapely.Polygon([(9, 9), (8, 8), (9, 8)]))


def test_points_that_are_no_vertices_are_left_out() -> None:
    points = np.insert(SQUARE, 1, [2, 0], axis=0)
    is_vertex = np.array([True, False, True, True, True])
    (square,) = make_polygons(points, np.zeros(5, int), np.array([1, 2, 3, 4, 0]), is_vertex)
    assert shapely.get_coordinates(square).tolist() == [*SQUARE.tolist(), [0, 0]]


def test_no_edges_make_no_polygons() -> None:
    none = np.empty(0, np.int64)
    assert len(make_polygons(np.empty((0, 2)), none, none, none.astype(bool))) == 0
