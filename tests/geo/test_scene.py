from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import MakeScene
from hypothesis import given, settings
from hypothesis import strategies as st

from eoseg.errors import BandError, DataError
from eoseg.geo.scene import Scene, read_all
from eoseg.geo.window import Window

VALUES = np.arange(1, 1 + 3 * 5 * 7, dtype=np.uint16).reshape(3, 5, 7)


def test_bands_are_read_by_name_in_the_order_asked_for(make_scene: MakeScene):
    path = make_scene("a.tif", VALUES, names=["B02", "B03", "B04"])
    with Scene(path, bands=["B04", "B02"]) as scene:
        image, valid = scene.read(scene.grid.window)
        assert scene.bands == ["B04", "B02"]
        assert scene.all_bands == ["B02", "B03", "B04"]
        assert scene.has_band_names
    np.testing.assert_array_equal(image, VALUES[[2, 0]])
    assert image.dtype == np.float32
    assert valid.all()


def test_bands_without_names_are_numbered_and_may_be_named(make_scene: MakeScene):
    path = make_scene("a.tif", VALUES[:2], photometric="minisblack")
    with Scene(path) as scene:
        assert scene.bands == ["band_1", "band_2"]
        assert not scene.has_band_names
    with Scene(path, band_names=["x", "y"], bands=["y"]) as scene:
        np.testing.assert_array_equal(scene.read(scene.grid.window)[0], VALUES[1:2])


def test_rgb_files_name_their_colours_and_alpha_is_validity(make_scene: MakeScene):
    rgba = np.full((4, 3, 3), 9, np.uint8)
    rgba[3, 0, 0] = 0
    path = make_scene("a.tif", rgba, photometric="rgb", alpha="yes")
    with Scene(path) as scene:
        assert scene.bands == ["red", "green", "blue"]
        _, valid = scene.read(scene.grid.window)
    assert valid.sum() == 8
    assert not valid[0, 0]


@given(row=st.integers(-4, 6), col=st.integers(-4, 8), height=st.integers(1, 9), width=st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_any_window_equals_the_cut_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, row: int, col: int, height: int, width: int
):
    from conftest import write_scene

    path = tmp_path_factory.getbasetemp() / "window.tif"
    if not path.exists():
        write_scene(path, VALUES, nodata=8)
    padded = np.zeros((3, 40, 40), np.float32)
    padded[:, 10:15, 10:17] = VALUES
    padded[:, 11, 10] = 0  # value 8 is nodata in one band, so the pixel is invalid in all
    with Scene(path) as scene:
        image, valid = scene.read(Window(row, col, height, width))
    cut = padded[:, row + 10 : row + 10 + height, col + 10 : col + 10 + width]
    np.testing.assert_array_equal(image, cut)
    np.testing.assert_array_equal(valid, cut[0] > 0)


def test_nan_and_infinity_are_invalid(make_scene: MakeScene):
    values = np.ones((2, 2, 2), np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, np.inf
    with Scene(make_scene("a.tif", values)) as scene:
        image, valid = scene.read(scene.grid.window)
    assert valid.tolist() == [[False, True], [True, False]]
    assert np.isfinite(image).all()


def test_a_nodata_value_may_be_given_for_files_that_declare_none(make_scene: MakeScene):
    with Scene(make_scene("a.tif", VALUES), nodata=1) as scene:
        assert not scene.read(Window(0, 0, 1, 1))[1].any()
        assert scene.nodata == 1


def test_a_mask_band_is_validity(make_scene: MakeScene):
    path = make_scene("a.tif", VALUES)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.arange(35).reshape(5, 7) > 0)
    with Scene(path) as scene:
        _, valid = scene.read(scene.grid.window)
    assert valid.sum() == 34


def test_scale_and_offset_are_applied(make_scene: MakeScene):
    path = make_scene("a.tif", VALUES)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.5,) * 3, (-1.0,) * 3
    with Scene(path) as scene:
        np.testing.assert_allclose(scene.read(scene.grid.window)[0], VALUES * 0.5 - 1)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"There is no file '.*nowhere.tif'"):
        Scene(tmp_path / "nowhere.tif")


def test_a_file_that_is_no_raster_is_refused(tmp_path: Path):
    path = tmp_path / "text.tif"
    path.write_text("no raster")
    with pytest.raises(DataError, match="is not a raster that GDAL can read"):
        Scene(path)


def test_a_truncated_file_is_refused_where_it_ends(make_scene: MakeScene):
    path = make_scene("a.tif", np.random.default_rng(0).integers(0, 9999, (3, 200, 200)).astype(np.uint16))
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(DataError, match="truncated"), Scene(path) as scene:
        scene.read(scene.grid.window)


def test_complex_numbers_are_refused(make_scene: MakeScene):
    with pytest.raises(DataError, match="complex numbers"):
        Scene(make_scene("a.tif", np.ones((1, 2, 2), np.complex64)))


def test_an_unknown_band_is_named_with_the_nearest(make_scene: MakeScene):
    path = make_scene("a.tif", VALUES, names=["B02", "B03", "B04"])
    with pytest.raises(BandError, match=r"'B4' is needed.*Did you mean 'B04'"):
        Scene(path, bands=["B4"])


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "b"]])
def test_band_names_must_name_each_band_once(make_scene: MakeScene, names: list[str]):
    with pytest.raises(BandError, match="must name each once"):
        Scene(make_scene("a.tif", VALUES), band_names=names)


def test_read_all_gives_the_file_as_it_is(make_scene: MakeScene):
    np.testing.assert_array_equal(read_all(make_scene("a.tif", VALUES, nodata=8)), VALUES)
