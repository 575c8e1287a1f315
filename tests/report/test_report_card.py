"""The model card as the Hugging Face Hub reads it: with the Hub's own library, which timm brings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_factory import full_run, height_recipe, make_recipe, make_run, make_test

from eoseg.errors import ConfigError
from eoseg.report.card import LICENSES, data_name, metadata, model_card
from eoseg.report.findings import gather


def read_card(text: str) -> tuple[dict[str, Any], str]:
    found = re.fullmatch(r"---\n(.*?)\n---\n\n(.*)", text, flags=re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1]), found[2]


def test_the_hubs_own_library_reads_the_figures(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(model_card(gather(full_run(tmp_path)), license_id="mit", dataset="me/demo"))
    assert card.data.license == "mit"
    assert card.data.library_name == "eoseg"
    assert card.data.pipeline_tag == "image-segmentation"
    assert card.data.datasets == ["me/demo"]
    assert card.data.model_name == "demo-20260101-120000"
    results = {(entry.dataset_split, entry.metric_type): entry for entry in card.data.eval_results}
    found = results["test", "mean_iou"]
    assert (found.dataset_type, found.metric_value) == ("me/demo", 0.586)
    assert found.metric_args == {"interval_95": [0.5, 0.66]}
    assert results["map", "accuracy"].metric_value == 0.8333
    assert {"eoseg", "remote-sensing", "semantic-segmentation", "unet"} <= set(card.data.tags)


def test_the_metadata_have_what_the_hub_requires(tmp_path: Path) -> None:
    values, text = read_card(model_card(gather(full_run(tmp_path))))
    assert values["license"] == "unknown"
    assert values["datasets"] == ["demo"]
    for model in values["model-index"]:
        assert re.fullmatch(r"[\w.-]+", model["name"])
        for result in model["results"]:
            assert result["task"]["type"]
            assert {"type", "name"} <= set(result["dataset"])
            for metric in result["metrics"]:
                assert isinstance(metric["value"], float)
                assert metric["type"] in values["metrics"]
    assert text.startswith("# demo/20260101-120000\n")


def test_a_run_without_figures_has_no_model_index(tmp_path: Path) -> None:
    found = gather(make_run(tmp_path, figures={"figures": {}}))
    values, text = read_card(model_card(found))
    assert "model-index" not in values
    assert "metrics" not in values
    assert "Not evaluated yet" in text


def test_a_quantity_is_no_task_of_the_hub(tmp_path: Path) -> None:
    folder = make_run(tmp_path, recipe=height_recipe())
    make_test(folder, figures={"test/rmse": 3.285, "test/r2": 0.832}, intervals={}, calibration={})
    values = metadata(gather(folder), license_id="mit", dataset="demo")
    assert "pipeline_tag" not in values
    (result,) = values["model-index"][0]["results"]
    assert result["task"]["type"] == "other"
    assert [metric["type"] for metric in result["metrics"]] == ["rmse", "r_squared"]


@pytest.mark.parametrize("license_id", ["MIT", "gpl3", ""])
def test_licences_are_those_of_the_hub(tmp_path: Path, license_id: str) -> None:
    with pytest.raises(ConfigError, match="no licence of the Hub"):
        model_card(gather(make_run(tmp_path)), license_id=license_id)
    assert len(set(LICENSES)) == len(LICENSES)


@pytest.mark.parametrize("dataset", ["a b", "a/b/c", "../x", ""])
def test_data_sets_are_called_as_on_the_hub(tmp_path: Path, dataset: str) -> None:
    found = gather(make_run(tmp_path))
    if dataset:
        with pytest.raises(ConfigError, match="A data set of the Hub is called"):
            model_card(found, dataset=dataset)
    else:
        assert read_card(model_card(found, dataset=dataset))[0]["datasets"] == ["demo"]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"scenes": {"root": "a/My scenes"}}, "My-scenes"),
        ({"table": {"path": "data/fields.npz"}}, "fields"),
        ({"datamodule": "EuroSATDataModule"}, "EuroSAT"),
        ({}, "demo"),
    ],
)
def test_data_are_named_by_where_they_lie(tmp_path: Path, data: dict[str, Any], name: str) -> None:
    folder = make_run(tmp_path)
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"init_args": data}}))
    assert data_name(gather(folder).run) == name


def test_names_with_colons_and_quotes_stay_yaml(tmp_path: Path) -> None:
    network = {"kind": "segmentation", "arch": "u: 'net'\n- #", "args": {}}
    found = gather(make_run(tmp_path, recipe=make_recipe(network=network)))
    values, _ = read_card(model_card(found))
    assert values["tags"][-1] == "u: 'net'\n- #"
