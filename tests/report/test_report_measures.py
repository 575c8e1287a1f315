import json
from pathlib import Path

import numpy as np
import pytest
from run_factory import (
    MATRIX,
    full_run,
    height_recipe,
    make_recipe,
    make_run,
    make_test,
    write_matrix,
)

from eoseg.errors import DataError
from eoseg.metrics import score
from eoseg.recipe import Schema, parse_classes
from eoseg.report.measures import (
    read_evaluation,
    read_intervals,
    read_matrix,
    read_test_measure,
    read_validation_measure,
)
from eoseg.report.run import read_run, read_test


def test_a_test_has_matrix_figures_and_intervals(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    run = read_run(folder)
    measure = read_test_measure(run, read_test(make_test(folder), run))
    assert measure.kind == "test"
    assert measure.scores == score(MATRIX, ["water", "wood", "town"])
    assert measure.figures == {"oa": 0.78, "miou": 0.586, "kappa": 0.64}
    assert measure.interval("oa") == (0.71, 0.84)
    assert measure.interval("kappa") is None
    assert measure.notes == ("Intervals: bootstrap over 24 spatial blocks, 1000 draws.",)


def test_validation_figures_say_that_they_flatter(tmp_path: Path) -> None:
    measure = read_validation_measure(read_run(make_run(tmp_path)))
    assert measure is not None
    assert measure.figures["miou"] == 0.6
    assert "chose the checkpoint (val/miou, highest)" in measure.notes[0]
    bare = make_run(tmp_path / "b", figures={"figures": {"train/loss": 1.0}})
    assert read_validation_measure(read_run(bare)) is None


def test_a_quantity_has_figures_and_no_matrix(tmp_path: Path) -> None:
    folder = make_run(tmp_path, recipe=height_recipe())
    run = read_run(folder)
    tested = make_test(folder, figures={"test/rmse": 3.285, "test/r2": 0.832}, intervals={})
    measure = read_test_measure(run, read_test(tested, run))
    assert (measure.matrix, measure.scores) == (None, None)
    assert measure.figures == {"rmse": 3.285, "r2": 0.832}


def test_several_labels_have_a_row_each(tmp_path: Path) -> None:
    schema = Schema(("red",), parse_classes(["wood", "water"]), multilabel=True)
    folder = make_run(tmp_path, recipe=make_recipe(task="ClassificationTask", schema=schema))
    run = read_run(folder)
    tested = make_test(folder, figures={"test/micro_f1": 0.7})
    (tested / "confusion_test.csv").unlink()
    table = "label,right,missed,false,rightly absent,f1\nwood,5,1,2,9,0.77\nwater,0,0,1,16,\n"
    (tested / "labels_test.csv").write_text(table)
    measure = read_test_measure(run, read_test(tested, run))
    assert measure.labels == (("wood", (5, 1, 2, 9), 0.77), ("water", (0, 0, 1, 16), None))
    assert measure.unit == "chips"
    (tested / "labels_test.csv").write_text("label\nwood\n")
    with pytest.raises(DataError, match="is no table of labels"):
        read_test_measure(run, read_test(tested, run))


def test_an_evaluation_of_the_map_is_read_with_its_intervals(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    measure, protocol = read_evaluation(folder / "evaluation.json", make_recipe())
    assert measure.title == "Map map.tif"
    assert measure.figures["oa"] == pytest.approx(5 / 6)
    low, high = measure.interval("oa")  # type: ignore[misc]
    assert low < 5 / 6 < high
    assert protocol["block_size"] == 16
    assert any("9,216 pixels compared" in note for note in measure.notes)
    assert any("36 blocks of 16 px, 100 draws" in note for note in measure.notes)


def test_other_files_are_no_evaluation(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    path = folder / "evaluation.json"
    with pytest.raises(DataError, match="is no evaluation of a map"):
        read_evaluation(folder / "accuracy.json", make_recipe())
    with pytest.raises(DataError, match="about a map of water, wood, town; the checkpoint has no classes"):
        read_evaluation(path, height_recipe())
    values = json.loads(path.read_text())
    values["confusion_matrix"]["pixels"][0].pop()
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match="is no evaluation of a map"):
        read_evaluation(path, make_recipe())


def test_an_evaluation_without_intervals_says_why(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    path = folder / "evaluation.json"
    values = json.loads(path.read_text())
    values["intervals"] = dict.fromkeys(values["intervals"])
    path.write_text(json.dumps({**values, "interval_reason": "no interval: 4 blocks"}))
    measure, _ = read_evaluation(path, make_recipe())
    assert measure.interval("oa") is None
    assert "Intervals: no interval: 4 blocks." in measure.notes


def test_a_confusion_matrix_must_be_one_of_these_classes(tmp_path: Path) -> None:
    path = tmp_path / "confusion_test.csv"
    write_matrix(path, MATRIX)
    assert (read_matrix(path, ["water", "wood", "town"]) == MATRIX).all()
    with pytest.raises(DataError, match="has the classes water, wood, town; the checkpoint has a, b"):
        read_matrix(path, ["a", "b"])
    for text in ("", "reference \\ map,a\na,many\n", "reference \\ map,a\na,1\nb\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="confusion matrix|has the classes"):
            read_matrix(path, ["a"])
    with pytest.raises(DataError, match="cannot be read"):
        read_matrix(tmp_path / "none.csv", ["a"])


@pytest.mark.parametrize(
    "held",
    [
        {"values": {"overall_accuracy": [0.1, 0.2]}},
        {"test/oa": [0.1, 0.2], "test/miou": None},
        {"oa": {"low": 0.1, "high": 0.2}},
    ],
)
def test_intervals_are_read_by_the_names_of_scores(held: dict[str, object]) -> None:
    assert read_intervals({"intervals": held}, "test")[0] == {"overall_accuracy": (0.1, 0.2)}


def test_the_reason_for_no_interval_is_told_and_broken_ones_are_refused() -> None:
    held = {"values": {"overall_accuracy": None}, "reason": "no interval: 3 blocks", "blocks": 3}
    assert read_intervals({"intervals": held}, "test") == ({}, ("Intervals: no interval: 3 blocks.",))
    assert read_intervals({}, "test") == ({}, ())
    with pytest.raises(DataError, match="intervals of figures.json are not as eoseg writes them"):
        read_intervals({"intervals": {"oa": [1, 2, 3]}}, "test")
    assert np.isfinite(read_intervals({"intervals": {"oa": [0, 1]}}, "test")[0]["overall_accuracy"]).all()
