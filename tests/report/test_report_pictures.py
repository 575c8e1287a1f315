import json
from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from map_factory import write_map
from raster_factory import write_layer
from run_factory import height_recipe, make_recipe, make_run, write_evaluation, write_run_map, write_world

from eoseg.errors import DataError, GridError
from eoseg.evaluate.panel import MapPanel
from eoseg.geo.mapfile import probability_layer
from eoseg.geo.scene import Scene
from eoseg.geo.valuefile import value_layer
from eoseg.recipe import parse_classes
from eoseg.report.pictures import ValuePanel, view_map


@pytest.fixture
def run(tmp_path: Path) -> Path:
    image = write_world(tmp_path)
    folder = make_run(tmp_path)
    write_run_map(folder, image)
    return folder


def protocol_of(run: Path, base: Path) -> dict[str, object]:
    return json.loads(write_evaluation(run, base).read_text())["protocol"]


def test_scene_and_reference_of_a_map_are_found(run: Path, tmp_path: Path) -> None:
    view = view_map(run / "map.tif", make_recipe(), scene=None, protocol=protocol_of(run, tmp_path))
    assert isinstance(view.panel, MapPanel)
    assert view.panel.image is not None
    assert view.panel.truth is not None
    assert view.panel.truth[50, [0, 40, 90]].tolist() == [0, 1, 2]
    assert view.panel.map[10, [0, 40, 90]].tolist() == [0, 0, 0]
    assert view.tags["EOSEG_CHECKPOINT_SHA256"] == "abc"


def test_a_map_alone_is_shown_alone(run: Path) -> None:
    (run / "map.stac.json").unlink()
    view = view_map(run / "map.tif", make_recipe(), scene=None, protocol={})
    assert isinstance(view.panel, MapPanel)
    assert (view.panel.image, view.panel.truth, view.scene) == (None, None, None)


@pytest.mark.parametrize(
    "links",
    [
        [],
        [{"rel": "derived_from", "href": "./gone.tif"}],
        [{"rel": "derived_from", "href": "https://a/b.tif"}],
        [{}],
    ],
)
def test_a_scene_that_is_not_here_is_left_out(run: Path, links: list[dict[str, str]]) -> None:
    (run / "map.stac.json").write_text(json.dumps({"links": links}))
    assert view_map(run / "map.tif", make_recipe(), scene=None, protocol={}).scene is None


def test_a_scene_on_another_grid_is_refused(run: Path, tmp_path: Path) -> None:
    other = write_scene(tmp_path / "other.tif", np.ones((2, 50, 60), np.uint16), names=["red", "nir"])
    with pytest.raises(GridError, match=r"other\.tif' is not on the grid of .*size 60 x 50 px"):
        view_map(run / "map.tif", make_recipe(), scene=str(other), protocol={})


def test_maps_of_other_classes_and_other_rasters_are_refused(run: Path, tmp_path: Path) -> None:
    mapped = np.zeros((8, 8), np.uint8)
    other = write_map(tmp_path / "other.tif", mapped, names=parse_classes(["sand", "rock"]))
    with pytest.raises(
        DataError, match="shows sand, rock; the checkpoint of the run gives water, wood, town"
    ):
        view_map(other, make_recipe(), scene=None, protocol={})
    plain = write_scene(tmp_path / "plain.tif", mapped)
    with pytest.raises(DataError, match="no map that eoseg wrote"):
        view_map(plain, make_recipe(), scene=None, protocol={})


def test_a_reference_that_is_gone_is_said_to_be(run: Path, tmp_path: Path) -> None:
    protocol = protocol_of(run, tmp_path)
    (tmp_path / "demo" / "truth.tif").unlink()
    view = view_map(run / "map.tif", make_recipe(), scene=None, protocol=protocol)
    assert isinstance(view.panel, MapPanel)
    assert view.panel.truth is None
    assert "is not found from here" in view.notes[0]


def test_the_reference_of_another_map_is_not_shown(run: Path, tmp_path: Path) -> None:
    protocol = {**protocol_of(run, tmp_path), "map": "another.tif"}
    view = view_map(run / "map.tif", make_recipe(), scene=None, protocol=protocol)
    assert isinstance(view.panel, MapPanel)
    assert view.panel.truth is None


def test_the_reference_is_shown_only_where_it_was_compared(run: Path, tmp_path: Path) -> None:
    protocol = protocol_of(run, tmp_path)
    protocol["split"] = {"file": str(run / "split.json"), "part": "test", "scene": "scene"}
    view = view_map(run / "map.tif", make_recipe(), scene=None, protocol=protocol)
    assert isinstance(view.panel, MapPanel)
    assert view.panel.truth is not None
    assert (view.panel.truth != 255).sum() == 46 * 46
    protocol["split"] = {"file": "gone.json", "part": "test", "scene": "scene"}
    view = view_map(run / "map.tif", make_recipe(), scene=None, protocol=protocol)
    assert "gone.json" in view.notes[0]


def test_probabilities_are_not_drawn(run: Path) -> None:
    with Scene(run / "map.tif") as opened:
        grid = opened.grid
    path = run / "map_probabilities.tif"
    classes = make_recipe().schema.classes
    write_layer(path, grid, probability_layer(classes), np.full((3, 96, 96), 80, np.uint8))
    view = view_map(path, make_recipe(), scene=None, protocol={})
    assert view.panel is None
    assert view.notes == ("The map holds probabilities, which are not drawn.",)


def test_a_map_of_a_quantity_is_drawn_in_the_colours_of_its_training(run: Path, tmp_path: Path) -> None:
    recipe = height_recipe()
    quantity = recipe.schema.quantity
    assert quantity is not None
    image = tmp_path / "demo" / "images" / "scene.tif"
    with Scene(image) as opened:
        grid = opened.grid
    values = np.full((96, 96), 19.0, np.float32)
    values[:48] = 1.0
    path = tmp_path / "height.tif"
    write_layer(path, grid, value_layer(quantity), values)
    view = view_map(path, recipe, scene=str(image), protocol={})
    assert isinstance(view.panel, ValuePanel)
    assert view.panel.map[0, 0].tolist() == [0x44, 0x01, 0x54]
    assert view.panel.map[-1, 0].tolist() == [0xFD, 0xE7, 0x25]
    assert view.panel.image is not None
    with pytest.raises(DataError, match="shows canopy height, which the checkpoint does not estimate"):
        view_map(path, make_recipe(), scene=None, protocol={})
    other = write_scene(tmp_path / "other.tif", np.ones((2, 50, 60), np.uint16), names=["red", "nir"])
    with pytest.raises(GridError, match="is not on the grid"):
        view_map(path, recipe, scene=str(other), protocol={})
