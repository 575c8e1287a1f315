"""What a file says to the QGIS plugin Deepness, and to eoseg."""

import json

import pytest
from predict_factory import ChipBrightness, Constant, Later, make_network, make_recipe

from eoseg import __version__
from eoseg.predict.onnx_metadata import RECIPE_KEY, describe_model, fits_deepness
from eoseg.recipe import Quantity, Recipe

DEEPNESS = {"model_type", "class_names", "standardization_mean", "standardization_std", "tile_size"}


def described(recipe: Recipe, *, tile: int | None = 512, halo: int = 32) -> dict[str, object]:
    network = make_network(Constant(), recipe=recipe)
    told = describe_model(network, recipe, tile=tile, halo=halo, nodata=None)
    return {key: json.loads(value) for key, value in told.items() if key != "eoseg_version"}


def test_classes_make_a_segmentor_without_a_threshold() -> None:
    told = described(make_recipe(pixel_size=(0.5, 0.5)))
    assert told["model_type"] == "Segmentor"
    assert told["class_names"] == {"0": "water", "1": "wood", "2": "field", "3": "town"}
    assert (told["resolution"], told["tile_size"], told["tiles_overlap"]) == (50, 512, 13)
    assert (told["seg_thresh"], told["seg_small_segment"]) == (0, 0)
    assert "reg_output_scaling" not in told


def test_a_quantity_makes_a_regressor() -> None:
    told = described(make_recipe(quantity=Quantity("height", "m")))
    assert (told["model_type"], told["reg_output_scaling"]) == ("Regressor", 1)
    assert told["class_names"] == {"0": "height"}
    assert "seg_thresh" not in told


def test_the_standardisation_of_the_plugin_undoes_its_division() -> None:
    told = described(make_recipe())
    assert told["standardization_mean"] == [0, 0, 0]
    assert told["standardization_std"] == [1 / 255] * 3


@pytest.mark.parametrize("pixel_size", [None, (0.0001, 0.0001)])
def test_there_is_no_resolution_without_one_in_metres(pixel_size: tuple[float, float] | None) -> None:
    assert "resolution" not in described(make_recipe(pixel_size=pixel_size))


def test_tiles_overlap_by_half_at_most() -> None:
    assert described(make_recipe(), tile=128, halo=100)["tiles_overlap"] == 50


def test_the_recipe_can_be_read_back() -> None:
    recipe = make_recipe()
    told = described(recipe, tile=None)
    assert Recipe.from_dict(told[RECIPE_KEY]) == recipe
    assert not DEEPNESS & set(told)  # the plugin takes one size only


def test_version_and_nodata_are_told() -> None:
    recipe = make_recipe()
    told = describe_model(make_network(Constant()), recipe, tile=None, halo=0, nodata=-9999.0)
    assert (told["eoseg_version"], told["eoseg_nodata"]) == (__version__, "-9999.0")


def test_the_plugin_takes_single_images_of_one_size_and_gives_pixels() -> None:
    pair = make_recipe(time="pair", steps=2)
    assert fits_deepness(make_network(Constant()), tile=64)
    assert not fits_deepness(make_network(Constant()), tile=None)
    assert not fits_deepness(make_network(Later(), recipe=pair), tile=64)
    assert not fits_deepness(make_network(ChipBrightness(), kind="classification"), tile=64)
