import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import MakeScene

from eoseg.errors import ConfigError, DataError, GridError
from eoseg.geo.grid import Grid
from eoseg.geo.labels import RasterLabels, is_vector, open_labels
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE, parse_classes

CLASSES = parse_classes(
    {"water": {"value": 3, "color": "#0000FF"}, "land": {"value": [5, 7], "color": "#00FF00"}}
)
COLORS = np.array([[0, 0, 255], [0, 255, 0], [9, 9, 9]], np.uint8)


def read(path: Path, **options: object) -> np.ndarray:
    labels = RasterLabels(path, classes=CLASSES, **options)  # type: ignore[arg-type]
    found = labels.read(labels.grid.window)
    labels.close()
    return found


def rgb(classes: np.ndarray) -> np.ndarray:
    return np.moveaxis(COLORS[classes], -1, 0)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32"])
def test_values_become_class_indices_in_any_type(make_scene: MakeScene, dtype: str):
    path = make_scene("l.tif", np.array([[3, 5], [7, 3]], dtype))
    np.testing.assert_array_equal(read(path), [[0, 1], [1, 0]])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_the_table_of_small_integers_says_what_a_search_says(make_scene: MakeScene, dtype: str):
    held = np.array([[3, 5, 7, 9, 100, 3]], dtype)
    path = make_scene("l.tif", held, nodata=100)
    labels = RasterLabels(path, classes=CLASSES, ignore=[9])
    assert labels._table is not None
    found = labels.read(Window(0, 0, 1, 6))
    np.testing.assert_array_equal(found, [[0, 1, 1, IGNORE, IGNORE, 0]])
    labels._table = None
    np.testing.assert_array_equal(labels.read(Window(0, 0, 1, 6)), found)


def test_no_label_is_nodata_listed_values_and_255(make_scene: MakeScene):
    path = make_scene("l.tif", np.array([[3, 0], [255, 9]], np.uint8), nodata=0)
    np.testing.assert_array_equal(read(path, ignore=[9]), [[0, IGNORE], [IGNORE, IGNORE]])


def test_255_is_a_class_where_a_class_has_it(make_scene: MakeScene):
    labels = RasterLabels(
        make_scene("l.tif", np.array([[0, 255]], np.uint8)),
        classes=parse_classes({"other": 0, "building": 255}),
    )
    np.testing.assert_array_equal(labels.read(Window(0, 0, 1, 2)), [[0, 1]])


def test_outside_the_raster_there_is_no_label(make_scene: MakeScene):
    labels = RasterLabels(make_scene("l.tif", np.array([[3]], np.uint8)), classes=CLASSES)
    np.testing.assert_array_equal(labels.read(Window(-1, 0, 2, 2)), [[255, 255], [0, 255]])
    assert (labels.read(Window(50, 50, 2, 2)) == IGNORE).all()


def test_nan_means_no_label(make_scene: MakeScene):
    path = make_scene("l.tif", np.array([[np.nan, 3]], np.float32))
    np.testing.assert_array_equal(read(path), [[IGNORE, 0]])


def test_colours_become_class_indices(make_scene: MakeScene):
    path = make_scene("l.png", rgb(np.array([[0, 1], [2, 0]])), driver="PNG", crs=None)
    np.testing.assert_array_equal(read(path, encoding="colors", ignore=["#090909"]), [[0, 1], [IGNORE, 0]])


def test_transparent_colours_are_no_label(make_scene: MakeScene):
    alpha = np.array([[[255, 255, 0]]], np.uint8)
    rgba = np.concatenate([rgb(np.array([[0, 1, 2]])), alpha])
    path = make_scene("l.png", rgba, driver="PNG", crs=None)
    np.testing.assert_array_equal(read(path, encoding="colors"), [[0, 1, IGNORE]])


def test_a_colour_table_gives_colours(make_scene: MakeScene):
    path = make_scene("l.tif", np.array([[4, 6]], np.uint8), photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {4: (0, 255, 0, 255), 6: (0, 0, 255, 255)})
    np.testing.assert_array_equal(read(path, encoding="colors"), [[1, 0]])


