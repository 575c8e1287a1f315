"""A finished map is reported with its speed, its bottleneck, its trust and its classes."""

from dataclasses import replace
from pathlib import Path

import pytest

from eoseg.cli.prediction_report import print_estimate, print_prediction
from eoseg.predict import Disagreement, Estimate, Prediction, Times
from eoseg.recipe import BandStatistics, Recipe, Schema, Statistics, parse_classes

RECIPE = Recipe(
    task="SegmentationTask",
    schema=Schema(("B02",), parse_classes(["water", "wood"])),
    statistics=Statistics((BandStatistics("B02", 1, 1, 0, 0, 2, 2),), "uint8", 9, 9, (4, 5)),
    network={"kind": "segmentation", "arch": "unet", "args": {}},
    chip_size=64,
    output_stride=32,
)
DONE = Prediction(
    path=Path("map.tif"),
    probabilities=None,
    pixels=4_000_000,
    valid_pixels=3_000_000,
    class_pixels=(1_000_000, 2_000_000),
    tiles=9,
    skipped=1,
    tile=64,
    halo=32,
    exact=True,
    reason="enough halo",
    disagreement=None,
    device="cpu",
    seconds=2.0,
    notices=("Taken as it is.",),
    resumed=4,
    times=Times(read=0.2, compute=1.4, write=0.1, finish=0.2),
    runtime="torch, float32",
    square_kilometres=400.0,
)


def report(prediction: Prediction, capsys: pytest.CaptureFixture[str]) -> str:
    print_prediction(prediction, RECIPE)
    return capsys.readouterr().out


def test_everything_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    said = report(DONE, capsys)
    assert "Note: Taken as it is." in said
    assert "4,000,000 px in 2.0 s (2.00 MP/s, 200 km2/s) on cpu: 9 tile(s) of 64 px, halo 32 px, 1 of" in said
    assert "Went on with 4 tile(s)" in said
    assert "Runtime: torch, float32" in said
    assert "70% computing, 10% waiting for reads, 5% waiting for writes, 10% making and checking" in said
    assert "5% starting" in said
    assert "Exact: " in said
    assert "wood" in said
    assert "66.7%" in said
    assert "(no value)" in said


def test_a_map_that_is_not_exact_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = replace(DONE, exact=False, disagreement=Disagreement(200, 5))
    assert "2.50% of 200 compared pixels get another class" in report(found, capsys)
    assert "could not be measured" in report(replace(found, disagreement=None), capsys)


def test_a_scene_without_metres_has_no_area(capsys: pytest.CaptureFixture[str]) -> None:
    assert "km2" not in report(replace(DONE, square_kilometres=None), capsys)


def test_what_it_will_take_is_said_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_estimate(Estimate(9, 768, 3 * 2**30, 5 * 2**20, 250.0))
    said = capsys.readouterr().out
    assert said.startswith("9 tile(s) of 768 px: about 4 min, 3,072 MB of memory")
    assert "5 MB on disk" in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (42.4, "42 s"), (119.0, "2 min"), (3600.0, "60 min"), (9000.0, "2 h 30 min")],
)
def test_the_time_is_as_precise_as_an_estimate_is(
    seconds: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_estimate(Estimate(1, 64, 0, 0, seconds))
    assert f"about {said}, " in capsys.readouterr().out
