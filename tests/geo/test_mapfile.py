"""Maps explain themselves: colours, names, provenance, probabilities."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import MakeScene
from raster_factory import write_layer
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from eoseg.errors import DataError, OutputError
from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import (
    class_layer,
    label_layer,
    map_kind,
    probability_layer,
    probability_path,
    read_map_info,
)
from eoseg.geo.scene import Scene
from eoseg.geo.valuefile import value_layer
from eoseg.recipe import MapClass, Quantity

CLASSES = (
    MapClass("Wasser & Moor", (1, 2), (0, 0, 255)),
    MapClass("forêt", ("f",), (0, 100, 0)),
    MapClass("Straße", (7,), (128, 128, 128)),
)
GRID = Grid(CRS.from_epsg(27700), Affine(10, 0, 250_000, 0, -20, 280_000), 12, 9)
VALUES = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (12, 9))


def write_map(path: Path, *, grid: Grid = GRID, values: np.ndarray = VALUES) -> Path:
    write_layer(path, grid, class_layer(CLASSES), values, tags={"EOSEG_VERSION": "1.2.3"})
    return path


def write_probabilities(path: Path, values: np.ndarray) -> Path:
    write_layer(path, GRID, probability_layer(CLASSES), values)
    return path


def test_a_map_says_what_it_is(tmp_path: Path) -> None:
    info = read_map_info(write_map(tmp_path / "m.tif"))
    assert info.kind == "classes"
    assert info.classes == CLASSES
    assert info.tags == {"EOSEG_VERSION": "1.2.3"}
    assert GRID.difference(info.grid) is None


def test_a_map_has_colours_names_and_nodata(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif")
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), VALUES)
        assert dataset.nodata == 255
        assert [dataset.colormap(1)[index][:3] for index in range(3)] == [c.color for c in CLASSES]
        assert dataset.colormap(1)[255] == (0, 0, 0, 0)
    assert cog_validate(path, strict=True)[0]
    names = path.with_name("m.tif.aux.xml").read_text(encoding="utf-8")
    assert names.count("<Category>") == 3
    assert "Wasser &amp; Moor" in names
    assert "Straße" in names


def test_a_map_is_a_scene_with_invalid_pixels(tmp_path: Path) -> None:
    with Scene(write_map(tmp_path / "m.tif")) as scene:
        image, valid = scene.read(scene.grid.window)
    np.testing.assert_array_equal(valid, VALUES != 255)
    np.testing.assert_array_equal(image[0][valid], VALUES[valid])


def test_a_scene_without_crs_gets_a_map_without(tmp_path: Path) -> None:
    grid = Grid(None, Affine.identity(), 12, 9)
    info = read_map_info(write_map(tmp_path / "m.tif", grid=grid))
    assert info.grid.crs is None
    assert (info.grid.height, info.grid.width) == (12, 9)


@pytest.mark.parametrize("value", [3, 254])
def test_a_value_that_is_no_class_is_refused(tmp_path: Path, value: int) -> None:
    values = VALUES.copy()
    values[2, 2] = value
    with pytest.raises(OutputError, match="holds 0 to 2 and 255; found others"):
        write_map(tmp_path / "m.tif", values=values)


def test_a_raster_that_is_no_map_is_refused(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", VALUES)
    with pytest.raises(DataError, match="no map that eoseg wrote"):
        read_map_info(path)
    assert map_kind(path) is None


def test_a_map_with_broken_tags_is_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif")
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(EOSEG_CLASSES="[{}]")
    with pytest.raises(DataError, match="does not name its classes as eoseg does"):
        read_map_info(path)


def test_a_missing_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_map_info(tmp_path / "m.tif")


def test_probabilities_have_a_band_per_class_and_a_scale(tmp_path: Path) -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(3), (12, 9)).transpose(2, 0, 1)
    valid = VALUES != 255
    steps = np.where(valid, np.rint(shares * 250), 255).astype(np.uint8)
    path = write_probabilities(tmp_path / "p.tif", steps)
    assert map_kind(path) == "probabilities"
    assert read_map_info(path, kind="probabilities").classes == CLASSES
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("Wasser & Moor", "forêt", "Straße")
        assert dataset.scales == pytest.approx((0.004,) * 3)
    with Scene(path) as scene:
        image, known = scene.read(scene.grid.window)
    np.testing.assert_array_equal(known, valid)
    np.testing.assert_allclose(image[:, valid], shares[:, valid], atol=0.0021)


def test_probabilities_are_not_taken_for_classes(tmp_path: Path) -> None:
    path = write_probabilities(tmp_path / "p.tif", np.zeros((3, 12, 9), np.uint8))
    with pytest.raises(DataError, match="holds probabilities; expected classes"):
        read_map_info(path)


def make_labels() -> np.ndarray:
    labels = np.random.default_rng(0).integers(0, 2, (3, 12, 9)).astype(np.uint8)
    labels[:, VALUES == 255] = 255
    return labels


def write_labels(path: Path, values: np.ndarray) -> None:
    write_layer(path, GRID, label_layer(CLASSES), values)


def test_labels_have_a_band_of_zeros_and_ones_each(tmp_path: Path) -> None:
    path, labels = tmp_path / "l.tif", make_labels()
    write_labels(path, labels)
    assert map_kind(path) == "labels"
    assert read_map_info(path, kind="labels").classes == CLASSES
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), labels)
        assert dataset.descriptions == ("Wasser & Moor", "forêt", "Straße")
        assert dataset.nodata == 255


def test_a_value_that_is_no_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds 0 to 1 and 255; found others"):
        write_labels(tmp_path / "l.tif", np.full((3, 12, 9), 2, np.uint8))


def test_labels_are_not_taken_for_classes(tmp_path: Path) -> None:
    write_labels(tmp_path / "l.tif", make_labels())
    with pytest.raises(DataError, match=r"holds labels; expected classes\. Give a map of another"):
        read_map_info(tmp_path / "l.tif")


def test_a_map_of_a_quantity_is_told_apart(tmp_path: Path) -> None:
    layer = value_layer(Quantity("height", "m"))
    write_layer(tmp_path / "v.tif", GRID, layer, np.zeros((12, 9), np.float32))
    assert map_kind(tmp_path / "v.tif") == "values"


def test_probabilities_lie_beside_their_map() -> None:
    assert probability_path(Path("out/a.map.tif")) == Path("out/a.map_probabilities.tif")
