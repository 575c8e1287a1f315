from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import MakeScene

from eoseg.errors import ConfigError, DataError
from eoseg.geo.values import ValueLabels
from eoseg.geo.window import Window

HEIGHTS = np.array([[1.5, -9999, np.nan], [np.inf, 0, 30.25]], np.float32)


def read(path: Path, **options: object) -> np.ndarray:
    labels = ValueLabels(path, **options)  # type: ignore[arg-type]
    try:
        return labels.read(labels.grid.window)
    finally:
        labels.close()


def test_nodata_nan_and_infinite_pixels_have_no_label(make_scene: MakeScene):
    found = read(make_scene("h.tif", HEIGHTS, nodata=-9999))
    np.testing.assert_array_equal(found, [[1.5, np.nan, np.nan], [np.nan, 0, 30.25]])
    assert found.dtype == np.float32


def test_outside_the_raster_there_is_no_label(make_scene: MakeScene):
    labels = ValueLabels(make_scene("h.tif", HEIGHTS))
    found = labels.read(Window(1, 1, 3, 3))
    np.testing.assert_array_equal(found[0], [0, 30.25, np.nan])
    assert np.isnan(found[1:]).all()
    assert np.isnan(labels.read(Window(9, 9, 1, 1))).all()


def test_integers_with_a_scale_are_numbers_too_and_further_values_are_left_out(make_scene: MakeScene):
    path = make_scene("h.tif", np.array([[0, 250, 999, 65535]], np.uint16), nodata=65535)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.1,), (-5,)
    np.testing.assert_allclose(read(path), [[-5, 20, 94.9, np.nan]], rtol=1e-6)
    np.testing.assert_allclose(read(path, ignore=[0, 999]), [[np.nan, 20, np.nan, np.nan]], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "ignore", "error", "message"),
    [
        (np.ones((3, 2, 2), np.float32), [], DataError, "has 3 bands; labels of a quantity have one"),
        (np.ones((2, 2), np.complex64), [], DataError, "complex numbers"),
        (
            np.ones((2, 2), np.float32),
            ["none"],
            ConfigError,
            "'ignore' lists 'none', but labels of a quantity",
        ),
    ],
)
def test_labels_that_are_no_numbers_are_refused(
    make_scene: Callable[..., Path],
    values: np.ndarray,
    ignore: list[str],
    error: type[Exception],
    message: str,
):
    with pytest.raises(error, match=message):
        ValueLabels(make_scene("h.tif", values), ignore=ignore)
