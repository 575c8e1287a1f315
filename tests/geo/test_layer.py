"""Layers say what values mean; counts add up windows."""

import numpy as np
import pytest

from eoseg.geo.layer import Counts, Layer


def test_nodata_follows_from_the_type_of_numbers() -> None:
    assert Layer(bands=("a",), overviews="MODE").nodata == 255
    assert np.isnan(Layer(bands=("a",), overviews="AVERAGE", dtype="float32").nodata)


def test_a_pixel_has_the_bytes_of_all_bands() -> None:
    assert Layer(bands=("a", "b", "c"), overviews="MODE").pixel_bytes == 3
    assert Layer(bands=("a", "b"), overviews="MODE", dtype="float32").pixel_bytes == 8


def test_bytes_are_counted_per_band_over_windows() -> None:
    counts = Counts()
    first = np.array([[[0, 1], [255, 1]], [[2, 2], [255, 3]]], np.uint8)
    counts.add(first)
    counts.add(first[:, :1])
    assert counts.values is not None
    assert counts.values[0, [0, 1, 255]].tolist() == [2, 3, 1]
    assert counts.values[1, [2, 3, 255]].tolist() == [4, 1, 1]
    assert counts.known == 5


def test_numbers_have_a_range_and_a_sum_without_nan() -> None:
    counts = Counts()
    counts.add(np.array([[[1.5, np.nan], [-2, 4]]], np.float32))
    counts.add(np.full((1, 2, 2), np.nan, np.float32))
    assert (counts.known, counts.least, counts.most) == (3, -2, 4)
    assert counts.total == pytest.approx(3.5)


def test_each_band_of_numbers_has_its_own_range() -> None:
    counts = Counts()
    for step in (0, 10):
        counts.add(np.array([[[1, np.nan]], [[step + 0.5, np.nan]]], np.float32))
    second = counts.of_band(1)
    assert (counts.of_band(0).least, counts.of_band(0).most, counts.known) == (1, 1, 2)
    assert (second.least, second.most, second.total, second.known) == (0.5, 10.5, 11, 2)


def test_some_bands_may_have_no_unit() -> None:
    layer = Layer(bands=("a", "b"), overviews="AVERAGE", dtype="float32", unit="m", unitless=("b",))
    assert layer.units == ("m", "")
    assert Layer(bands=("a", "b"), overviews="MODE").units == ("", "")


@pytest.mark.parametrize("size", [1, 2, 7, 500])
def test_all_256_values_are_counted_at_any_size(size: int) -> None:
    values = np.random.default_rng(size).integers(0, 256, (1, 3, size), dtype=np.uint8)
    counts = Counts()
    counts.add(values[:, :, ::-1])  # no piece of memory
    np.testing.assert_array_equal(counts.values, np.bincount(values.ravel(), minlength=256)[None])
