"""A model in the words of STAC's Machine Learning Model extension."""

from importlib.metadata import version

import pytest
import torch
from predict_factory import (
    BANDS,
    CLASSES,
    ChipBrightness,
    Convolutions,
    FittedWindow,
    SeriesConvolutions,
    make_network,
    make_recipe,
)

from eoseg.models import build_network
from eoseg.models.network import Network
from eoseg.predict.stac import class_objects
from eoseg.predict.stac_model import model_asset, model_fields
from eoseg.recipe import Quantity, Recipe

SHA256 = "0123456789abcdef" * 4


def fields(network: Network, recipe: Recipe) -> dict[str, object]:
    return model_fields(network, recipe, class_objects(recipe.schema.classes), sha256=SHA256)


def test_the_model_is_described_as_its_recipe_has_it() -> None:
    network, recipe = make_network(Convolutions(2)), make_recipe(chip_size=96)
    found = fields(network, recipe)
    assert found["mlm:name"] == "unet-0123456789ab"
    assert found["mlm:architecture"] == "unet"
    assert found["mlm:tasks"] == ["semantic-segmentation"]
    assert found["mlm:framework"] == "PyTorch"
    assert str(found["mlm:framework_version"]) == torch.__version__
    assert found["mlm:total_parameters"] == sum(one.numel() for one in network.parameters())
    assert found["bands"] == [{"name": band, "data_type": "uint8"} for band in BANDS]
    (given,) = found["mlm:input"]
    assert given["bands"] == list(BANDS)
    assert given["input"]["shape"] == [-1, 3, 96, 96]
    assert given["input"]["dim_order"] == ["batch", "bands", "height", "width"]
    assert given["value_scaling"] == [{"type": "z-score", "mean": 127.5, "stddev": 58.75}] * 3
    (result,) = found["mlm:output"]
    assert result["result"]["shape"] == [-1, 4, 96, 96]
    assert [entry["title"] for entry in result["classification:classes"]] == list(CLASSES)
    assert found["mlm:hyperparameters"] == {"chip_size": 96, "output_stride": 1}


def test_dates_chips_and_quantities_have_other_shapes() -> None:
    series = make_recipe(time="series", steps=5)
    (given,) = fields(make_network(SeriesConvolutions(1), recipe=series), series)["mlm:input"]
    assert given["input"]["shape"] == [-1, 5, 3, 64, 64]
    assert given["input"]["dim_order"] == ["batch", "time", "bands", "height", "width"]
    chips = fields(make_network(ChipBrightness(), kind="classification"), make_recipe())
    assert chips["mlm:tasks"] == ["scene-classification"]
    assert chips["mlm:output"][0]["result"] == {
        "shape": [-1, 4],
        "dim_order": ["batch", "class"],
        "data_type": "float32",
    }
    recipe = make_recipe(quantity=Quantity("height", "m"))
    height = fields(make_network(Convolutions(1, classes=1), recipe=recipe), recipe)
    assert height["mlm:tasks"] == ["regression"]
    assert height["mlm:output"][0]["name"] == "height"
    assert height["mlm:output"][0]["classification:classes"] == []


def test_a_model_that_takes_raw_values_scales_none() -> None:
    network = make_network(FittedWindow())
    network.body.wants_raw = True
    (given,) = fields(network, make_recipe())["mlm:input"]
    assert given["value_scaling"] is None


def test_a_forest_is_of_another_framework() -> None:
    forest = build_network("random_forest", bands=BANDS, num_classes=4)
    found = fields(forest, make_recipe())
    assert found["mlm:framework"] == "scikit-learn"
    assert found["mlm:framework_version"] == version("scikit-learn")


@pytest.mark.parametrize(("threshold", "told"), [(None, {}), (0.4, {"threshold": 0.4})])
def test_plain_options_are_told(threshold: float | None, told: dict[str, float]) -> None:
    recipe = make_recipe(classes=("no", "yes"), threshold=threshold)
    recipe.network["args"] = {"depth": 3, "other": {"network": {}}, "widths": [1]}
    found = fields(make_network(Convolutions(1, classes=2)), recipe)
    assert found["mlm:hyperparameters"] == {"depth": 3, "chip_size": 64, "output_stride": 1, **told}


def test_the_checkpoint_is_an_asset_with_a_checksum() -> None:
    asset = model_asset("../model.ckpt", size=7, sha256=SHA256)
    assert asset["href"] == "../model.ckpt"
    assert (asset["file:size"], asset["file:checksum"]) == (7, f"1220{SHA256}")
    assert asset["roles"] == ["mlm:model", "mlm:weights"]
    assert asset["mlm:artifact_type"] == "torch.save"