def test_a_strange_colour_is_counted_and_the_nearest_class_named(make_scene: MakeScene):
    classes = np.zeros((700, 3), np.int64)
    classes[650:, :] = 2
    path = make_scene("l.tif", rgb(classes), photometric="rgb")
    expected = re.escape("the colour #090909 in 150 pixels, which no class has; the nearest is ")
    with pytest.raises(DataError, match=expected):
        read(path, encoding="colors")


def test_a_strange_value_is_named_with_its_place(make_scene: MakeScene):
    values = np.full((4, 4), 3, np.uint8)
    values[2, 1] = 4
    with pytest.raises(DataError, match=r"label value 4 at row 2, column 1.*water \(3\), land \(5, 7\)"):
        read(make_scene("l.tif", values))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.full((1, 1), 3.5, np.float32), {}, "the label 3.5 at row 0, column 0"),
        (np.zeros((3, 1, 1), np.uint8), {}, "has 3 bands.*set label_encoding: colors"),
        (
            np.zeros((1, 1), np.uint8),
            {"encoding": "colors"},
            "without a colour table.*label_encoding: values",
        ),
        (np.zeros((3, 1, 1), np.uint16), {"encoding": "colors"}, "3 bands of uint16"),
        (np.zeros((2, 1, 1), np.uint8), {"encoding": "colors"}, "2 bands of uint8"),
    ],
)
def test_a_file_that_does_not_suit_the_encoding_is_refused(
    make_scene: MakeScene, values: np.ndarray, options: dict[str, str], message: str
):
    with pytest.raises(DataError, match=message):
        read(make_scene("l.tif", values), **options)


def test_nodata_that_is_a_class_is_refused(make_scene: MakeScene):
    with pytest.raises(DataError, match="declares 3 as nodata, but 3 stands for the class 'water'"):
        read(make_scene("l.tif", np.array([[3]], np.uint8), nodata=3))


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        ({"a": "text", "b": 1}, {}, "label value 'text', but label rasters hold integers"),
        ({"a": 0, "b": 1}, {"ignore": ["#000000"]}, "'#000000'.*set label_encoding: colors"),
        ({"a": 0, "b": 1}, {"ignore": [1]}, "lists 1, which is 'b'"),
        ({"a": "#000000", "b": "#111111"}, {"encoding": "colors", "ignore": [0]}, "Write it as '#RRGGBB'"),
        ({"a": "#000000", "b": "#111111"}, {"encoding": "colors", "ignore": ["#111111"]}, "which is 'b'"),
    ],
)
def test_options_that_contradict_are_refused(
    make_scene: MakeScene, classes: dict[str, object], options: dict[str, object], message: str
):
    path = make_scene("l.tif", np.array([[0]], np.uint8))
    with pytest.raises(ConfigError, match=message):
        RasterLabels(path, classes=parse_classes(classes), **options)  # type: ignore[arg-type]


def test_a_truncated_file_is_refused(make_scene: MakeScene):
    path = make_scene("l.tif", np.full((300, 300), 3, np.uint8))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match="truncated"):
        read(path)


def test_open_labels_refuses_a_raster_on_another_grid(make_scene: MakeScene):
    image = make_scene("i.tif", np.ones((1, 4, 4), np.uint8))
    label = make_scene("l.tif", np.full((4, 4), 3, np.uint8), origin=(500_010, 5_400_000))
    with Scene(image) as scene, pytest.raises(GridError, match="rio warp"):
        open_labels(label, grid=scene.grid, image=str(image), classes=CLASSES)


def test_open_labels_refuses_options_for_the_other_kind(make_scene: MakeScene):
    label = make_scene("l.tif", np.full((4, 4), 3, np.uint8))
    grid = Grid(None, rasterio.Affine.identity(), 4, 4)
    with pytest.raises(ConfigError, match="attribute 'kind' is for vector files"):
        open_labels(label, grid=grid, image="i", classes=CLASSES, attribute="kind")
    with pytest.raises(ConfigError, match="label_encoding 'colors' is for rasters"):
        open_labels("l.gpkg", grid=grid, image="i", classes=CLASSES, encoding="colors")


def test_vectors_are_told_by_their_ending():
    assert is_vector("a/b.GPKG")
    assert is_vector(Path("a.shp"))
    assert not is_vector("a.tif")
