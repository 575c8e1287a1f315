"""Another pixel size and back: fields stay where they are, and nothing leaks out of nodata."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import MakeScene
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.geo.resample import needed_pixel_size, resampled_grid, resampled_vrt
from eoseg.geo.scene import Scene
from eoseg.geo.vrt import write_vrt
from eoseg.geo.window import Window

FIELD = 12
GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 96, 132)


def checkerboard(height: int = 96, width: int = 132) -> np.ndarray:
    """Square fields of 12 px, of 5 classes that differ between all neighbours."""
    row, col = np.indices((height, width)) // FIELD
    return ((row * 2 + col) % 5).astype(np.uint8)


def resample(path: Path, grid: Grid, target: Path, **options) -> Path:
    return write_vrt(resampled_vrt(str(path), grid, **options), target)


def read(path: Path, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
    with Scene(path) as scene:
        return scene.read(window or scene.grid.window)


@pytest.mark.parametrize("factor", [2, 0.5, 1 / 3, 0.7, 3.3], ids=str)
def test_a_map_comes_back_without_a_shift(make_scene: MakeScene, tmp_path: Path, factor: float) -> None:
    classes = checkerboard()
    scene = make_scene("s.tif", classes)
    there = resample(scene, resampled_grid(GRID, 10 / factor), tmp_path / "there.vrt", resampling="nearest")
    with rasterio.open(there) as dataset:  # the finished map is a file of its own
        assert (dataset.bounds.left, dataset.bounds.top) == (500_000, 5_400_000)
        made = make_scene("map.tif", dataset.read(), transform=dataset.transform, nodata=255)
    back = resample(made, GRID, tmp_path / "back.vrt", resampling="nearest")
    image, valid = read(back)
    assert valid.all()
    found = image[0]
    if factor in (2, 0.5, 1 / 3):  # fields begin where pixels of both grids begin
        np.testing.assert_array_equal(found, classes)
    centre = FIELD // 2
    np.testing.assert_array_equal(found[centre::FIELD, centre::FIELD], classes[centre::FIELD, centre::FIELD])
    # Errors lie at the borders of fields alone, and on both sides of them alike: nothing is shifted.
    wrong = found != classes
    inner = np.indices(classes.shape) % FIELD
    assert not wrong[((inner >= 2) & (inner < FIELD - 2)).all(axis=0)].any()


@pytest.mark.parametrize("factor", [2, 0.5, 0.7], ids=str)
def test_values_are_interpolated_where_they_are(make_scene: MakeScene, tmp_path: Path, factor: float) -> None:
    """A plane stays a plane: a shift by half a pixel would add 1 to 5, GDAL's weights add less than 0.2."""
    row, col = np.indices((96, 132)) + 0.5
    plane = (1000 + 3 * row + 2 * col).astype(np.float32)
    grid = resampled_grid(GRID, 10 / factor)
    image, _ = read(resample(make_scene("s.tif", plane), grid, tmp_path / "r.vrt"))
    row, col = np.indices((grid.height, grid.width)) + 0.5
    expected = 1000 + 3 * row * 96 / grid.height + 2 * col * 132 / grid.width
    np.testing.assert_allclose(image[0, 4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.2)


@given(row=st.integers(-4, 60), col=st.integers(-4, 80), height=st.integers(1, 30), width=st.integers(1, 30))
@settings(deadline=None, max_examples=30)
def test_any_window_equals_the_cut_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, row: int, col: int, height: int, width: int
) -> None:
    from conftest import write_scene

    path = tmp_path_factory.getbasetemp() / "resampled.vrt"
    if not path.exists():
        values = np.random.default_rng(0).integers(0, 9999, (2, 96, 132)).astype(np.uint16)
        scene = write_scene(path.with_name("resampled_source.tif"), values, nodata=0)
        resample(scene, resampled_grid(GRID, 14.7), path)
    whole, valid = read(path, GRID.window.grow(40))
    image, part = read(path, Window(row, col, height, width))
    cut = (slice(row + 40, row + 40 + height), slice(col + 40, col + 40 + width))
    np.testing.assert_array_equal(image, whole[:, *cut])
    np.testing.assert_array_equal(part, valid[cut])


@pytest.mark.parametrize("kind", ["nodata", "given", "mask", "nan"])
@pytest.mark.parametrize("factor", [2, 0.5], ids=str)
def test_what_is_invalid_does_not_leak(
    make_scene: MakeScene, tmp_path: Path, factor: float, kind: str
) -> None:
    values = np.full((96, 132), 500, np.float32 if kind == "nan" else np.uint16)
    values[:, :30] = np.nan if kind == "nan" else 9000
    scene = make_scene("s.tif", values, nodata=9000 if kind == "nodata" else None)
    if kind == "mask":
        with rasterio.open(scene, "r+") as dataset:
            dataset.write_mask(values != 9000)
    grid = resampled_grid(GRID, 10 / factor)
    image, valid = read(
        resample(scene, grid, tmp_path / "r.vrt", **({"nodata": 9000.0} if kind == "given" else {}))
    )
    border = round(30 * factor)
    assert set(np.unique(image[0])) == {0, 500}
    assert not valid[:, : border - 2].any()
    assert valid[:, border + 2 :].all()


def test_names_are_kept(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene("s.tif", np.ones((2, 96, 132), np.uint8), names=["B02", "B03"])
    with Scene(resample(scene, resampled_grid(GRID, 20), tmp_path / "r.vrt"), bands=["B03"]) as opened:
        assert (opened.all_bands, opened.grid.pixel_size) == (["B02", "B03"], (20, 20))


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
