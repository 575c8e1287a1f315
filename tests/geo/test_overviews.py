"""Overviews of classes hold what is there most often, and never a value between."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from raster_factory import write_layer

from eoseg.geo.grid import Grid
from eoseg.geo.layer import Layer
from eoseg.geo.overviews import halve_mode, overview_sizes


def modes(values: np.ndarray) -> set[int]:
    """The values that are there most often, nodata left out."""
    counts = Counter(value for value in values.ravel().tolist() if value != 255)
    return {value for value, count in counts.items() if count == max(counts.values())} or {255}


@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([0, 1, 2, 254, 255]),
    )
)
def test_each_pixel_holds_the_most_frequent_of_its_four(values: np.ndarray) -> None:
    halved = halve_mode(values)
    bands, height, width = values.shape
    assert halved.shape == (bands, -(-height // 2), -(-width // 2))
    for band, row, col in np.ndindex(halved.shape):
        four = values[band, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
        assert int(halved[band, row, col]) in modes(four)


def test_sizes_are_halved_until_one_block_is_enough() -> None:
    assert overview_sizes(1300, 1100, least=512) == [(650, 550), (325, 275)]
    assert overview_sizes(1, 3000, least=512) == [(1, 1500), (1, 750), (1, 375)]
    assert overview_sizes(512, 512, least=512) == []


@pytest.mark.parametrize("strip", [1, 3000, 10**9])
def test_the_file_holds_them_for_each_band(
    tmp_path: Path, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eoseg.geo.overviews._STRIP_BYTES", strip)
    values = np.random.default_rng(0).integers(0, 4, (2, 1101, 601), dtype=np.uint8)
    values[:, :100] = 255
    grid = Grid(None, Affine.identity(), 1101, 601)
    write_layer(
        tmp_path / "a.tif", grid, Layer(bands=("a", "b"), overviews="MODE"), values, core=200, shares=3
    )
    for level, expected in enumerate((halve_mode(values), halve_mode(halve_mode(values)))):
        with rasterio.open(tmp_path / "a.tif", overview_level=level) as dataset:
            np.testing.assert_array_equal(dataset.read(), expected)
