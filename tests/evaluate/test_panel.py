from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from map_factory import label_values, write_map

from eoseg.errors import DataError, GridError
from eoseg.evaluate.panel import MapPanel, load_panel, scene_picture
from eoseg.geo.window import Window
from eoseg.recipe import BandStatistics, Statistics


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    """A scene whose green band is the class; the left half is mapped wrongly."""
    truth = np.kron(np.arange(3, dtype=np.uint8), np.ones((30, 20), np.uint8))
    mapped = truth.copy()
    mapped[:, :10] = 2
    mapped[0] = 255
    image = np.stack([np.zeros_like(truth), truth * 100, np.full_like(truth, 50)]).astype(np.uint16) + 1
    return {
        "map": write_map(tmp_path / "map.tif", mapped),
        "reference": write_scene(tmp_path / "reference.tif", label_values(truth)),
        "scene": write_scene(tmp_path / "scene.tif", image, names=["blue", "green", "red"]),
    }


def test_a_panel_shows_scene_reference_and_map_in_one_size(paths: dict[str, Path]) -> None:
    panel = load_panel("north", paths["map"], paths["reference"], scene=paths["scene"], max_size=30)
    assert panel.truth.shape == panel.map.shape == (15, 30)
    assert panel.image.shape == (15, 30, 3)
    assert panel.truth[5].tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert panel.map[5].tolist() == [2] * 5 + [0] * 5 + [1] * 10 + [2] * 10


def test_small_scenes_are_shown_as_they_are(paths: dict[str, Path]) -> None:
    panel = load_panel("north", paths["map"], paths["reference"])
    assert panel.image is None
    assert panel.map.shape == (30, 60)
    assert (panel.map[0] == 255).all()


def test_the_reference_is_shown_only_where_it_is_compared(paths: dict[str, Path]) -> None:
    panel = load_panel("north", paths["map"], paths["reference"], windows=[Window(10, 20, 5, 5)])
    assert (panel.truth != 255).sum() == 25
    assert (panel.truth[10:15, 20:25] == 1).all()


def test_training_statistics_choose_the_bands_and_stretch_them(paths: dict[str, Path]) -> None:
    bands = tuple(BandStatistics(name, 0, 1, 0, 1, 201, 300) for name in ("red", "green", "blue"))
    picture = scene_picture(paths["scene"], statistics=Statistics(bands, "uint16", 1, 1, (1,)))
    assert picture[5, 25].tolist() == [64, 128, 0]  # red (51 - 1) / 200, green (101 - 1) / 200


def test_without_statistics_the_scene_stretches_itself(paths: dict[str, Path]) -> None:
    picture = scene_picture(paths["scene"])
    assert picture[5, 5, 1] == 0
    assert picture[5, 55, 1] == 255


def test_a_scene_on_another_grid_is_refused(paths: dict[str, Path], tmp_path: Path) -> None:
    other = write_scene(tmp_path / "other.tif", np.ones((30, 61), np.uint8))
    with pytest.raises(GridError, match="size 61 x 30 px instead of 60 x 30 px"):
        load_panel("north", paths["map"], paths["reference"], scene=other)


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="'north' must have one size"):
        MapPanel("north", None, np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8))
