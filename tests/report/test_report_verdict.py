from pathlib import Path

from run_factory import full_run, height_recipe, make_recipe, make_run, make_test

from eoseg.recipe import Schema, parse_classes
from eoseg.report.findings import Findings, gather
from eoseg.report.verdict import network_words, purpose, verdict, warnings


def said(found: Findings) -> str:
    return verdict(found.run, found.measures, found.split, found.diagrams)


def beware(found: Findings) -> str:
    return " ".join(warnings(found.run, found.measures, found.split))


def test_the_verdict_says_what_was_trained_how_good_it_is_and_where_it_errs(tmp_path: Path) -> None:
    found = gather(full_run(tmp_path))
    on_map = found.measures[1]
    low, high = on_map.interval("oa")  # type: ignore[misc]
    for sentence in (
        "The network unet over resnet18 (14,321 parameters) was trained on 4,000 labelled pixels and gives a "
        "class per pixel.",
        "On the test split it has overall accuracy 0.780 (95 %: 0.710-0.840) and mean IoU 0.586 (95 %: "
        "0.500-0.660).",
        f"Its map map.tif has overall accuracy 0.833 (95 %: {low:.3f}-{high:.3f}) and mean IoU",
        "Best is water (IoU 0.84), weakest wood (IoU 0.47), of whose reference 10 % is taken for water.",
        "Its probabilities are 0.120 off on average (ECE), mostly too high.",
        "The split is by spatial blocks with a buffer of 8 px, so that test places lie apart from training",
    ):
        assert sentence in said(found)
    assert beware(found) == ""


def test_without_a_test_the_verdict_says_so(tmp_path: Path) -> None:
    found = gather(make_run(tmp_path))
    assert "On the validation split it has overall accuracy 0.800" in said(found)
    assert "neither tested on a test split nor compared with a reference yet" in said(found)
    assert "validation chose the checkpoint: they flatter" in beware(found)


def test_a_quantity_has_its_unit(tmp_path: Path) -> None:
    folder = make_run(tmp_path, recipe=height_recipe())
    make_test(folder, figures={"test/rmse": 3.2849, "test/r2": 0.832}, intervals={}, calibration={})
    text = said(gather(folder))
    assert "gives canopy height per pixel in m" in text
    assert "On the test split it has RMSE 3.285 m and R2 0.832." in text


def test_change_is_told_by_the_f1_of_change(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    make_test(folder, figures={"test/change_f1": 0.85, "test/oa": 0.9, "test/miou": 0.8})
    assert "it has F1 of change 0.850 and overall accuracy 0.900" in said(gather(folder))


def test_what_makes_figures_too_good_is_said(tmp_path: Path) -> None:
    leakage = {"verdict": "leaking", "allowed": True, "found": {"ground": "Two places are shared."}}
    recipe = make_recipe(provenance={"split": {"leakage": leakage}})
    folder = make_run(tmp_path, recipe=recipe, method="random")
    environment = folder / "environment.json"
    environment.write_text(environment.read_text().replace('"dirty": false', '"dirty": true'))
    told = beware(gather(folder))
    assert "Random split" in told
    assert "The split is leaking, and was allowed to: figures are too good. Two places are shared." in told
    assert "The code differed from the git revision" in told


def test_a_class_without_reference_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    tested = make_test(folder)
    text = "reference \\ map,water,wood,town\nwater,5,1,0\nwood,1,5,0\ntown,0,0,0\n"
    (tested / "confusion_test.csv").write_text(text)
    found = gather(folder)
    assert "Test split: without reference, so undefined: town." in beware(found)
    assert "Best is" not in said(found)  # of two classes that says nothing


def test_networks_and_purposes_are_said_in_words() -> None:
    assert network_words(make_recipe(network={"arch": "random_forest", "args": {}})) == "random_forest"
    assert network_words(make_recipe()) == "unet over resnet18"
    assert purpose(make_recipe(task="SeriesTask")) == "a class per pixel from a series of dates"
    schema = Schema(("red",), parse_classes(["a", "b"]), multilabel=True)
    assert purpose(make_recipe(schema=schema)) == "labels per chip"
    assert purpose(make_recipe(task="Other")) == "Other"
