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


@pytest.fixture
def gappy(make_scene: MakeScene) -> Path:
    """Two bands of floats: pixel 0 lacks the first, pixel 1 the second (NaN), pixel 2 both, 3 none."""
    values = np.array([[[-1, 5, -1, 7]], [[2, np.nan, np.nan, 8]]], np.float32)
    return make_scene("gaps.tif", values, nodata=-1)


def test_a_pixel_needs_all_bands_by_default(gappy: Path):
    with Scene(gappy) as scene:
        image, valid = scene.read(scene.grid.window)
    np.testing.assert_array_equal(valid, [[False, False, False, True]])
    np.testing.assert_array_equal(image[:, 0], [[0, 0, 0, 7], [0, 0, 0, 8]])


@pytest.mark.parametrize(("fill", "held"), [(None, (0, 0)), ((100.0, 200.0), (100, 200))])
def test_a_pixel_needs_one_band_where_asked_and_no_nodata_leaks(
    gappy: Path, fill: tuple[float, float] | None, held: tuple[float, float]
):
    with Scene(gappy, nodata_policy="all", fill=fill) as scene:
        image, valid = scene.read(Window(0, -1, 1, 6))
    np.testing.assert_array_equal(valid, [[False, True, True, False, True, False]])
    np.testing.assert_array_equal(image[:, 0], [[0, held[0], 5, 0, 7, 0], [0, 2, held[1], 0, 8, 0]])


def test_the_fill_goes_with_its_band_after_scale_and_offset(gappy: Path):
    with rasterio.open(gappy, "r+") as dataset:
        dataset.scales, dataset.offsets = (2.0, 2.0), (1.0, 1.0)
    with Scene(gappy, bands=["band_2", "band_1"], nodata_policy="all", fill=[20, 10]) as scene:
        image, _ = scene.read(scene.grid.window)
    np.testing.assert_array_equal(image[:, 0, :2], [[5, 20], [10, 11]])


def test_alpha_counts_beside_a_nodata_value(make_scene: MakeScene):
    rgba = np.full((4, 1, 3), 9, np.uint8)
    rgba[0, 0, 0], rgba[3, 0, 1] = 7, 0
    path = make_scene("a.tif", rgba, photometric="rgb", alpha="yes", nodata=7)
    for policy, expected in (("any", [False, False, True]), ("all", [True, False, True])):
        with Scene(path, nodata_policy=policy) as scene:
            _, valid = scene.read(scene.grid.window)
        np.testing.assert_array_equal(valid, [expected])


def test_a_band_may_have_a_mask_of_its_own(make_scene: MakeScene, tmp_path: Path):
    path = make_scene("a.tif", VALUES[:2], names=["B1", "B2"])
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.arange(35).reshape(5, 7) > 0)
    source = f'<SimpleSource><SourceFilename relativeToVRT="0">{path}</SourceFilename><SourceBand>'
    vrt = tmp_path / "masks.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="7" rasterYSize="5">'
        f'<VRTRasterBand dataType="UInt16" band="1">{source}1</SourceBand></SimpleSource></VRTRasterBand>'
        f'<VRTRasterBand dataType="UInt16" band="2">{source}2</SourceBand></SimpleSource><MaskBand>'
        f'<VRTRasterBand dataType="Byte">{source}mask,1</SourceBand></SimpleSource></VRTRasterBand>'
        "</MaskBand></VRTRasterBand></VRTDataset>"
    )
    for policy, count in (("any", 34), ("all", 35)):
        with Scene(vrt, nodata_policy=policy) as scene:
            assert scene.read(scene.grid.window)[1].sum() == count


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_nodata_of_each_type_is_found(make_scene: MakeScene, dtype: str):
    values = np.array([[[0, 1], [2, 7]], [[7, 3], [4, 5]]]).astype(dtype)
    with Scene(make_scene("a.tif", values, nodata=7)) as scene:
        image, valid = scene.read(Window(-1, 0, 3, 2))
    assert valid.tolist() == [[False, False], [False, True], [True, False]]
    np.testing.assert_array_equal(image[:, 1:], values * [[0, 1], [1, 0]])
    assert not image[:, 0].any()


def test_nodata_is_found_where_float32_holds_it_no_more(make_scene: MakeScene):
    values = np.array([[[2**24, 2**24 + 1]]], np.int32)
    with Scene(make_scene("a.tif", values, nodata=2**24 + 1)) as scene:
        assert scene.read(scene.grid.window)[1].tolist() == [[True, False]]


def test_bytes_of_a_pixel_are_those_that_are_decoded_together(make_scene: MakeScene):
    for interleave, expected in (("band", 2), ("pixel", 6)):
        path = make_scene(f"{interleave}.tif", VALUES, names=["a", "b", "c"], interleave=interleave)
        with Scene(path, bands=["b"]) as scene:
            assert scene.pixel_bytes == expected
