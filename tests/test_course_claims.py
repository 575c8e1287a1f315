"""What the synthetic world of the course is made to show, shown by the shipped ladders themselves."""

import json
from pathlib import Path

import pytest

from eoseg.cli import main
from eoseg.datasets.course_world import make_course_world

ROOT = Path(__file__).parents[1]
QUICK = {
    "segmentation": ["multilayer perceptron", "random forest, bands", "random forest, texture"],
    "change": ["change vector analysis", "FC-EF"],
    "series": ["random forest", "TempCNN"],
    "classification": ["random forest", "LeNet-5"],
    "height": ["random forest, bands", "random forest, texture"],
}
"""The other methods take longer; README.md has the table of all."""

type Ladder = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    world = make_course_world(folder / "world")
    for name, methods in QUICK.items():
        ladder = ROOT / "configs" / "course" / f"{name}.yaml"
        chosen = [f"--method={method}" for method in methods]
        main(
            [
                *("course", str(ladder), f"--root={world}", f"--out={folder / 'out'}", "--jobs=2"),
                *("--no-wandb", "--run.panels_every=0", *chosen),
            ]
        )
    return folder / "out"


def ladder(out: Path, name: str) -> Ladder:
    methods = json.loads((out / f"{name}.json").read_text())["methods"]
    return {method: found[0]["figures"] for method, found in methods.items()}


def class_f1(out: Path, run: str, name: str) -> float:
    figures = json.loads((out / "runs" / f"{run}-0-test" / "latest" / "figures.json").read_text())
    return float(figures["figures"][f"test/f1/{name}"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segmentation", "change", "series", "classification"])
def test_each_method_beats_the_most_frequent_class(out: Path, name: str) -> None:
    figures = ladder(out, name)
    trivial = figures.pop("most frequent class")
    assert list(figures) == QUICK[name]
    for method, found in figures.items():
        assert found["kappa"] > 0.3, method
        assert found["mean_f1"] > trivial["mean_f1"] + 0.2, method


@pytest.mark.slow
def test_a_height_is_better_than_its_mean(out: Path) -> None:
    assert all(found["r2"] > 0.4 for found in ladder(out, "height").values())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "figure"), [("segmentation", "miou"), ("height", "r2")])
def test_what_lies_around_a_pixel_says_more_than_the_pixel(out: Path, name: str, figure: str) -> None:
    figures = ladder(out, name)
    assert figures["random forest, texture"][figure] > figures["random forest, bands"][figure] + 0.05


@pytest.mark.slow
def test_orchards_show_by_their_rows(out: Path) -> None:
    alone = class_f1(out, "segmentation-random_forest__bands", "orchard")
    around = class_f1(out, "segmentation-random_forest__texture", "orchard")
    assert around > alone + 0.2


@pytest.mark.slow
def test_planted_changes_are_found_although_fields_differ_more(out: Path) -> None:
    figures = ladder(out, "change")
    assert figures["FC-EF"]["change_f1"] >= 0.8
    assert figures["FC-EF"]["change_f1"] > figures["change vector analysis"]["change_f1"] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("crop", ["single crop", "double crop"])
def test_only_the_year_tells_the_crops_apart(out: Path, crop: str) -> None:
    assert class_f1(out, "segmentation-random_forest__texture", crop) < 0.65  # guessing gives about 0.5
    for method in ("random_forest", "tempcnn"):
        assert class_f1(out, f"series-{method}", crop) > 0.85
