"""The label of a chip, from a raster with known counts."""

from pathlib import Path

import numpy as np
import pytest
from conftest import MakeScene

from eoseg.errors import DataError, GridError
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window
from eoseg.predict.chip_labels import ChipLabels
from eoseg.recipe import MapClass, parse_classes

CLASSES = parse_classes({"water": 3, "wood": 7})
LABELS = np.array([[3, 3, 7, 7], [7, 7, 7, 3], [255, 255, 3, 3], [255, 255, 255, 7]], np.uint8)
ALL = np.ones((2, 2), bool)


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("image.tif", np.ones((1, 4, 4), np.uint8))


def open_labels(scene: Path, path: Path, classes: tuple[MapClass, ...]) -> ChipLabels:
    with Scene(scene) as opened:
        return ChipLabels(path, opened.grid, image=str(scene), classes=classes)


@pytest.mark.parametrize(("classes", "names"), [(CLASSES, ("water", "wood")), ((), ("3", "7"))])
def test_a_chip_has_the_label_of_most_of_its_pixels(
    scene: Path, make_scene: MakeScene, classes: tuple[MapClass, ...], names: tuple[str, str]
):
    few, many = names
    with open_labels(scene, make_scene("labels.tif", LABELS), classes) as labels:
        assert labels.of(Window(0, 2, 2, 2), ALL) == many  # 3 of 4
        assert labels.of(Window(0, 0, 2, 2), ALL) == few  # a tie: the first
        assert labels.of(Window(2, 0, 2, 2), ALL) is None  # nothing is labelled
        assert labels.of(Window(2, 2, 2, 2), ALL) == few  # 2 to 1, one without
        assert labels.of(Window(3, 3, 2, 2), ALL) == many  # partly outside
        # What the image does not show does not count.
        assert labels.of(Window(0, 2, 2, 2), np.array([[False, False], [False, True]])) == few
        assert labels.of(Window(0, 2, 2, 2), ~ALL) is None


def test_declared_nodata_is_no_label(scene: Path, make_scene: MakeScene):
    path = make_scene("labels.tif", np.where(LABELS == 255, 7, 0).astype(np.int16), nodata=0)
    with open_labels(scene, path, ()) as labels:
        assert labels.of(Window(0, 0, 2, 2), ALL) is None
        assert labels.of(Window(2, 0, 2, 2), ALL) == "7"


def test_a_value_that_is_no_class_is_refused_and_taken_as_a_value(scene: Path, make_scene: MakeScene):
    path = make_scene("labels.tif", np.full((4, 4), 9, np.uint8))
    with open_labels(scene, path, CLASSES) as labels, pytest.raises(DataError, match="label value 9"):
        labels.of(Window(0, 0, 2, 2), ALL)
    with open_labels(scene, path, ()) as labels:
        assert labels.of(Window(0, 0, 2, 2), ALL) == "9"


@pytest.mark.parametrize("classes", [CLASSES, ()])
def test_labels_on_another_grid_are_refused(
    scene: Path, make_scene: MakeScene, classes: tuple[MapClass, ...]
):
    moved = make_scene("labels.tif", LABELS, origin=(500_010.0, 5_400_000.0))
    with pytest.raises(GridError, match="is not on the grid of"):
        open_labels(scene, moved, classes)


@pytest.mark.parametrize("values", [np.ones((4, 4), np.float32), np.ones((3, 4, 4), np.uint8)])
def test_what_holds_no_class_values_is_refused(scene: Path, make_scene: MakeScene, values: np.ndarray):
    with pytest.raises(DataError, match="labels are one band of integers"):
        open_labels(scene, make_scene("labels.tif", values), ())
