"""The map of a resampled scene is laid back where it belongs, and has values where the scene has."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import MakeScene, write_scene
from parts_factory import copy_and_spoil

from eoseg.errors import OutputError
from eoseg.geo import cog
from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.grid import Grid
from eoseg.geo.homeward import Home, finish_at_home, laid_back
from eoseg.geo.layer import Layer
from eoseg.geo.parts import Parts
from eoseg.geo.resample import resampled_grid
from eoseg.geo.scene import Scene
from eoseg.geo.share import Share
from eoseg.geo.stack import SceneStack
from eoseg.geo.tiles import plan_tiles
from eoseg.geo.window import Window

CLASSES = Layer(bands=("class",), overviews="MODE", highest=200)
HEIGHTS = Layer(bands=("height",), overviews="AVERAGE", dtype="float32")
SIZES = [2.5, 4, 14.7, 20, 30, 40]
"""Pixel sizes at which a scene of 10 m is computed."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of 96 x 132 px of 10 m that is valid everywhere."""
    return write_scene(tmp_path_factory.mktemp("plain") / "s.tif", np.ones((96, 132), np.uint8))


@pytest.fixture
def scene(plain: Path) -> Iterator[Scene]:
    with Scene(plain) as opened:
        yield opened


def compute(
    folder: Path, grid: Grid, values: Sequence[tuple[Layer, np.ndarray]], *, shares: int = 1
) -> Parts:
    """What a run has computed."""
    cores = plan_tiles(grid.height, grid.width, core=16, halo=0, stride=1)
    parts = Parts(
        folder / "m.tif", grid, [layer for layer, _ in values], cores, fingerprint={}, shares=shares
    )
    for number in range(parts.shares):
        with Share(parts, number) as share:
            for index in share.pending:
                rows, cols = cores.tile(index).core.slices_in(grid.window)
                share.write(index, [array[..., rows, cols] for _, array in values], skipped=index == 1)
            share.finish()
    return parts


def classes_on(grid: Grid) -> np.ndarray:
    """A class that is the same in no two pixels near each other."""
    row, col = np.indices((grid.height, grid.width))
    return ((row * 17 + col * 5) % 199).astype(np.uint8)


