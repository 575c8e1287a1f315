"""Simplified borders: shared, valid, and really simpler."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from eoseg.geo.polygons import PolygonTracer
from eoseg.geo.simplify import simplified_corners

NOTHING = 255


def simplified(
    array: np.ndarray, heights: list[int], tolerance: float, size: tuple[float, float] = (1, 1)
) -> np.ndarray:
    tracer = PolygonTracer(array.shape[1], outside=NOTHING)
    shapes = []
    for row, height in zip(np.cumsum([0, *heights[:-1]]), heights, strict=True):
        part = array[row : row + height]
        corners = simplified_corners(part, tolerance, size)
        shapes.append(tracer.add(part, vertices=corners, last=row + height == len(array)).shapes)
    return np.concatenate(shapes)


def disc(size: int = 40) -> np.ndarray:
    rows, cols = np.indices((size, size)) - (size - 1) / 2
    return (rows**2 + cols**2 < (0.4 * size) ** 2).astype(np.uint8)


@st.composite
def rasters(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=10))
    values = draw(st.sampled_from([(0, 1), (0, 0, 1, 2), (0, 1, NOTHING)]))
    array = draw(arrays(np.uint8, shape, elements=st.sampled_from(values), fill=st.nothing()))
    first = draw(st.integers(1, shape[0]))
    return array, [first, shape[0] - first] if first < shape[0] else [first]


@given(rasters(), st.sampled_from([0.6, 1.0, 2.0, 5.0, 50.0]))
@settings(deadline=None, max_examples=60)
def test_neighbours_keep_their_common_border_and_nothing_becomes_invalid(
    raster: tuple[np.ndarray, list[int]], tolerance: float
) -> None:
    array, heights = raster
    shapes = simplified(array, heights, tolerance)
    assert shapely.is_valid(shapes).all()
    assert (shapely.area(shapes) > 0).all()
    assert shapely.coverage_is_valid(shapes)
    union = shapely.union_all(shapes)
    np.testing.assert_allclose(shapely.area(shapes).sum(), union.area)
    if (array != NOTHING).all():
        np.testing.assert_allclose(union.area, array.size)  # no gap


def test_steps_become_slopes_and_the_shape_remains() -> None:
    exact, simple = (simplified(disc(), [40], tolerance)[1] for tolerance in (0.1, 2.0))
    assert shapely.get_num_coordinates(simple) < shapely.get_num_coordinates(exact) / 3
    assert 1 - shapely.intersection(exact, simple).area / shapely.union(exact, simple).area < 0.06


def test_a_larger_tolerance_leaves_fewer_vertices() -> None:
    counts = [shapely.get_num_coordinates(simplified(disc(), [40], tol)[1]) for tol in (0.1, 1, 2, 4)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 4


def test_the_tolerance_is_in_the_unit_of_the_pixels() -> None:
    fine = simplified_corners(disc(), 2.0, (1.0, 1.0))
    np.testing.assert_array_equal(simplified_corners(disc(), 60.0, (30.0, 30.0)), fine)
    assert simplified_corners(disc(), 2.0, (30.0, 30.0)).sum() > fine.sum()


def test_the_border_to_no_value_is_simplified_too() -> None:
    array = np.where(disc() == 1, 0, NOTHING).astype(np.uint8)
    (shape,) = simplified(array, [40], 2.0)
    assert shapely.get_num_coordinates(shape) < 40


def test_where_strips_meet_the_border_has_a_vertex_on_both_sides() -> None:
    shapes = simplified(disc(), [17, 23], 2.0)
    assert shapely.coverage_is_valid(shapes)
    points = {tuple(point) for point in shapely.get_coordinates(shapes[1])}
    assert len([row for _, row in points if row == 17]) == 2
