"""The STAC item beside a map: valid, complete, the same each time, and of use to who opens it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from conftest import MakeScene
from jsonschema import Draft7Validator
from predict_factory import (
    BANDS,
    CLASSES,
    Brightness,
    ChipBrightness,
    Convolutions,
    Later,
    SeriesConvolutions,
    make_network,
    make_recipe,
    smooth_noise,
)
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from torch import Tensor, nn

from eoseg.errors import OutputError
from eoseg.models.network import Network
from eoseg.predict import Prediction, PredictOptions, predict_scene
from eoseg.predict.stac import class_objects
from eoseg.recipe import Quantity, Recipe, parse_classes

IMAGE = smooth_noise(40, 50)
SCHEMAS = get_local_schema_cache()
ITEM_SCHEMA = next(name for name in SCHEMAS if name.endswith("/item.json"))
VALIDATOR = Draft7Validator(
    SCHEMAS[ITEM_SCHEMA],
    registry=Registry().with_resources(
        [(name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()]
    ),
)


def predict(
    scenes: list[Path], network: Network, recipe: Recipe, *, checkpoint: bool = True, **options: object
) -> Prediction:
    folder = scenes[0].parent / "maps"
    folder.mkdir(exist_ok=True)
    model = scenes[0].with_name("model.ckpt")
    model.write_bytes(b"weights")
    return predict_scene(
        network,
        recipe,
        [str(path) for path in scenes],
        folder / "map.tif",
        options=PredictOptions(**options),
        checkpoint=model if checkpoint else None,
    )


def item_of(prediction: Prediction) -> dict[str, Any]:
    assert prediction.item == prediction.path.with_name("map.stac.json")
    item: dict[str, Any] = json.loads(prediction.item.read_text(encoding="utf-8"))
    errors = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(item)]
    assert errors == []
    check_extensions(item)
    return item


def check_extensions(item: dict[str, Any]) -> None:
    """What the extensions' own schemas demand, which are not on this machine.

    projection v2.0.0 and raster v2.0.0 (names of the fields), classification v2.0.0 (class objects),
    processing v1.2.0, file v2.1.0, and mlm v1.4.0 (required fields, patterns, value scaling, the asset of
    the model): see https://github.com/stac-extensions/NAME/blob/VERSION/README.md.
    """
    properties, assets = item["properties"], item["assets"]
    declared = {uri.split("/")[3]: uri.split("/")[4] for uri in item["stac_extensions"]}
    used = re.findall(r'"(proj|raster|classification|processing|file|mlm):', json.dumps(item))
    names = {"proj": "projection"}
    assert {names.get(prefix, prefix) for prefix in used} <= set(declared)
    assert declared["projection"] == declared["raster"] == declared["classification"] == "v2.0.0"
    assert re.fullmatch(r"[A-Z]+:\d+", properties["proj:code"] or "EPSG:1")
    assert len(properties["proj:shape"]) == 2
    assert len(properties["proj:transform"]) == 6
    assert all(isinstance(version, str) for version in properties["processing:software"].values())
    for entry in find(item, "classification:classes"):
        for each in entry:
            assert re.fullmatch(r"[0-9A-Za-z_-]+", each["name"])
            assert isinstance(each["value"], int)
            assert re.fullmatch(r"[0-9A-Fa-f]{6}", each.get("color_hint", "000000"))
    for sampling in find(item, "raster:sampling"):
        assert sampling in ("area", "point")
    if "mlm" in declared:
        check_model(properties, assets)


def check_model(properties: dict[str, Any], assets: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", properties["mlm:name"])
    tasks = {"regression", "scene-classification", "semantic-segmentation"}
    assert properties["mlm:architecture"]
    assert set(properties["mlm:tasks"]) <= tasks
    assert properties["mlm:framework"] in ("PyTorch", "scikit-learn")
    assert re.match(r"\d+\.\d+\.\d+", properties["mlm:framework_version"])
    assert properties["mlm:total_parameters"] >= 0
    assert properties["mlm:hyperparameters"]
    (given,), (result,) = properties["mlm:input"], properties["mlm:output"]
    assert given["bands"] == [band["name"] for band in properties["bands"]]
    assert set(given) >= {"name", "bands", "input", "value_scaling"}
    assert set(result) >= {"name", "tasks", "result", "classification:classes"}
    for structure in (given["input"], result["result"]):
        assert len(structure["shape"]) == len(structure["dim_order"])
        assert structure["data_type"] == "float32"
        assert all(re.fullmatch(r"[a-z_-]+", name) for name in structure["dim_order"])
    for scaling in given["value_scaling"]:
        assert set(scaling) == {"type", "mean", "stddev"}
        assert scaling["type"] == "z-score"
    (model,) = [asset for asset in assets.values() if "mlm:model" in asset["roles"]]
    assert model["mlm:artifact_type"]
    assert model["file:checksum"].startswith("1220")


def find(value: Any, key: str) -> list[Any]:
    """All values of a key, however deep."""
    if isinstance(value, list):
        return [found for item in value for found in find(item, key)]
    if not isinstance(value, dict):
        return []
    own = [value[key]] if key in value else []
    return own + [found for item in value.values() for found in find(item, key)]


def test_an_item_says_where_when_and_what(make_scene: MakeScene) -> None:
    image = IMAGE.clip(1)
    image[:, :10] = 0
    scene = make_scene("S2_2021-05-27.tif", image, names=BANDS, nodata=0)
    network = make_network(Convolutions(2))
    prediction = predict([scene], network, make_recipe(), probabilities=True, uncertainty=True, tta=True)
    item = item_of(prediction)
    assert item["id"] == "map"
    assert item["bbox"] == pytest.approx([9.0, 48.749, 9.0068, 48.753], abs=2e-3)
    properties = item["properties"]
    assert properties["datetime"] == "2021-05-27T00:00:00Z"
    assert properties["end_datetime"] == "2021-05-27T23:59:59Z"
    assert properties["eoseg:datetime_source"] == "name"
    assert properties["proj:code"] == "EPSG:32632"
    assert properties["proj:shape"] == [40, 50]
    assert properties["proj:transform"] == [10, 0, 500_000, 0, -10, 5_400_000]
    assert properties["processing:level"] == "L4"
    assert "; exact (each tile is computed from the whole" in properties["processing:lineage"]
    assert list(item["assets"]) == ["map", "probabilities", "uncertainty", "model"]
    for role, name in (("map", "map"), ("probabilities", "map_probabilities")):
        asset = item["assets"][role]
        assert asset["href"] == f"./{name}.tif"
        assert asset["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
        assert asset["raster:spatial_resolution"] == 10
    assert item["links"] == [
        {"rel": "derived_from", "href": "../S2_2021-05-27.tif", "title": "S2_2021-05-27.tif"}
    ]


def test_bands_and_statistics_are_those_of_the_files(make_scene: MakeScene) -> None:
    image = IMAGE.clip(1)
    image[:, :10] = 0
    scene = make_scene("s.tif", image, names=BANDS, nodata=0)
    prediction = predict([scene], make_network(Brightness()), make_recipe(), probabilities=True)
    assets = item_of(prediction)["assets"]
    with rasterio.open(prediction.path) as dataset:
        classes = dataset.read(1)
    (band,) = assets["map"]["bands"]
    assert (band["name"], band["data_type"], band["nodata"]) == ("class", "uint8", 255)
    assert band["statistics"] == {"count": 1500, "valid_percent": 75.0}
    listed = assets["map"]["classification:classes"]
    assert [entry["name"] for entry in listed] == [*CLASSES, "no_value"]
    assert [entry["count"] for entry in listed] == [*np.bincount(classes[10:].ravel(), minlength=4), 500]
    assert listed[0]["color_hint"] == "0072B2"
    assert listed[-1] == {"value": 255, "name": "no_value", "nodata": True, "count": 500}
    assert prediction.probabilities is not None
    with rasterio.open(prediction.probabilities) as dataset:
        steps = dataset.read(masked=True)
    for band, values in zip(assets["probabilities"]["bands"], steps, strict=True):
        assert band["raster:scale"] == 1 / 250
        found = band["statistics"]
        assert (found["minimum"], found["maximum"]) == (values.min(), values.max())
        assert (found["mean"], found["stddev"]) == pytest.approx((values.mean(), values.std()), abs=1e-5)


def test_without_a_checkpoint_there_is_no_model_to_describe(make_scene: MakeScene) -> None:
    scene = make_scene("s.tif", IMAGE, names=BANDS)
    item = item_of(predict([scene], make_network(Brightness()), make_recipe(), checkpoint=False))
    assert list(item["assets"]) == ["map"]
    assert "mlm:" not in json.dumps(item)
    assert not any("/mlm/" in uri for uri in item["stac_extensions"])


def test_a_quantity_has_a_unit_and_a_range(make_scene: MakeScene) -> None:
    class Estimate(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(image[:, :1], 3, stride=1, padding=1)

    recipe = make_recipe(quantity=Quantity("height", "m"))
    scene = make_scene("s.tif", IMAGE, names=BANDS)
    prediction = predict(
        [scene], make_network(Estimate(), recipe=recipe), recipe, tta=True, uncertainty=True, tile=16
    )
    item = item_of(prediction)
    (band,) = item["assets"]["map"]["bands"]
    assert (band["name"], band["unit"], band["nodata"], band["data_type"]) == (
        "height",
        "m",
        "nan",
        "float32",
    )
    assert prediction.values is not None
    assert band["statistics"]["maximum"] == prediction.values.most
    spread, outside = item["assets"]["uncertainty"]["bands"]
    assert (spread["name"], spread["unit"], outside["name"]) == ("spread", "m", "out_of_range")
    assert "unit" not in outside
    assert spread["statistics"]["maximum"] > 0
    assert outside["statistics"]["maximum"] == 0
    assert item["properties"]["mlm:tasks"] == ["regression"]
    assert item["properties"]["mlm:output"][0]["classification:classes"] == []


def test_labels_are_bands_of_yes_and_no(make_scene: MakeScene) -> None:
    recipe = make_recipe(multilabel=True, chip_size=16)
    network = make_network(ChipBrightness(), recipe=recipe, kind="classification")
    item = item_of(predict([make_scene("s.tif", IMAGE, names=BANDS)], network, recipe))
    bands = item["assets"]["map"]["bands"]
    assert [band["name"] for band in bands] == list(CLASSES)
    assert [entry["value"] for entry in bands[0]["classification:classes"]] == [0, 1]
    assert item["properties"]["mlm:tasks"] == ["scene-classification"]
    assert item["properties"]["mlm:output"][0]["result"]["shape"] == [-1, 4]


def test_several_dates_are_a_span_of_time_with_a_link_each(make_scene: MakeScene) -> None:
    paths = [make_scene(f"{name}.tif", IMAGE, names=BANDS) for name in ("a_2020-05-01", "b_2021-06-02")]
    pair, series = make_recipe(time="pair", steps=2), make_recipe(time="series", steps=2)
    for recipe, body in ((pair, Later()), (series, SeriesConvolutions(1))):
        item = item_of(predict(paths, make_network(body, recipe=recipe), recipe, overwrite=True))
        properties = item["properties"]
        assert properties["datetime"] is None
        assert properties["start_datetime"] == "2020-05-01T00:00:00Z"
        assert properties["end_datetime"] == "2021-06-02T23:59:59Z"
        assert [link["href"] for link in item["links"]] == ["../a_2020-05-01.tif", "../b_2021-06-02.tif"]
        assert properties["mlm:input"][0]["input"]["shape"] == [-1, 2, 3, 64, 64]


def test_a_scene_without_crs_has_no_place(make_scene: MakeScene) -> None:
    recipe = make_recipe(("red", "green", "blue"))
    scene = make_scene("s.png", IMAGE, crs=None, driver="PNG")
    item = item_of(predict([scene], make_network(Brightness(), recipe=recipe), recipe))
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["eoseg:datetime_source"] == "time of the file"
    assert "raster:spatial_resolution" not in item["assets"]["map"]


def test_a_crs_without_code_is_spelled_out(make_scene: MakeScene) -> None:
    own = "+proj=laea +lat_0=48 +lon_0=9 +x_0=0 +y_0=0 +ellps=GRS80 +units=m"
    scene = make_scene("s.tif", IMAGE, names=BANDS, crs=own, origin=(0, 0))
    item = item_of(predict([scene], make_network(Brightness()), make_recipe()))
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS[")
    assert item["bbox"][:2] == pytest.approx([9.0, 47.9964], abs=1e-3)


def test_the_same_input_gives_the_same_item_and_pystac_finds_all_files(make_scene: MakeScene) -> None:
    scene = make_scene("s ü.tif", IMAGE, names=BANDS)
    texts = []
    for _ in range(2):
        prediction = predict(
            [scene], make_network(Convolutions(2)), make_recipe(), uncertainty=True, overwrite=True
        )
        assert prediction.item is not None
        texts.append(prediction.item.read_bytes())
    assert texts[0] == texts[1]
    opened = pystac.Item.from_file(str(prediction.item))
    for asset in opened.assets.values():
        assert Path(asset.get_absolute_href() or "").is_file()
    (link,) = opened.get_links("derived_from")
    assert Path(link.get_absolute_href() or "") == scene
    assert opened.datetime is not None


def test_another_file_of_that_name_is_refused_before_any_work(make_scene: MakeScene) -> None:
    scene = make_scene("s.tif", IMAGE, names=BANDS)
    (scene.parent / "maps").mkdir()
    (scene.parent / "maps" / "map.stac.json").write_text("{}")
    with pytest.raises(OutputError, match="map.stac.json' exists already"):
        predict([scene], make_network(Brightness()), make_recipe())


def test_names_of_classes_are_written_in_few_letters_and_stay_apart() -> None:
    classes = parse_classes(["forêt", "Wasser & Moor", "道", "川", "a b", "a_b"])
    found = class_objects(classes)
    assert [entry["name"] for entry in found] == [
        *("foret", "Wasser_Moor", "class_2", "class_3", "a_b_4", "a_b_5")
    ]
    assert [entry["title"] for entry in found] == [entry.name for entry in classes]
