import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from map_factory import CLASSES, label_values, write_map
from PIL import Image
from sample_factory import LAND, answers_of, draw, fill, land

from eoseg.errors import DataError, OutputError
from eoseg.evaluate.accuracy import Evaluation, evaluate_map
from eoseg.evaluate.map_accuracy import assess_map
from eoseg.evaluate.page import write_area_page, write_page
from eoseg.evaluate.panel import MapPanel
from eoseg.figures import NO_LABEL, RIGHT, WRONG
from eoseg.recipe import parse_classes

_VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects pictures and text, and refuses tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: dict[str, np.ndarray] = {}
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [values[key] or "" for key in ("src", "href", "action") if key in values]
        if tag == "img":
            data = base64.b64decode((values["src"] or "").removeprefix("data:image/png;base64,"))
            self.images[values["alt"] or ""] = np.asarray(Image.open(io.BytesIO(data)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data + " "


def check(path: Path) -> Checker:
    checker = Checker()
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    checker.feed(text)
    checker.close()
    assert not checker.open
    return checker


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    truth = np.zeros((40, 40), np.uint8)
    truth[:, 20:] = 1
    mapped = truth.copy()
    mapped[:10, :10] = 1
    names = parse_classes(
        {"water": {"value": [1, 2], "color": "#0000FF"}, "<b>wood</b>": 3, "absent & gone": 7}
    )
    map_path = write_map(tmp_path / "map.tif", mapped, names=names)
    reference = write_scene(tmp_path / "reference.tif", label_values(truth))
    return evaluate_map(map_path, reference, block_size=8)


def panel(name: str = "north") -> MapPanel:
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    mapped = np.array([[0, 1, 1, 1]], np.uint8)
    return MapPanel(name, np.full((1, 4, 3), 90, np.uint8), truth, mapped)


def write(path: Path, evaluation: Evaluation, **options: object) -> Checker:
    values = {"title": "Title", "summary": "Summary.", "maps": [panel()], **options}
    assert write_page(path, evaluation=evaluation, **values) == path
    return check(path)


def test_the_page_is_one_file_that_needs_nothing_else(tmp_path: Path, evaluation: Evaluation) -> None:
    page = write(tmp_path / "page.html", evaluation)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    text = re.sub(r"data:image/png;base64,[^\"]*", "", (tmp_path / "page.html").read_text())
    assert "http" not in text
    assert not list(tmp_path.glob("*.part"))


def test_the_figures_are_those_of_the_evaluation(tmp_path: Path, evaluation: Evaluation) -> None:
    text = write(tmp_path / "page.html", evaluation).text
    interval = evaluation.intervals.values["overall_accuracy"]
    assert "0.938" in text  # 1500 of 1600 pixels are right
    assert f"{interval.low:.3f}-{interval.high:.3f}" in text
    assert "undefined" in text  # the class that is absent
    assert "1,600 pixels compared" in text


def test_pictures_show_image_reference_map_and_errors(tmp_path: Path, evaluation: Evaluation) -> None:
    images = write(tmp_path / "page.html", evaluation).images

    def pixels(what: str) -> list[tuple[int, ...]]:
        image = images[f"north: {what}"]
        assert max(image.shape) >= 512  # enlarged, so that no browser blurs it
        side = image.shape[0]
        return [tuple(color) for color in image[0, ::side].tolist()]

    water, wood = (entry.color for entry in evaluation.classes[:2])
    assert pixels("image") == [(90, 90, 90)] * 4
    assert pixels("reference") == [water, water, wood, NO_LABEL]
    assert pixels("map") == [water, wood, wood, wood]
    assert pixels("errors") == [RIGHT, WRONG, RIGHT, NO_LABEL]


def test_text_of_others_is_escaped(tmp_path: Path, evaluation: Evaluation) -> None:
    nasty = "<script>alert('x')</script> & \"more\""
    page = write(
        tmp_path / "page.html",
        evaluation,
        title=nasty,
        summary=nasty,
        maps=[panel(nasty)],
        config_text=nasty,
        commands=[nasty],
    )
    raw = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in raw
    assert "<b>wood</b>" not in raw
    assert page.text.count(nasty) >= 4
    assert "<b>wood</b>" in page.text


def test_curves_configuration_and_commands_are_shown_where_given(
    tmp_path: Path, evaluation: Evaluation
) -> None:
    without = write(tmp_path / "page.html", evaluation)
    for heading in ("Learning curves", "Configuration", "Commands that"):
        assert heading not in without.text
    csv = tmp_path / "metrics.csv"
    csv.write_text("epoch,step,train/loss_epoch,val/miou\n0,1,2.0,\n0,1,,0.5\n")
    options = {"curves_csv": csv, "config_text": "seed: 7", "commands": ["eoseg fit --config demo.yaml"]}
    page = write(tmp_path / "page.html", evaluation, **options)
    assert "seed: 7" in page.text
    assert "eoseg fit --config demo.yaml" in page.text
    assert {"learning curves: loss", "learning curves: validation scores"} <= set(page.images)


def test_the_protocol_is_on_the_page(tmp_path: Path, evaluation: Evaluation) -> None:
    text = write(tmp_path / "page.html", evaluation).text
    for value in ("map_sha256", str(evaluation.protocol["reference_sha256"]), "EOSEG_CHECKPOINT_SHA256: abc"):
        assert value in text


def test_without_enough_blocks_the_page_says_so(tmp_path: Path) -> None:
    zeros = np.zeros((20, 20), np.uint8)
    evaluation = evaluate_map(
        write_map(tmp_path / "map.tif", zeros), write_scene(tmp_path / "r.tif", label_values(zeros))
    )
    text = write(tmp_path / "page.html", evaluation, maps=[]).text
    assert "no interval" in text
    assert "1 blocks of 64 x 64 px hold labels, 10 are needed" in text
    assert len(CLASSES) == 3


def test_an_older_page_is_replaced_and_a_missing_folder_is_an_error(
    tmp_path: Path, evaluation: Evaluation
) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    assert "Title" in write(path, evaluation).text
    with pytest.raises(OutputError, match=r"page\.html' cannot be written"):
        write(tmp_path / "none" / "page.html", evaluation)


def test_missing_curves_are_an_error(tmp_path: Path, evaluation: Evaluation) -> None:
    with pytest.raises(DataError, match=r"none\.csv"):
        write(tmp_path / "page.html", evaluation, curves_csv=tmp_path / "none.csv")
    assert not (tmp_path / "page.html").exists()


def test_the_same_evaluation_gives_the_same_page(tmp_path: Path, evaluation: Evaluation) -> None:
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    write(first, evaluation)
    write(second, evaluation)
    assert first.read_bytes() == second.read_bytes()


def test_a_probability_sample_has_a_section_and_a_page_of_its_own(
    tmp_path: Path, evaluation: Evaluation
) -> None:
    truth, mapped = land()
    drawn = draw(write_map(tmp_path / "land.tif", mapped, names=LAND), tmp_path / "s.gpkg")
    fill(drawn.path, answers_of(drawn, truth))
    sampled = assess_map(tmp_path / "land.tif", drawn.path)
    own = tmp_path / "own.html"
    command = "eoseg accuracy land.tif s.gpkg"
    assert write_area_page(own, title="<Land>", summary="Fields.", sampled=sampled, command=command) == own
    for page in (write(tmp_path / "page.html", evaluation, sampled=sampled), check(own)):
        assert "areas and accuracy of each class" in page.images
        assert "Accuracy and area, from a probability sample" in page.text
        assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "<Land>" in check(own).text
    assert command in check(own).text
    assert "from a probability sample" not in write(tmp_path / "without.html", evaluation).text
