"""Polygons strip by strip against GDAL's of the whole array at once."""

from collections.abc import Sequence

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from rasterio.features import shapes as gdal_shapes

from eoseg.geo import polygons
from eoseg.geo.polygons import PolygonTracer

NOTHING = 255

type Found = list[tuple[int, bytes]]


def by_gdal(array: np.ndarray, transform: Affine | None = None) -> Found:
    """Value and normalised shape of each polygon, sorted."""
    transform = transform or Affine.identity()
    found = gdal_shapes(array, mask=array != NOTHING, connectivity=4, transform=transform)
    return sorted((int(value), shapely.geometry.shape(shape).normalize().wkb) for shape, value in found)


def by_strips(array: np.ndarray, heights: Sequence[int], *, sweep: int = 1, **options) -> Found:
    """The same of eoseg, with what must hold of each polygon."""
    tracer = PolygonTracer(array.shape[1], outside=NOTHING, **options)
    found: Found = []
    row = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polygons, "_SWEEP", sweep)
        for height in heights:
            done = tracer.add(array[row : row + height], last=row + height == len(array))
            row += height
            assert shapely.is_valid(done.shapes).all()
            scale = abs(tracer._transform.determinant)
            np.testing.assert_allclose(shapely.area(done.shapes), done.pixels * scale)
            shapes = shapely.to_wkb(shapely.normalize(done.shapes))
            found += zip(done.values.tolist(), shapes.tolist(), strict=True)
    return sorted(found)


def cuts(draw: st.DrawFn, height: int) -> list[int]:
    rows = draw(st.sets(st.integers(1, height - 1))) if height > 1 else set()
    return np.diff([0, *sorted(rows), height]).tolist()


@st.composite
def rasters(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    """A small raster, and heights of strips."""
    values = draw(st.sampled_from([(0, NOTHING), (0, 1), (0, 0, 0, 1), (0, 1, 2, NOTHING)]))
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=9))
    array = draw(arrays(np.uint8, shape, elements=st.sampled_from(values), fill=st.nothing()))
    return array, cuts(draw, shape[0])


@given(rasters(), st.sampled_from([1, 20, 2**20]))
@settings(deadline=None, max_examples=100)
def test_the_polygons_are_those_of_the_whole_raster_however_it_is_cut(
    raster: tuple[np.ndarray, list[int]], sweep: int
) -> None:
    array, heights = raster
    assert by_strips(array, heights, sweep=sweep) == by_gdal(array)


def drawn(*rows: str) -> np.ndarray:
    return np.array([[int(value) for value in row] for row in rows], np.uint8)


SPIRAL = drawn("0000000", "0111110", "0100010", "0101010", "0101110", "0100000", "0111111")
TOUCHING = drawn("00000", "01100", "01010", "00110", "00000")  # two rings of ones that touch in points
CHECKS = (np.indices((6, 7)).sum(axis=0) % 2).astype(np.uint8)
AWKWARD = {
    "spiral": SPIRAL,
    "touching": TOUCHING,
    "checks": CHECKS,
    "diagonal": np.eye(8, dtype=np.uint8),
    "one class": np.zeros((5, 4), np.uint8),
    "one pixel": np.zeros((1, 1), np.uint8),
    "1 x N": CHECKS[:1],
    "N x 1": CHECKS[:, :1],
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_shapes_are_those_of_gdal_from_single_rows(name: str) -> None:
    raster = AWKWARD[name]
    assert by_strips(raster, [1] * len(raster)) == by_gdal(raster)


def test_pixels_that_touch_in_a_point_are_one_valid_polygon_where_they_meet_elsewhere() -> None:
    array = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]], np.uint8)
    array[2, 1] = array[1, 2] = 0
    (ring,) = [shapely.from_wkb(wkb) for value, wkb in by_strips(array, [2, 1]) if value == 0]
    assert ring.is_valid
    assert (len(ring.interiors), ring.area) == (1, 7)


def test_nothing_makes_no_polygon() -> None:
    assert by_strips(np.full((4, 5), NOTHING, np.uint8), [2, 2]) == []


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500_000, 0, -10, 5_400_000),
        Affine(10, 0, 500_000, 0, 10, 5_400_000),
        Affine.translation(100, 50) @ Affine.rotation(90) @ Affine.scale(2, -4),
    ],
    ids=["north up", "south up", "rotated"],
)
def test_polygons_lie_where_the_transform_says(transform: Affine) -> None:
    array = TOUCHING
    found, expected = by_strips(array, [2, 3], transform=transform), by_gdal(array, transform)
    assert [value for value, _ in found] == [value for value, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        assert shapely.from_wkb(ours).equals_exact(shapely.from_wkb(theirs), 1e-9, normalize=True)


def test_values_may_be_chosen_and_keep_their_polygons() -> None:
    array = np.array([[0, 1, 2], [0, 1, 1], [2, 2, 0]], np.uint8)
    everything = by_gdal(array)
    assert by_strips(array, [1, 1, 1], values=[1, 2]) == [entry for entry in everything if entry[0] > 0]


def test_numbers_are_summed_up_over_each_polygon() -> None:
    array = np.array([[0, 1, 1], [0, 0, 1], [1, 0, 0]], np.uint8)
    numbers = np.arange(9.0).reshape(3, 3)
    tracer = PolygonTracer(3, outside=NOTHING, layers=2)
    parts = [
        tracer.add(array[n : n + 1], [numbers[n : n + 1], array[n : n + 1]], last=n == 2) for n in range(3)
    ]
    found = sorted(
        (int(value), int(pixels), *sums.tolist())
        for part in parts
        for value, pixels, sums in zip(part.values, part.pixels, part.sums, strict=True)
    )
    assert found == [(0, 5, 0 + 3 + 4 + 7 + 8, 0), (1, 1, 6, 1), (1, 3, 1 + 2 + 5, 3)]


def test_a_polygon_comes_as_soon_as_it_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons, "_SWEEP", 1)
    tracer = PolygonTracer(3, outside=NOTHING)
    rows = np.array([[5, 9, 9], [9, 9, 9], [9, 9, 9], [9, 9, 9]], np.uint8)
    counts = [len(tracer.add(rows[n : n + 1], last=n == 3).shapes) for n in range(4)]
    assert counts[0] == 0
    assert sum(counts[1:3]) == 1
    assert counts[3] == 1


@pytest.mark.parametrize("values", [None, [7]])
def test_what_is_complete_is_forgotten(values: list[int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons, "_SWEEP", 1)
    rows = (np.indices((2, 50)).sum(axis=0) % 2).astype(np.uint8)
    tracer = PolygonTracer(50, outside=NOTHING, values=values)
    held = []
    for _ in range(40):
        tracer.add(rows)
        held.append((tracer._edges, tracer._regions))
    assert max(held) == max(held[:6])
    assert max(regions for _, regions in held) < 250
