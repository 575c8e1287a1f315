"""The table of a ladder, with figures that can be worked out by hand."""

import json
from pathlib import Path

import pytest

from eoseg.cli.ladder import Ladder, Measured, Row, read_measured, trivial_row
from eoseg.errors import DataError


def measured(*, seconds: float = 10.0, parameters: int = 1234, **figures: float) -> Measured:
    return Measured(dict(figures), parameters, seconds, (30, 10), ((6, 2), (1, 1)))


FOREST = Row("forest", [measured(oa=0.8, miou=0.5), measured(oa=0.9, miou=0.7, seconds=20.0)])
NET = Row("net", [measured(oa=0.7, miou=0.8, parameters=5), measured(oa=0.9, miou=0.9, parameters=5)])


def test_an_interval_is_mean_smallest_and_largest() -> None:
    assert FOREST.interval("oa") == pytest.approx((0.85, 0.8, 0.9))
    assert FOREST.interval("kappa") is None
    half = Row("half", [measured(oa=0.5), measured()])
    assert half.interval("oa") == (0.5, 0.5, 0.5)


def test_the_table_has_a_line_for_each_method_and_the_best_in_bold() -> None:
    text = Ladder("demo", "seeds", [FOREST, NET]).to_markdown()
    assert text == (
        "| method | parameters | training (s) | OA | mIoU |\n"
        "|---|---:|---:|---:|---:|\n"
        "| forest | 1,234 | 15 | **0.850** (0.800-0.900) | 0.600 (0.500-0.700) |\n"
        "| net | 5 | 10 | 0.800 (0.700-0.900) | **0.850** (0.800-0.900) |\n"
        "\n"
        "Mean, with smallest and largest of 2 seeds in brackets.\n"
    )


def test_one_training_has_no_brackets_and_what_is_not_defined_is_said() -> None:
    rows = [Row("a", [measured(oa=0.5, parameters=0)]), Row("b", [measured(oa=0.4, kappa=0.1)])]
    text = Ladder("demo", "seeds", rows).to_markdown()
    assert "| a | - | 10 | **0.500** | undefined |" in text
    assert "brackets" not in text


@pytest.mark.parametrize(("figure", "best"), [("rmse", "a"), ("mae", "a"), ("bias", "b"), ("r2", "b")])
def test_small_errors_are_the_best_and_the_bias_nearest_to_zero(figure: str, best: str) -> None:
    values = {"rmse": (1.0, 2.0), "mae": (1.0, 2.0), "bias": (-3.0, 0.5), "r2": (0.1, 0.2)}[figure]
    rows = [Row(name, [measured(**{figure: value})]) for name, value in zip("ab", values, strict=True)]
    lines = Ladder("demo", "seeds", rows).to_markdown().splitlines()[2:4]
    assert [line[2] for line in lines if "**" in line] == [best]


def test_every_training_is_a_line_of_the_csv() -> None:
    assert Ladder("demo", "folds", [FOREST, NET]).to_csv().splitlines() == [
        "method,fold,parameters,seconds,oa,miou",
        "forest,0,1234,10.0,0.8,0.5",
        "forest,1,1234,20.0,0.9,0.7",
        "net,0,5,10.0,0.7,0.8",
        "net,1,5,10.0,0.9,0.9",
    ]


def test_everything_can_be_kept_as_json() -> None:
    kept = json.loads(json.dumps(Ladder("demo", "seeds", [NET]).to_dict()))
    assert kept["methods"]["net"][1] == {
        "parameters": 5,
        "seconds": 10.0,
        "figures": {"oa": 0.9, "miou": 0.9},
    }
    assert (kept["ladder"], kept["over"]) == ("demo", "seeds")


def test_the_picture_shows_the_two_figures_that_say_most() -> None:
    ladder = Ladder("demo", "seeds", [Row("a", [measured(oa=0.9, mean_f1=0.5, miou=0.4, change_f1=0.3)])])
    assert ladder.chart_figures == ["F1 of change", "mIoU"]
    assert ladder.chart_rows() == [("a", [(0.3, 0.3, 0.3), (0.4, 0.4, 0.4)])]
    cover = Ladder("demo", "seeds", [Row("a", [measured(oa=0.9, mean_f1=0.5, miou=0.4)])])
    assert cover.chart_figures == ["macro F1", "mIoU"]
    regression = Ladder("demo", "seeds", [Row("a", [measured(rmse=2.0, r2=0.5, bias=0.1)])])
    assert regression.chart_figures == ["R2", "RMSE"]


def test_the_most_frequent_class_everywhere_is_the_line_to_beat() -> None:
    # Eight of ten reference pixels are of class 0, which training has most of.
    (row,) = trivial_row(Row("net", [measured(oa=0.7, change_f1=0.4)]))
    found = row.measured[0].figures
    assert found["oa"] == pytest.approx(0.8)
    assert found["kappa"] == pytest.approx(0.0)
    assert found["miou"] == pytest.approx(0.8 / 2)
    assert found["mean_f1"] == pytest.approx((2 * 0.8 / 1.8 + 0) / 2)
    assert found["change_f1"] == 0.0
    assert row.measured[0].parameters == 0


def test_what_has_no_matrix_has_no_most_frequent_class() -> None:
    assert trivial_row(Row("height", [Measured({"rmse": 1.0}, 1, 1.0, (40,), None)])) == []


def write_runs(folder: Path, *, matrix: bool = True) -> tuple[Path, Path]:
    fitted, tested = folder / "fit", folder / "test"
    for run in (fitted, tested):
        run.mkdir()
    (fitted / "figures.json").write_text('{"parameters": 7, "seconds": 1.5, "figures": {"val/oa": 0.1}}')
    (fitted / "statistics.json").write_text('{"class_pixels": [3, 4]}')
    (tested / "figures.json").write_text('{"figures": {"test/oa": 0.5, "test/iou/a": 0.2, "val/oa": 0.9}}')
    if matrix:
        (tested / "confusion_test.csv").write_text("reference,a,b\na,1,2\nb,3,4\n")
    return fitted, tested


def test_runs_are_read_from_their_folders(tmp_path: Path) -> None:
    assert read_measured(*write_runs(tmp_path)) == Measured({"oa": 0.5}, 7, 1.5, (3, 4), ((1, 2), (3, 4)))


def test_a_run_of_a_quantity_has_no_matrix(tmp_path: Path) -> None:
    assert read_measured(*write_runs(tmp_path, matrix=False)).matrix is None


@pytest.mark.parametrize("missing", ["fit/figures.json", "fit/statistics.json", "test/figures.json"])
def test_a_run_that_is_not_complete_is_named(tmp_path: Path, missing: str) -> None:
    fitted, tested = write_runs(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match="are not complete"):
        read_measured(fitted, tested)
