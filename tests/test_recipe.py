import io
import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eoseg.errors import BandError, CheckpointError, ConfigError
from eoseg.recipe import (
    CALIBRATED_VERSION,
    IGNORE,
    RECIPE_VERSION,
    BandStatistics,
    MapClass,
    Recipe,
    Scaling,
    Schema,
    Statistics,
    format_color,
    match_bands,
    parse_classes,
    parse_color,
)

BANDS = ("B02", "B08")
CLASSES = parse_classes({"water": "#2166AC", "forest": {"value": [3, "wood"], "color": "#117733"}})
STATISTICS = Statistics(
    bands=tuple(BandStatistics(name, 1000.5, 200.25, 1.0, 400.0, 2000.0, 9000.0) for name in BANDS),
    dtype="uint16",
    pixels=1000,
    valid_pixels=900,
    class_pixels=(100, 300),
)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        task="SegmentationTask",
        schema=Schema(
            bands=BANDS,
            classes=CLASSES,
            file_bands=("B02", "B03", "B08"),
            nodata=0.0,
            pixel_size=(10.0, 10.0),
            pixel_metres=10.0,
        ),
        statistics=STATISTICS,
        network={"kind": "segmentation", "arch": "unet", "args": {"decoder_channels": [64, 32]}},
        chip_size=128,
        output_stride=32,
        provenance={"seed": 7, "split": "abc", "monitor": "val/mean_iou"},
    )


def test_a_recipe_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_recipe_survives_torch_without_unpickling_code(recipe: Recipe) -> None:
    file = io.BytesIO()
    torch.save({"eoseg": recipe.to_dict()}, file)
    file.seek(0)
    assert Recipe.from_dict(torch.load(file, weights_only=True)["eoseg"]) == recipe


@pytest.mark.parametrize(
    "schema",
    [
        Schema(bands=("red",), classes=()),
        Schema(bands=("red",), classes=parse_classes(["a"]), bands_named_by_config=True, nodata=-9999.5),
    ],
)
def test_absent_values_survive_too(recipe: Recipe, schema: Schema) -> None:
    changed = replace(recipe, schema=schema, provenance={})
    assert Recipe.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed


def test_a_recipe_of_another_version_is_refused(recipe: Recipe) -> None:
    values = recipe.to_dict() | {"recipe_version": CALIBRATED_VERSION + 1}
    with pytest.raises(
        CheckpointError, match=f"has version {CALIBRATED_VERSION + 1}; this eoseg reads version"
    ):
        Recipe.from_dict(values)


def test_a_calibration_survives_and_older_versions_of_eoseg_refuse_it(recipe: Recipe) -> None:
    scaling = Scaling("vector", (0.5, 1.25), (0.1, -0.1))
    values = json.loads(json.dumps(replace(recipe, scaling=scaling).to_dict()))
    assert Recipe.from_dict(values).scaling == scaling
    assert values["recipe_version"] == CALIBRATED_VERSION > RECIPE_VERSION
    assert "scaling" not in recipe.to_dict()
    assert recipe.to_dict()["recipe_version"] == RECIPE_VERSION
    del values["scaling"]["bias"]
    with pytest.raises(CheckpointError, match="recipe is incomplete"):
        Recipe.from_dict(values)


def test_a_recipe_without_a_version_is_refused() -> None:
    with pytest.raises(CheckpointError, match="has version None"):
        Recipe.from_dict({})


@pytest.mark.parametrize("key", ["task", "schema", "statistics", "network", "chip_size", "provenance"])
def test_an_incomplete_recipe_is_refused(recipe: Recipe, key: str) -> None:
    values = recipe.to_dict()
    del values[key]
    with pytest.raises(CheckpointError, match=f"recipe is incomplete.*{key}"):
        Recipe.from_dict(values)


def test_an_incomplete_part_of_a_recipe_is_refused(recipe: Recipe) -> None:
    values = recipe.to_dict()
    del values["statistics"]["bands"][0]["mean"]
    with pytest.raises(CheckpointError, match=r"recipe is incomplete.*mean"):
        Recipe.from_dict(values)


