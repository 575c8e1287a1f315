from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene

from eoseg.errors import ConfigError
from eoseg.geo import preview
from eoseg.geo.preview import preview_classes, preview_factor, preview_image
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window


def slow_mean(values: np.ndarray, valid: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the valid pixels of each square, one square after the other."""
    height, width = (-(-size // factor) for size in valid.shape)
    means, known = np.zeros((len(values), height, width)), np.zeros((height, width), bool)
    for row in range(height):
        for col in range(width):
            part = np.s_[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
            known[row, col] = valid[part].any()
            for band, image in enumerate(values):
                means[band, row, col] = image[part][valid[part]].mean() if known[row, col] else 0
    return means, known


@pytest.mark.parametrize(("size", "factor"), [(40, 1), (20, 2), (13, 3), (7, 6), (1, 37)])
@pytest.mark.parametrize("strip", [4_000_000, 1])
def test_a_preview_is_the_mean_of_the_valid_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, factor: int, strip: int
) -> None:
    monkeypatch.setattr(preview, "_STRIP_PIXELS", strip)
    values = np.random.default_rng(0).integers(1, 1000, (2, 31, 37)).astype(np.uint16)
    values[:, 5:20, 8:30] = 0
    path = write_scene(tmp_path / "scene.tif", values, nodata=0)
    image, valid = preview_image(path, max_size=size)
    expected, known = slow_mean(values, values[0] > 0, factor)
    assert (valid == known).all()
    np.testing.assert_allclose(image, expected, rtol=1e-5)


def test_bands_are_chosen_by_name(tmp_path: Path) -> None:
    values = np.stack([np.full((8, 8), value, np.uint8) for value in (1, 2, 3)])
    path = write_scene(tmp_path / "scene.tif", values, names=["a", "b", "c"])
    image, _ = preview_image(path, bands=["c", "a"], max_size=4)
    assert image[:, 0, 0].tolist() == [3, 1]
    image, valid = preview_image(path, bands=["z"], band_names=["x", "y", "z"], nodata=3, max_size=4)
    assert not valid.any()


@pytest.mark.parametrize("strip", [4_000_000, 1])
def test_classes_are_those_in_the_middle_of_each_square(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    monkeypatch.setattr(preview, "_STRIP_PIXELS", strip)
    classes = np.arange(30, dtype=np.uint8)[:, None] + np.zeros(20, np.uint8)
    with Scene(write_scene(tmp_path / "scene.tif", classes)) as scene:

        def read(window: Window) -> np.ndarray:
            return scene.read(window)[0][0]

        assert preview_classes(read, scene.grid, max_size=10)[:, 0].tolist() == [
            *(1, 4, 7, 10, 13, 16, 19, 22, 25, 28)
        ]
        assert preview_classes(read, scene.grid, max_size=30).shape == (30, 20)
        assert preview_classes(read, scene.grid, max_size=8)[-1, 0] == 29  # the cut-off square has 2 rows


def test_all_previews_of_a_grid_have_one_size(tmp_path: Path) -> None:
    for height, width in ((1, 1), (17, 5), (64, 63), (100, 3)):
        path = write_scene(tmp_path / f"{height}.tif", np.ones((height, width), np.uint8))
        with Scene(path) as scene:

            def read(window: Window, scene: Scene = scene) -> np.ndarray:
                return scene.read(window)[0][0]

            for size in (1, 7, 50, 1000):
                classes = preview_classes(read, scene.grid, max_size=size)
                assert classes.shape == preview_image(path, max_size=size)[1].shape
                assert max(classes.shape) <= size
                assert (classes == 1).all()


def test_a_size_below_one_is_refused(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "scene.tif", np.ones((4, 4), np.uint8))
    with Scene(path) as scene, pytest.raises(ConfigError, match="max_size of at least 1 px; got 0"):
        preview_factor(scene.grid, 0)
