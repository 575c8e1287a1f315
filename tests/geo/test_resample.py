"""Scenes at another pixel size: nothing is shifted, nothing leaks out of nodata, nothing aliases."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import MakeScene
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling

from eoseg.errors import ConfigError, GridError
from eoseg.geo import resample
from eoseg.geo.grid import Grid
from eoseg.geo.resample import ResampledScene, needed_pixel_size, open_scene, resampled_grid
from eoseg.geo.window import Window

GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 96, 132)


def read(
    path: Path, size: float, window: Window | None = None, **options: object
) -> tuple[np.ndarray, np.ndarray]:
    """A scene of 132 x 96 px of 10 m at another pixel size."""
    with ResampledScene(path, onto=resampled_grid(GRID, size), **options) as scene:
        return scene.read(window or scene.grid.window)


@pytest.mark.parametrize("size", [3, 5, 14.7, 20, 40], ids=str)
def test_a_plane_stays_the_same_plane(make_scene: MakeScene, size: float) -> None:
    """A shift by half a pixel would add 2.5; means of 1.47 px lie 0.08 px to either side of the middle."""
    row, col = np.indices((96, 132)) + 0.5
    image, valid = read(make_scene("s.tif", (1000 + 3 * row + 2 * col).astype(np.float32)), size)
    grid = resampled_grid(GRID, size)
    row, col = np.indices((grid.height, grid.width)) + 0.5
    expected = 1000 + 3 * row * 96 / grid.height + 2 * col * 132 / grid.width
    edge = int(np.ceil(5 / size))  # beyond the outermost centres there is nothing to interpolate with
    inner = (slice(edge, -edge), slice(edge, -edge))
    off = image[0][inner] - expected[inner]
    assert abs(off).max() < (0.45 if size == 14.7 else 2e-3)
    assert abs(off.mean()) < 0.01
    assert valid.all()


def means(values: np.ndarray, grid: Grid) -> np.ndarray:
    """The mean over each pixel of another grid, by area."""
    return shares(96, grid.height) @ values @ shares(132, grid.width).T


def shares(fine: int, coarse: int) -> np.ndarray:
    """How much of each coarse pixel each fine one covers, `(coarse, fine)`; both cover the same length."""
    edges = np.arange(coarse + 1) * fine / coarse
    start, stop = edges[:-1, None], edges[1:, None]
    pixel = np.arange(fine)
    covered = (np.minimum(stop, pixel + 1) - np.maximum(start, pixel)).clip(min=0)
    return covered / covered.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [14.7, 25, 33.3, 40, 100], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_larger_pixels_hold_the_mean_of_their_area(make_scene: MakeScene, size: float, dtype: str) -> None:
    values = np.random.default_rng(0).integers(1, 250, (96, 132)).astype(dtype)
    values[:, 66:] = np.where(np.arange(66) % 2, 1, 249)  # stripes of one pixel, which would alias
    image, _ = read(make_scene("s.tif", values), size)
    np.testing.assert_allclose(image[0], means(values, resampled_grid(GRID, size)), atol=1e-3)


def test_overviews_of_files_are_not_taken(make_scene: MakeScene) -> None:
    values = np.random.default_rng(0).integers(1, 1000, (96, 132)).astype(np.uint16)
    path = make_scene("s.tif", values)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], Resampling.nearest)
    image, _ = read(path, 40)
    np.testing.assert_allclose(image[0], means(values, resampled_grid(GRID, 40)), atol=1e-3)


@pytest.mark.parametrize("size", [14.7, 33.3, 4.1, 9.97], ids=str)
@pytest.mark.parametrize("policy", ["any", "all"])
def test_any_window_equals_the_cut_of_the_whole(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, size: float, policy: str
) -> None:
    """To the last bit, also where the file is read strip by strip."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9999, (2, 96, 132)).astype(np.uint16)
    values[rng.random(values.shape) < 0.5] = 0
    path, options = make_scene("s.tif", values, nodata=0), {"nodata_policy": policy, "fill": [5, 6]}
    whole, valid = read(path, size, GRID.window.grow(200), **options)
    assert 0.003 < valid.mean() < 0.8
    for pixels in (resample._STRIP_PIXELS, 1, 1000):
        monkeypatch.setattr(resample, "_STRIP_PIXELS", pixels)
        for _ in range(12):
            row, col, height, width = map(int, rng.integers((-4, -4, 1, 1), (60, 80, 40, 40)))
            image, part = read(path, size, Window(row, col, height, width), **options)
            cut = (slice(row + 200, row + 200 + height), slice(col + 200, col + 200 + width))
            np.testing.assert_array_equal(image, whole[:, *cut])
            np.testing.assert_array_equal(part, valid[cut])