def test_a_recipe_that_does_not_know_its_pixels_in_metres_is_read(recipe: Recipe) -> None:
    values = recipe.to_dict()
    del values["schema"]["pixel_metres"]
    assert Recipe.from_dict(values).schema.pixel_metres is None


def test_a_part_of_another_shape_is_refused(recipe: Recipe) -> None:
    values = recipe.to_dict()
    values["schema"]["classes"][0]["color"] = [1]
    with pytest.raises(CheckpointError, match="recipe is incomplete"):
        Recipe.from_dict(values)


def test_a_recipe_cannot_be_changed(recipe: Recipe) -> None:
    with pytest.raises(FrozenInstanceError):
        recipe.chip_size = 64  # type: ignore[misc]


def test_a_schema_names_each_band_once() -> None:
    with pytest.raises(ConfigError, match="Each band may be named once; found twice: B02"):
        Schema(bands=("B02", "B02"), classes=())


def test_a_schema_names_each_class_once() -> None:
    twice = (MapClass("water", (0,), (0, 0, 1)), MapClass("water", (1,), (0, 0, 2)))
    with pytest.raises(ConfigError, match="Each class may be named once; found twice: water"):
        Schema(bands=("B02",), classes=twice)


def test_a_schema_needs_a_band() -> None:
    with pytest.raises(ConfigError, match="at least one band"):
        Schema(bands=(), classes=())


def test_a_schema_has_no_more_classes_than_a_byte_holds_beside_ignore() -> None:
    names = [f"class {number}" for number in range(IGNORE + 1)]
    classes = tuple(MapClass(name, (number,), (0, 0, 0)) for number, name in enumerate(names))
    assert len(Schema(bands=("B02",), classes=classes[:IGNORE]).classes) == 255
    with pytest.raises(ConfigError, match="At most 255 classes fit a uint8 map; found 256"):
        Schema(bands=("B02",), classes=classes)


def test_class_names_keep_the_order_of_their_indices() -> None:
    assert Schema(bands=("a",), classes=CLASSES).class_names == ["water", "forest"]


def test_nodata_share_is_that_of_the_training_pixels() -> None:
    assert STATISTICS.nodata_share == pytest.approx(0.1)
    assert replace(STATISTICS, pixels=0, valid_pixels=0).nodata_share == 0


def test_balanced_weights_make_each_class_count_the_same() -> None:
    weights = STATISTICS.balanced_weights
    assert weights == (2.0, pytest.approx(2 / 3))
    products = [weight * count for weight, count in zip(weights, STATISTICS.class_pixels, strict=True)]
    assert products[0] == pytest.approx(products[1])


def test_balanced_weights_agree_with_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = [0] * 7 + [1] * 2 + [2] * 41
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert replace(STATISTICS, class_pixels=(7, 2, 41)).balanced_weights == pytest.approx(tuple(expected))


def test_an_absent_class_has_weight_one_and_does_not_dilute_the_others() -> None:
    assert replace(STATISTICS, class_pixels=(100, 0, 300)).balanced_weights == (
        2.0,
        1.0,
        pytest.approx(2 / 3),
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (["water", "forest"], [("water", (0,)), ("forest", (1,))]),
        ({"water": "#2166AC", "forest": "#117733"}, [("water", (0,)), ("forest", (1,))]),
        ({"water": 4, "forest": [1, 2]}, [("water", (4,)), ("forest", (1, 2))]),
        ({"water": "wet", "forest": ["oak", 7]}, [("water", ("wet",)), ("forest", ("oak", 7))]),
        ({"water": None, "forest": {"value": 9}}, [("water", (0,)), ("forest", (9,))]),
        ({"water": {"color": "#000001"}, "forest": {}}, [("water", (0,)), ("forest", (1,))]),
    ],
)
def test_classes_are_read_in_each_form(spec, expected) -> None:
    assert [(entry.name, entry.values) for entry in parse_classes(spec)] == expected