def containing(own: Grid, computed: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the computed pixel that holds the centre of each own one, by their coordinates."""
    row, col = np.indices((own.height, own.width)) + 0.5
    xs, ys = own.transform @ (col, row)
    cols, rows = ~computed.transform @ (xs, ys)
    return np.floor(rows + 1e-6).astype(int), np.floor(cols + 1e-6).astype(int)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shares", [1, 3])
def test_a_pixel_has_the_class_of_the_computed_pixel_at_its_centre(
    scene: Scene, tmp_path: Path, size: float, shares: int
) -> None:
    grid = resampled_grid(scene.grid, size)
    computed = classes_on(grid)
    parts = compute(tmp_path, grid, [(CLASSES, computed)], shares=shares)
    finished = finish_at_home(parts, Home(scene, "single"), [tmp_path / "m.tif"], lambda skipped: {"A": "b"})
    assert finished is not None
    assert (finished.skipped, finished.counts[0].known) == (1, 96 * 132)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert (dataset.transform, dataset.crs) == (scene.grid.transform, scene.grid.crs)
        np.testing.assert_array_equal(dataset.read(1), computed[containing(scene.grid, grid)])
        assert dataset.tags()["A"] == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["m.tif"]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_plane_comes_back_as_the_same_plane(scene: Scene, tmp_path: Path, size: float) -> None:
    """A shift by half a pixel would add 2.5; means of 2.5 px lie 0.02 px to either side of the middle."""
    grid = resampled_grid(scene.grid, size)
    row, col = np.indices((grid.height, grid.width)) + 0.5
    plane = 3 * row * 96 / grid.height + 2 * col * 132 / grid.width
    parts = compute(tmp_path, grid, [(HEIGHTS, plane.astype(np.float32))])
    (found,) = laid_back(parts, Home(scene, "single"), scene.grid.window)
    row, col = np.indices((96, 132)) + 0.5
    edge = int(np.ceil(size / 20))  # beyond the outermost centres there is nothing to interpolate with
    inner = (slice(edge, -edge), slice(edge, -edge))
    off = found[0][inner] - (3 * row + 2 * col)[inner]
    assert abs(off).max() < (0.11 if size == 4 else 1e-3)
    assert abs(off.mean()) < 1e-3


def test_any_window_equals_the_cut_of_the_whole(scene: Scene, tmp_path: Path) -> None:
    grid = resampled_grid(scene.grid, 14.7)
    heights = np.random.default_rng(0).random((grid.height, grid.width)).astype(np.float32)
    heights[10:20] = np.nan
    parts = compute(tmp_path, grid, [(HEIGHTS, heights)], shares=4)
    home = Home(scene, "single")
    (whole,) = laid_back(parts, home, scene.grid.window)
    assert 0.05 < np.isnan(whole).mean() < 0.3
    for window in (Window(0, 0, 1, 1), Window(13, 40, 30, 50), Window(95, 131, 1, 1), Window(20, 0, 7, 132)):
        rows, cols = window.slices_in(scene.grid.window)
        np.testing.assert_array_equal(laid_back(parts, home, window)[0], whole[:, rows, cols])


def test_what_is_unknown_takes_no_part_in_an_interpolation(scene: Scene, tmp_path: Path) -> None:
    grid = resampled_grid(scene.grid, 40)
    heights = np.full((grid.height, grid.width), 7, np.float32)
    heights[5, 6] = np.nan
    (found,) = laid_back(
        compute(tmp_path, grid, [(HEIGHTS, heights)]), Home(scene, "single"), scene.grid.window
    )
    assert set(np.unique(found[~np.isnan(found)])) == {7}
    expected = np.zeros((96, 132), bool)
    expected[20:24, 24:28] = True
    np.testing.assert_array_equal(np.isnan(found[0]), expected)


@pytest.mark.parametrize("size", [5, 40])
def test_all_layers_have_values_where_the_scene_has(
    make_scene: MakeScene, tmp_path: Path, size: float
) -> None:
    values = np.random.default_rng(0).integers(0, 2, (96, 132)).astype(np.uint8)
    with Scene(make_scene("gaps.tif", values, nodata=0)) as scene:
        grid = resampled_grid(scene.grid, size)
        heights = np.ones((grid.height, grid.width), np.float32)
        parts = compute(tmp_path, grid, [(CLASSES, classes_on(grid)), (HEIGHTS, heights)])
        classes, found = laid_back(parts, Home(scene, "single"), scene.grid.window)
    np.testing.assert_array_equal(classes[0] != 255, values != 0)
    np.testing.assert_array_equal(~np.isnan(found[0]), values != 0)


@pytest.mark.parametrize(("time", "dates"), [("pair", 2), ("series", 3)])
def test_dates_say_together_where_there_are_values(
    make_scene: MakeScene, tmp_path: Path, time: str, dates: int
) -> None:
    values = np.random.default_rng(0).integers(0, 2, (dates, 96, 132)).astype(np.uint8)
    values[:, :40, :40] = 0
    values[:, 60:, 60:] = 1
    paths = [make_scene(f"{n}.tif", image, nodata=0) for n, image in enumerate(values)]
    with SceneStack(paths) as stack:
        grid = resampled_grid(stack.grid, 20)
        parts = compute(tmp_path, grid, [(CLASSES, classes_on(grid))])
        home = Home(stack, time)  # type: ignore[arg-type]
        (found,) = laid_back(parts, home, stack.grid.window)
        corner = (
            laid_back(parts, home, Window(0, 0, 30, 30))[0],
            laid_back(parts, home, Window(70, 70, 9, 9))[0],
        )
    expected = values.all(axis=0) if time == "pair" else values.any(axis=0)
    np.testing.assert_array_equal(found[0] != 255, expected)
    assert (corner[0] == 255).all()
    assert (corner[1] != 255).all()


def test_an_area_of_interest_is_cut_along_the_pixels_of_the_scene(scene: Scene, tmp_path: Path) -> None:
    box = shapely.box(500_000 + 203, 5_400_000 - 412, 500_000 + 688, 5_400_000 - 98)
    own = AreaOfInterest(scene.grid, np.array([box], object))
    grid = resampled_grid(scene.grid, 40)
    around = own.around(grid)
    assert around.mask(grid.window).sum() < 17 * 13
    computed = np.where(around.mask(grid.window), 3, 255).astype(np.uint8)
    parts = compute(tmp_path, grid, [(CLASSES, computed)])
    (found,) = laid_back(parts, Home(scene, "single", own), scene.grid.window)
    expected = np.full((96, 132), 255)
    expected[10:41, 20:69] = 3
    np.testing.assert_array_equal(found[0], expected)


def test_a_scene_without_gaps_is_not_read_again(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = resampled_grid(scene.grid, 20)
    parts = compute(tmp_path, grid, [(CLASSES, classes_on(grid))])
    monkeypatch.setattr(Scene, "read", lambda self, window: 1 / 0)
    assert (laid_back(parts, Home(scene, "single"), scene.grid.window)[0] != 255).all()


def test_a_file_that_does_not_hold_what_was_computed_is_refused_and_made_again(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = resampled_grid(scene.grid, 20)
    parts = compute(tmp_path, grid, [(CLASSES, classes_on(grid))])
    with monkeypatch.context() as patch:
        patch.setattr(cog.rasterio.shutil, "copy", copy_and_spoil)
        with pytest.raises(OutputError, match=r"m.tif' does not hold what was computed"):
            finish_at_home(parts, Home(scene, "single"), [tmp_path / "m.tif"], lambda _: {})
    assert [path.name for path in tmp_path.iterdir()] == ["m.tif.parts"]
    assert finish_at_home(parts, Home(scene, "single"), [tmp_path / "m.tif"], lambda _: {}) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["m.tif"]


def test_parts_that_were_damaged_are_refused(scene: Scene, tmp_path: Path) -> None:
    grid = resampled_grid(scene.grid, 20)
    parts = compute(tmp_path, grid, [(CLASSES, classes_on(grid))])
    with parts.raw_path(0, 0).open("r+b") as file:
        file.write(b"\xff")
    with pytest.raises(OutputError, match=r"1 tile\(s\) of .*m.tif' were damaged"):
        finish_at_home(parts, Home(scene, "single"), [tmp_path / "m.tif"], lambda _: {})


def test_only_one_process_makes_the_files(scene: Scene, tmp_path: Path) -> None:
    grid = resampled_grid(scene.grid, 20)
    parts = compute(tmp_path, grid, [(CLASSES, classes_on(grid))])
    arguments = (parts, Home(scene, "single"), [tmp_path / "m.tif"], lambda _: {})
    with parts.only_here() as mine:
        assert mine
        assert finish_at_home(*arguments) is None
    assert finish_at_home(*arguments) is not None
    assert finish_at_home(*arguments) is None  # made already


def test_a_turned_grid_comes_back(make_scene: MakeScene, tmp_path: Path) -> None:
    place = Affine(6, 8, 500_000, 8, -6, 5_400_000)
    with Scene(make_scene("s.tif", np.ones((50, 70), np.uint8), transform=place)) as scene:
        grid = resampled_grid(scene.grid, 30)
        computed = classes_on(grid)
        (found,) = laid_back(
            compute(tmp_path, grid, [(CLASSES, computed)]), Home(scene, "single"), scene.grid.window
        )
        np.testing.assert_array_equal(found[0], computed[containing(scene.grid, grid)])
