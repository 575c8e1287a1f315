"""Pixels of one grid as those of another, along one axis and along both."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eoseg.geo.axis import Axis, resample


def matrix(source: int, target: int) -> np.ndarray:
    """What each target pixel is made of, `(target, source)`; slowly, and by another way."""
    found = np.zeros((target, source))
    for index in range(target):
        start, stop = index * source / target, (index + 1) * source / target
        if source > target:
            for pixel in range(source):
                found[index, pixel] = max(0.0, min(stop, pixel + 1) - max(start, pixel)) / (stop - start)
            continue
        place = min(max((start + stop) / 2 - 0.5, 0), source - 1)
        before = min(int(place), source - 1)
        found[index, before] += 1 - (place - before)
        found[index, min(before + 1, source - 1)] += place - before
    return found


@settings(deadline=None, max_examples=100)
@given(
    source=st.integers(1, 40), target=st.integers(1, 40), start=st.integers(0, 39), length=st.integers(1, 40)
)
def test_places_and_weights_are_those_of_the_whole(source: int, target: int, start: int, length: int) -> None:
    start = min(start, target - 1)
    stop = min(start + length, target)
    axis = Axis.between(source, target, start, stop)
    values = np.eye(source, dtype=np.float32)[axis.start : axis.stop]  # what comes of each source pixel
    np.testing.assert_allclose(axis.sums(values, 0), matrix(source, target)[start:stop], atol=1e-5)
    centre = (np.arange(start, stop) + 0.5) * source / target
    np.testing.assert_array_equal(axis.nearest + axis.start, np.floor(centre + 1e-9))
    assert 0 <= axis.start < axis.stop <= source
    every = Axis.between(source, target, 0, target).sums(np.eye(source, dtype=np.float32), 0)
    np.testing.assert_array_equal(axis.sums(values, 0), every[start:stop, :])


def test_what_is_unknown_counts_for_nothing() -> None:
    values = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    known = np.ones((1, 4, 6), bool)
    known[0, :2, :2], known[0, 0, 2] = False, False
    values[~known] = np.nan
    found, is_known = resample(values, known, Axis.between(4, 2, 0, 2), Axis.between(6, 3, 0, 3))
    np.testing.assert_allclose(found[0], [[0, (3 + 8 + 9) / 3, 7.5], [15.5, 17.5, 19.5]], rtol=1e-6)
    np.testing.assert_array_equal(is_known[0], [[False, True, True], [True, True, True]])


def test_an_interpolated_pixel_is_known_where_its_centre_is() -> None:
    known = np.array([[[True, False, True]]])
    found, is_known = resample(
        np.array([[[1, np.nan, 5]]], np.float32), known, Axis.between(1, 1, 0, 1), Axis.between(3, 6, 0, 6)
    )
    np.testing.assert_array_equal(is_known[0, 0], [True, True, False, False, True, True])
    np.testing.assert_array_equal(found[0, 0], [1, 1, 0, 0, 5, 5])