def test_a_given_colour_is_taken_and_others_are_all_different() -> None:
    classes = parse_classes({"a": "#010203", "b": 5, "c": {"value": 6, "color": "#0A0B0C"}, "d": None})
    assert classes[0].color == (1, 2, 3)
    assert classes[2].color == (10, 11, 12)
    assert len({entry.color for entry in classes}) == 4


def test_sixteen_classes_have_sixteen_colours_of_their_own() -> None:
    assert len({entry.color for entry in parse_classes([str(number) for number in range(16)])}) == 16


def test_a_colour_that_was_given_is_not_handed_out_again() -> None:
    second_of_the_palette = format_color(parse_classes(["x", "y"])[1].color)
    classes = parse_classes({"a": second_of_the_palette, "b": None, "c": None})
    assert len({entry.color for entry in classes}) == 3


def test_equal_colours_are_found_however_many_classes_there_are() -> None:
    spec = {f"class {number}": f"#0000{number:02X}" for number in range(20)} | {"last": "#000001"}
    with pytest.raises(ConfigError, match="found twice: #000001"):
        parse_classes(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (["water", "water"], "Each class may be named once"),
        ({1: "#112233", "1": "#112234"}, "Each class may be named once"),
        ({"a": 1, "b": 1}, "Each label value may stand for one class; found twice: 1"),
        ({"a": [1, 2], "b": [2, 3]}, "label value may stand for one class; found twice: 2"),
        ({"a": 1, "b": None}, "label value may stand for one class; found twice: 1"),
        ({"a": 1, "b": "1"}, "label value may stand for one class; found twice: 1"),
        ({"a": "#112233", "b": "#112233"}, "Each colour may stand for one class; found twice: #112233"),
        ({"a": "#11223"}, "A colour is written '#RRGGBB'.*found '#11223'"),
        ({"a": "#GG0000"}, "found '#GG0000'"),
        ({"a": {"value": 1, "color": "blue"}}, "found 'blue'"),
        ({"a": {"color": 112}}, "found '112'"),
        ({"a": 1.5}, "Class 'a' has 1.5 as its label value; expected an integer, a name"),
        ({"a": [0, None]}, "Class 'a' has None as its label value"),
        ({"a": True}, "Class 'a' has True as its label value"),
        ({"a": []}, "Class 'a' has an empty list as its label value"),
        ({"a": {"value": 1, "colour": "#112233"}}, "no key of class 'a' 'colour'. Did you mean 'color'"),
    ],
)
def test_classes_that_contradict_themselves_are_refused(spec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_classes(spec)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_colour_survives_being_written(color: tuple[int, int, int]) -> None:
    assert parse_color(format_color(color)) == color
    assert parse_color(format_color(color).lower()) == color


@pytest.mark.parametrize("text", ["", "#", "112", "#1122334455", "red", "#12345"])
def test_a_colour_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="A colour is written '#RRGGBB'"):
        parse_color(text)


def test_bands_are_found_by_name_in_the_wanted_order() -> None:
    assert match_bands(["B08", "B02"], ["B02", "B03", "B08"], where="a.tif") == [2, 0]


def test_a_missing_band_is_named_with_the_nearest_one() -> None:
    with pytest.raises(
        BandError, match=r"a\.tif has the bands B02, B8A, but 'B08' is needed.*Known: B02, B8A"
    ):
        match_bands(["B02", "B08"], ["B02", "B8A"], where="a.tif")


def test_a_band_that_is_there_twice_is_refused() -> None:
    with pytest.raises(BandError, match=r"a\.tif has 2 bands named 'red'"):
        match_bands(["red"], ["red", "red"], where="a.tif")


def test_a_band_there_twice_does_no_harm_where_it_is_not_wanted() -> None:
    assert match_bands(["nir"], ["red", "red", "nir"], where="a.tif") == [2]


def test_recipes_need_neither_torch_nor_rasterio() -> None:
    code = "import sys, eoseg.recipe; print([n for n in ('torch', 'rasterio', 'numpy') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
