from pathlib import Path

from run_factory import full_run, height_recipe, make_recipe, make_run, make_test

from eoseg.evaluate.accuracy import file_sha256
from eoseg.recipe import Schema, parse_classes
from eoseg.report.card_text import card_text
from eoseg.report.findings import gather

SECTIONS = (*("Model details", "Intended use", "Training data", "Evaluation", "Limitations", "How to use"),)


def text_of(folder: Path) -> str:
    return card_text(gather(folder), license_id="mit", dataset="me/demo")


def test_the_card_has_the_sections_that_the_hub_asks_for(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    text = text_of(folder)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    for part in (
        "**Network:** unet over resnet18, for segmentation",
        "**Options:** depth 4",
        "**Licence:** mit",
        f"`{file_sha256(folder / 'model.ckpt')}`",
        "| red | 300 to 700 | 1 to 900 |",
        "pixels of about 10 m",
        "| water | #0000FF | 2,000 | 50.0% |",
        "### Test split",
        "| overall accuracy | 0.780 (95 %: 0.710-0.840) |",
        "| water | 0.841 | none | 0.914 | 0.928 | 0.900 |",
        "### Map map.tif",
        "| water | 36.9 ± 1.8 | 0.400 ± 0.020 | 0.900 ± 0.050 | 1.000 |",
        "IoU below 0.5 on the test split: wood.",
        "eoseg predict model.ckpt SCENE.tif --out map.tif",
    ):
        assert part in text, part


def test_what_is_not_known_is_a_limitation(tmp_path: Path) -> None:
    text = text_of(make_run(tmp_path, method="random"))
    for part in ("Random split", "have no intervals", "can be believed was not measured", "carry its errors"):
        assert part in text, part


def test_a_run_of_two_dates_is_used_with_two_scenes(tmp_path: Path) -> None:
    schema = Schema(("red",), parse_classes(["same", "new"]), time="pair", steps=2)
    folder = make_run(tmp_path, recipe=make_recipe(task="ChangeTask", schema=schema))
    (folder / "confusion_val.csv").unlink()
    text = text_of(folder)
    assert "eoseg predict model.ckpt BEFORE.tif AFTER.tif --out map.tif" in text
    assert "```python" not in text


def test_a_quantity_has_its_unit_and_no_classes(tmp_path: Path) -> None:
    folder = make_run(tmp_path, recipe=height_recipe())
    make_test(folder, figures={"test/rmse": 3.285}, intervals={}, calibration={})
    text = text_of(folder)
    assert "| RMSE | 3.285 m |" in text
    assert "Maps of canopy height" in text
    assert "carry its errors" not in text


def test_a_pretraining_gives_features(tmp_path: Path) -> None:
    recipe = make_recipe(task="PretrainTask", schema=Schema(("red",), ()))
    folder = make_run(tmp_path, recipe=recipe, figures={"figures": {}})
    assert "eoseg embed model.ckpt SCENE.tif" in text_of(folder)


def test_names_do_not_break_the_tables(tmp_path: Path) -> None:
    schema = Schema(("red",), parse_classes(["a|b", "c", "d"]))
    folder = make_run(tmp_path, recipe=make_recipe(schema=schema))
    (folder / "confusion_val.csv").unlink()
    assert "| a\\|b | #0072B2 |" in text_of(folder)
