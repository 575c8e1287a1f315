"""What each section of a report shows, and what it says where something is missing."""

import re
from pathlib import Path

import numpy as np
import pytest
from page_checker import check_part
from raster_factory import write_layer
from run_factory import full_run, height_recipe, make_recipe, make_run, make_test, write_run_map, write_world

from eoseg.geo.scene import Scene
from eoseg.geo.valuefile import value_layer
from eoseg.recipe import Schema, parse_classes
from eoseg.report.findings import gather
from eoseg.report.sections import HEADINGS, head, sections


def parts_of(folder: Path) -> dict[str, str]:
    """HTML of each section by its id."""
    made = sections(gather(folder))
    assert len(made) == len(HEADINGS)
    return dict(zip(HEADINGS, made, strict=True))


def texts_of(folder: Path) -> dict[str, str]:
    return {name: " ".join(check_part(content).text.split()) for name, content in parts_of(folder).items()}


def test_a_run_with_everything_misses_nothing_but_an_audit(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    parts = parts_of(folder)
    assert [name for name, content in parts.items() if 'class="missing"' in content] == ["data"]
    texts = texts_of(folder)
    for name, words in {
        "figures": ("Test split", "0.780", "95 %: 0.710-0.840", "Map map.tif", "0.833", "24 spatial blocks"),
        "data": ("unet over resnet18", "red, nir", "50.0%", "training 1 1 3,840", "lie, north up"),
        "curves": ("best val/miou: 0.610", "2 epochs in 61 s"),
        "matrix": ("Test split", "900", "Map map.tif", "3,072"),
        "classes": ("0.841", "95 % of IoU", "Producer's"),
        "reliability": ("ECE", "0.120", "of town undefined", "AURC 0.0500", "0.95 0.812 52 %"),
        "map": ("image", "reference", "errors", "checkpoint sha256 abc"),
        "area": ("0.947", "36.9 ± 1.8"),
        "protocol": ("chosen_by val/miou, highest", "test_set_opened 2", "map_sha256"),
        "commands": (f"eoseg test {folder}", "eoseg fit --config configs/demo.yaml", "class_path: SceneData"),
        "versions": ("torch 2.15.0", "0123456789abcdef"),
    }.items():
        for word in words:
            assert word in texts[name], (name, word)
    assert "wandb" not in texts["versions"]  # it was not installed
    assert "secret-host" not in " ".join(texts.values())


def test_every_section_of_a_run_alone_says_what_makes_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    for name in ("metrics.csv", "environment.json"):
        (folder / name).unlink()
    texts = texts_of(folder)
    for name, command in {
        "figures": f"eoseg test {folder}",
        "data": f"eoseg doctor {folder}/config.yaml",
        "curves": f"eoseg fit --config {folder}/config.yaml",
        "matrix": f"eoseg test {folder}",
        "classes": f"eoseg test {folder}",
        "reliability": f"eoseg test {folder}",
        "map": f"eoseg predict {folder}/model.ckpt SCENE.tif --out {folder}/map.tif",
        "area": f"eoseg accuracy {folder}/map.tif sample.gpkg --out {folder}/accuracy.json",
        "versions": "'eoseg fit' writes one",
    }.items():
        assert command in texts[name], name
    assert "Validation split, last epoch" in texts["matrix"]


def test_a_map_without_reference_names_the_command(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    write_run_map(folder, write_world(tmp_path))
    told = texts_of(folder)["map"]
    assert f"eoseg evaluate {folder}/map.tif REFERENCE --out {folder}/evaluation.json" in told


def test_without_a_test_part_no_test_is_asked_for(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    split = folder / "split.json"
    split.write_text(re.sub(r'"split": "test"', '"split": "val"', split.read_text()))
    told = texts_of(folder)["figures"]
    assert "The split has no test part" in told
    assert "eoseg evaluate" in told
    assert "eoseg test" not in told


def test_curves_that_were_not_logged_are_said_to_be_missing(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "metrics.csv").write_text("epoch,step,lr\n0,1,0.1\n")
    assert "has no curve to draw" in texts_of(folder)["curves"]


def test_a_quantity_has_errors_and_a_map_in_colours(tmp_path: Path) -> None:
    image = write_world(tmp_path)
    recipe = height_recipe()
    folder = make_run(tmp_path, recipe=recipe)
    make_test(folder, figures={"test/rmse": 3.285, "test/bias": -0.5}, intervals={}, calibration=None)
    with Scene(image) as opened:
        assert recipe.schema.quantity is not None
        layer = value_layer(recipe.schema.quantity)
        write_layer(folder / "map.tif", opened.grid, layer, np.full((96, 96), 5, np.float32))
    texts = texts_of(folder)
    assert "3.285 m" in texts["figures"]
    assert "no class" in texts["matrix"]
    assert "no class" in texts["classes"]
    assert "no probabilities" in texts["reliability"]
    assert "From dark blue (1) to yellow (19)" in texts["map"]
    assert "maps of classes" in texts["area"]


def test_several_labels_have_a_table_of_their_own(tmp_path: Path) -> None:
    schema = Schema(("red",), parse_classes(["wood", "water"]), multilabel=True)
    folder = make_run(tmp_path, recipe=make_recipe(task="ClassificationTask", schema=schema))
    tested = make_test(folder, figures={"test/micro_f1": 0.7}, intervals={}, calibration={})
    (tested / "confusion_test.csv").unlink()
    (tested / "labels_test.csv").write_text("label,right,missed,false,no,f1\nwood,5,1,2,9,0.77\n")
    texts = texts_of(folder)
    assert "wood 5 1 2 9 0.770" in texts["matrix"]
    assert "table above" in texts["classes"]


@pytest.mark.parametrize("verdict", ["clean", "doubtful"])
def test_the_audit_of_the_split_is_shown(tmp_path: Path, verdict: str) -> None:
    recipe = make_recipe(provenance={"split": {"leakage": {"verdict": verdict}}})
    told = texts_of(make_run(tmp_path, recipe=recipe))["data"]
    assert f"The audit for leakage says: {verdict}." in told
    assert "eoseg doctor" not in told


def test_a_run_without_split_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "split.json").unlink()
    assert "holds no split.json" in texts_of(folder)["data"]


def test_the_head_holds_the_verdict_and_warnings(tmp_path: Path) -> None:
    page = check_part(head(gather(make_run(tmp_path, method="random"))))
    assert page.ids == ["verdict"]
    assert "The network unet over resnet18" in page.text
    assert "Random split" in page.text
