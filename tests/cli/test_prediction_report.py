"""A finished map is reported with its speed, its bottleneck, its trust and its classes."""

from dataclasses import replace
from pathlib import Path

import pytest

from eoseg.cli.prediction_report import print_estimate, print_prediction
from eoseg.predict import Disagreement, Estimate, OutOfRange, Passes, Prediction, SeamLine, Times
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


def test_what_was_averaged_and_all_files_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    passes = Passes(networks=3, symmetries=8)
    said = report(replace(DONE, passes=passes, uncertainty=Path("u.tif"), item=Path("m.stac.json")), capsys)
    assert "Mean over 3 checkpoints x 8 symmetries: 24 passes for each tile." in said
    assert "Uncertainty: u.tif" in said
    assert "STAC item: m.stac.json" in said
    assert "Mean over" not in report(DONE, capsys)


def test_tiles_with_values_that_training_never_saw_are_pointed_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = OutOfRange(40, 3, 0.62, 96, 160, (501_605.0, 5_399_035.0))
    said = report(replace(DONE, out_of_range=found), capsys)
    assert (
        "Out of range: 3 of 40 tile(s) with values that training never saw in more than 5% of their pixels; "
        "worst 62.0%, around row 96, column 160 (x 501605, y 5399035)."
    ) in said
    said = report(replace(DONE, out_of_range=replace(found, flagged=0, worst=0.0)), capsys)
    assert "Out of range: none of 40 tile(s) with values that training never saw" in said
    assert "worst" not in said
    assert "(x" not in report(replace(DONE, out_of_range=replace(found, place=None)), capsys)
    assert "Out of range" not in report(DONE, capsys)


def test_it_is_said_how_tiles_are_joined_and_where_they_differ(capsys: pytest.CaptureFixture[str]) -> None:
    found = Disagreement(200, 5, near=50, near_differing=3, near_px=2, worst=SeamLine("row", 64, 0.25))
    off = replace(DONE, exact=False, disagreement=found)
    said = report(off, capsys)
    assert "Not exact: enough halo. Tiles are not blended. Where tiles lie elsewhere, 2.50%" in said
    assert "Within 2 px of a border of tiles that is 6.00%, elsewhere 1.33%; at worst 25.0% of a line" in said
    assert "in row 64." in said
    assert "Tiles are blended over 256 px." in report(replace(off, blended=256), capsys)


def test_a_check_of_an_exact_map_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def check(found: Disagreement | None) -> str:
        print_prediction(replace(DONE, disagreement=found), RECIPE, seams_checked=True)
        said = capsys.readouterr().out
        assert "Exact: the map" in said
        return said

    assert "Seams: where tiles lie elsewhere, none of 200 compared pixels differ." in check(
        Disagreement(200, 0)
    )
    worst = SeamLine("column", 8, 0.5)
    assert "none of 200 compared pixels differ (2 ties aside" in check(
        Disagreement(200, 2, ties=2, worst=worst)
    )
    assert "elsewhere, 1 of 200 compared pixels differ (2 ties aside" in check(
        Disagreement(200, 3, ties=2, worst=worst)
    )
    assert "Seams: nothing to compare." in check(None)
    assert "Seams" not in report(DONE, capsys)


def test_a_scene_without_metres_has_no_area(capsys: pytest.CaptureFixture[str]) -> None:
    assert "km2" not in report(replace(DONE, square_kilometres=None), capsys)


def test_what_it_will_take_is_said_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_estimate(Estimate(9, 768, 3 * 2**30, 5 * 2**20, 250.0))
    said = capsys.readouterr().out
    assert said.startswith("9 tile(s) of 768 px: about 4 min, 3,072 MB of memory")
    assert "5 MB on disk" in said
    print_estimate(Estimate(9, 768, 3 * 2**30, 5 * 2**20, 8.0, passes=Passes(symmetries=8)))
    said = capsys.readouterr().out
    assert said.startswith("9 tile(s) of 768 px, each 8 times through the network (8 symmetries): about")
    print_estimate(Estimate(9, 768, 3 * 2**30, 5 * 2**20, 8.0, passes=Passes(networks=2, samples=5)))
    assert "10 times through the networks (2 checkpoints x 5 samples by dropout): about 8 s, 3,072" in (
        capsys.readouterr().out
    )
    assert "blend" not in said
    print_estimate(Estimate(9, 768, 2**30, 5 * 2**20, 8.0, strip_bytes=3 * 2**20, computed=9))
    assert (
        "9 tile(s) of 768 px: about 8 s, 1,024 MB of memory for a pass of the network and 3 MB to blend"
        in (capsys.readouterr().out)
    )
    print_estimate(Estimate(9, 768, 2**30, 5 * 2**20, 8.0, strip_bytes=2**20, computed=12))
    assert "9 tile(s) of 768 px (3 of them computed again, for others to blend with): about" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (42.4, "42 s"), (119.0, "2 min"), (3600.0, "60 min"), (9000.0, "2 h 30 min")],
)
def test_the_time_is_as_precise_as_an_estimate_is(
    seconds: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_estimate(Estimate(1, 64, 0, 0, seconds))
    assert f"about {said}, " in capsys.readouterr().out