@pytest.mark.parametrize("kind", ["nodata", "given", "mask", "alpha", "nan"])
@pytest.mark.parametrize("size", [5, 9.9, 15, 40], ids=str)
def test_what_is_invalid_does_not_leak_and_what_is_valid_is_not_lost(
    make_scene: MakeScene, size: float, kind: str
) -> None:
    values = np.full((2, 96, 132), 500, np.float32 if kind == "nan" else np.uint16)
    known = np.random.default_rng(0).random((96, 132)) < 0.3
    known[:, :30], known[:, 100:] = False, True
    values[:, ~known] = np.nan if kind == "nan" else 9000
    if kind == "alpha":
        values = np.concatenate([values, np.where(known, 65535, 0)[None].astype(np.uint16)])
    scene = make_scene("s.tif", values, nodata=9000 if kind == "nodata" else None, photometric="minisblack")
    with rasterio.open(scene, "r+") as dataset:
        if kind == "alpha":
            dataset.colorinterp = (ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha)
        elif kind == "mask":
            dataset.write_mask(known)
    image, valid = read(scene, size, **({"nodata": 9000.0} if kind == "given" else {}))
    np.testing.assert_allclose(image[:, valid], 500, rtol=1e-6)
    assert (image[:, ~valid] == 0).all()
    grid = resampled_grid(GRID, size)
    if size > 10:
        np.testing.assert_array_equal(valid, means(known, grid) > 1e-9)
    # Wherever a pixel is valid, so is the one in which its centre lies.
    rows, cols = np.nonzero(known)
    assert valid[(rows * 2 + 1) * grid.height // 192, (cols * 2 + 1) * grid.width // 264].all()
    assert not valid[:, : round(30 * 10 / size) - 1].any()


def test_a_band_that_lacks_a_value_holds_its_fill_and_takes_no_part_in_means(make_scene: MakeScene) -> None:
    values = np.full((2, 96, 132), 500, np.uint16)
    values[0, :40], values[0, :40:3] = 0, 100
    values[1, 40:] = 0
    path = make_scene("s.tif", values, nodata=0)
    image, valid = read(path, 40, nodata_policy="all", fill=[7, 8])
    assert valid.all()
    np.testing.assert_allclose(image[0], np.repeat([100, 500], [10, 14])[:, None].repeat(33, 1), rtol=1e-6)
    np.testing.assert_allclose(image[1], np.repeat([500, 8], [10, 14])[:, None].repeat(33, 1), rtol=1e-6)


def test_bands_are_read_by_name_with_scale_and_offset(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", np.ones((2, 96, 132), np.uint8), names=["B02", "B03"])
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1, 10), (0, 5)
    with open_scene(path, onto=resampled_grid(GRID, 20), bands=["B03"]) as opened:
        assert (opened.all_bands, opened.grid.pixel_size) == (["B02", "B03"], (20, 20))
        assert (opened.read(opened.grid.window)[0] == 15).all()
    with open_scene(path, onto=None) as opened:
        assert opened.grid == GRID


def test_a_grid_of_another_area_is_refused(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", np.ones((96, 130), np.uint8))
    with pytest.raises(GridError, match=r"s.tif' covers another area"):
        ResampledScene(path, onto=resampled_grid(GRID, 20))


def test_the_area_stays_the_same_where_pixels_do_not_fit() -> None:
    found = resampled_grid(GRID, 14.7)
    assert (found.height, found.width) == (65, 90)
    np.testing.assert_allclose(found.bounds, GRID.bounds)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="Without a CRS the pixel size .* --pixel-size native"):
        resampled_grid(Grid(None, Affine.identity(), 3, 3), 10)
    with pytest.raises(ConfigError, match="132 x 96 px of 10 m is smaller than one pixel of 5000 m"):
        resampled_grid(GRID, 5000)


@pytest.mark.parametrize(
    ("wanted", "needed"), [(None, None), (10.0, None), (9.2, None), (10.9, None), (8.9, 8.9), (20.0, 20.0)]
)
def test_a_scene_of_about_the_same_pixel_size_is_read_as_it_is(
    wanted: float | None, needed: float | None
) -> None:
    assert needed_pixel_size(GRID, wanted) == needed
    assert needed_pixel_size(Grid(None, Affine.identity(), 3, 3), wanted) is None
