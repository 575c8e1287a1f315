import csv
import io
from pathlib import Path

import numpy as np
import pytest

from eoseg.errors import DataError
from eoseg.figures import (
    CHART_DPI,
    NO_LABEL,
    WRONG,
    confusion_image,
    contact_sheet,
    legend_image,
    png_bytes,
    read_curves,
    scale_image,
)
from eoseg.figures.charts import new_chart, render, shorten
from eoseg.recipe import parse_classes

CLASSES = parse_classes({"water": "#0000FF", "wood": "#00FF00"})


def colors_of(image: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(color) for color in image.reshape(-1, 3).tolist()}


def test_the_same_pixels_give_the_same_bytes() -> None:
    first, second = (png_bytes(legend_image(CLASSES, title="two classes")) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("size", [2, 7, 20])
def test_a_confusion_matrix_is_dark_where_a_class_is_found(size: int) -> None:
    matrix = np.eye(size, dtype=np.int64) * 1000
    names = [f"class {number}" for number in range(size)]
    for normalize in (False, True):
        dark = confusion_image(matrix, names, normalize=normalize).min(axis=2) < 60
        assert dark.sum() > 0.8 / size * 0.4 * dark.size / 2
    off = confusion_image(np.roll(matrix, 1, axis=1), names)
    assert (off != confusion_image(matrix, names)).any()


def test_a_class_without_reference_is_drawn_without_warning() -> None:
    assert confusion_image(
        np.array([[3, 0], [0, 0]]), ["a", "$b$ and more of it than fits"], normalize=True
    ).size


def test_the_legend_shows_every_colour() -> None:
    shown = colors_of(legend_image(CLASSES, extra=[("no label", NO_LABEL)]))
    assert {(0, 0, 255), (0, 255, 0), NO_LABEL} <= shown


def metrics_csv(path: Path, rows: list[dict[str, float]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, sorted({key for row in rows for key in row}))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())
    return path


def test_curves_take_the_last_value_of_an_epoch_and_prefer_the_epochs_mean(tmp_path: Path) -> None:
    path = metrics_csv(
        tmp_path / "metrics.csv",
        [
            {"epoch": 0, "step": 4, "train/loss_step": 9.0},
            {"epoch": 0, "step": 9, "val/loss": 2.0, "val/miou": 0.1},
            {"epoch": 0, "step": 9, "train/loss_epoch": 3.0},
            {"epoch": 1, "step": 19, "val/loss": 1.5},
            {"epoch": 1, "step": 19, "val/loss": 1.0},
            {"step": 19, "lr": 0.1},
        ],
    )
    assert read_curves(path) == {
        "train/loss": [(0, 3.0)],
        "val/loss": [(0, 2.0), (1, 1.0)],
        "val/miou": [(0, 0.1)],
    }


def test_files_without_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_curves(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'epoch'"):
        read_curves(tmp_path / "other.csv")


def test_a_legend_may_have_a_title() -> None:
    plain, titled = legend_image(CLASSES), legend_image(CLASSES, title="image | truth | map, $ and more")
    assert titled.shape[0] > plain.shape[0]
    assert {(0, 0, 255), (0, 255, 0)} <= colors_of(titled)


def test_the_scales_show_both_ends_of_both_ramps() -> None:
    shown = colors_of(scale_image(0, 40, 5, label="height, m", title="image | truth | estimate | error"))
    assert {(0x44, 0x01, 0x54), (0xFD, 0xE7, 0x25), (0x05, 0x30, 0x61), (0x67, 0x00, 0x1F)} <= shown


def sheet(*answers: tuple[str, str]) -> np.ndarray:
    return contact_sheet(
        [np.full((8, 8, 3), 40 * (number + 1), np.uint8) for number in range(len(answers))], answers
    )


def test_a_sheet_shows_every_chip_and_wrong_answers_in_red() -> None:
    right = sheet(*[("wood", "wood")] * 5)
    assert {(40,) * 3, (80,) * 3, (120,) * 3, (160,) * 3, (200,) * 3} <= colors_of(right)
    assert WRONG not in colors_of(right)
    assert WRONG in colors_of(sheet(("wood", "wood"), ("wood", "water")))


def test_a_chip_without_label_is_neither_right_nor_wrong() -> None:
    shown = sheet(("", "water"))
    assert WRONG not in colors_of(shown)
    assert (shown != sheet(("", "wood"))).any()


def test_long_names_are_cut_and_dollars_start_no_formula() -> None:
    assert shorten("a name", 6) == "a name"
    assert shorten("a longer name", 6) == "a lon…"
    assert shorten("$b$", 9) == r"\$b\$"


def test_a_chart_has_the_size_that_was_asked_for() -> None:
    chart, axes = new_chart(2.0, 1.0)
    axes.plot([0, 1], [0, 1])
    assert render(chart).shape == (CHART_DPI, 2 * CHART_DPI, 3)
