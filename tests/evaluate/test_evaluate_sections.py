from pathlib import Path

import numpy as np
import pytest
from map_factory import CLASSES
from page_checker import check_part

from eoseg.errors import DataError
from eoseg.evaluate.panel import MapPanel
from eoseg.evaluate.sections import (
    class_table,
    curve_charts,
    figure_cards,
    interval_text,
    map_pictures,
    matrix_tables,
)
from eoseg.figures import NO_LABEL, RIGHT, WRONG
from eoseg.metrics import score

MATRIX = np.array([[90, 10, 0], [50, 150, 0], [0, 0, 0]])
NAMES = [entry.name for entry in CLASSES]
SCORES = score(MATRIX, NAMES)


def test_overall_figures_come_with_their_intervals() -> None:
    text = check_part(figure_cards(SCORES, {"overall_accuracy": (0.7, 0.9)})).text
    assert "0.800" in text  # 240 of 300
    assert "95 %: 0.700-0.900" in text
    assert "no interval" in text


def test_classes_get_columns_for_the_intervals_that_are_known() -> None:
    without = check_part(class_table(SCORES, CLASSES, {}))
    assert "95 %" not in without.text
    assert without.charts == ["bars: IoU per class"]
    ends = {"iou/water": (0.5, 0.7), "iou/wood": None, "f1/wood": (0.6, 0.8)}
    page = check_part(class_table(SCORES, CLASSES, ends, unit="chips"))
    for word in ("95 % of IoU", "95 % of F1", "0.500-0.700", "0.600-0.800", "none", "undefined", "Map chips"):
        assert word in page.text
    assert page.charts == ["bars: IoU per class, line: 95 % interval"]


def test_an_interval_that_is_not_known_is_no_text() -> None:
    assert interval_text({"a": None}, "a") == interval_text({}, "a") == ""
    assert interval_text({"a": (0, 0.12345)}, "a") == "0.000-0.123"


def test_the_confusion_matrix_is_shown_as_counts_and_as_shares_of_rows() -> None:
    content = matrix_tables(MATRIX, NAMES, unit="chips")
    assert '<td class="shade" style="--share:75%">150</td>' in content
    assert '<td class="shade" style="--share:75%">75</td>' in content
    assert '<td class="shade" style="--share:0%">-</td>' in content  # a class without reference has no share
    assert "In chips" in content
    assert check_part(content).heads.count("row") == 6


def test_large_counts_and_small_shares_are_shortened_truthfully() -> None:
    content = matrix_tables(np.array([[12_345_678, 1_234_567], [3, 999_999]]), ["a", "b"])
    for text in (">12M<", ">1.23M<", ">999,999<", ">&lt;1<", ">&gt;99<"):
        assert text in content


def test_many_classes_have_upright_heads() -> None:
    names = [f"class {number}" for number in range(9)]
    assert 'class="matrix many"' in matrix_tables(np.eye(9, dtype=np.int64), names)
    assert 'class="matrix"' in matrix_tables(MATRIX, NAMES)


def test_curves_are_drawn_by_what_was_logged(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/loss_epoch,val/miou,val/rmse\n0,1,2.0,,\n0,1,,0.5,\n1,2,1.0,0.6,\n")
    labels = check_part(curve_charts(path)).charts
    assert labels == ["curves: loss over the epochs", "curves: validation scores over the epochs"]
    path.write_text("epoch,step,val/rmse,val/mae\n0,1,2.0,1.0\n")
    assert check_part(curve_charts(path)).charts == ["curves: validation errors over the epochs"]
    path.write_text("epoch,step,lr\n0,1,2.0\n")
    with pytest.raises(DataError, match="no curve to draw"):
        curve_charts(path)
    with pytest.raises(DataError, match=r"none\.csv"):
        curve_charts(tmp_path / "none.csv")


def test_a_map_is_shown_beside_what_is_known() -> None:
    truth, mapped = np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 1, 1, 1]], np.uint8)
    image = np.full((1, 4, 3), 90, np.uint8)
    page = check_part(map_pictures(MapPanel("north", image, truth, mapped), CLASSES))
    assert list(page.images) == [f"north: {what}" for what in ("image", "reference", "map", "errors")]
    water, wood = (entry.color for entry in CLASSES[:2])
    shown = {what: [tuple(c) for c in rgb[0, ::128].tolist()] for what, rgb in page.images.items()}
    assert shown["north: reference"] == [water, water, wood, NO_LABEL]
    assert shown["north: map"] == [water, wood, wood, wood]
    assert shown["north: errors"] == [RIGHT, WRONG, RIGHT, NO_LABEL]
    alone = check_part(map_pictures(MapPanel("north", None, None, mapped), CLASSES))
    assert list(alone.images) == ["north: map"]
    assert "--scene" in alone.text
    assert "wrong" not in alone.text
