import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from eoseg.errors import DataError
from eoseg.figures import (
    NO_LABEL,
    RIGHT,
    WRONG,
    class_bars,
    class_image,
    confusion_image,
    curve_images,
    enlarge,
    error_image,
    error_mask,
    legend_image,
    png_bytes,
    read_curves,
    rgb_bands,
    rgb_image,
    side_by_side,
)
from eoseg.recipe import BandStatistics, Statistics, parse_classes

CLASSES = parse_classes({"water": "#0000FF", "wood": "#00FF00"})


def statistics(*names: str, low: float = 100, high: float = 300) -> Statistics:
    bands = tuple(BandStatistics(name, 200, 50, 0, low, high, 400) for name in names)
    return Statistics(bands, "uint16", 100, 100, (50, 50))


def decode(png: bytes) -> np.ndarray:
    """Read a PNG with a library that did not write it."""
    return np.asarray(Image.open(io.BytesIO(png)))


def colors_of(image: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(color) for color in image.reshape(-1, 3).tolist()}


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["red", "green", "blue"], [0, 1, 2]),
        (["blue", "green", "red", "nir"], [2, 1, 0]),
        (["B02", "B03", "B04", "B08"], [2, 1, 0]),
        (["B1", "B2", "B3", "B4"], [3, 2, 1]),
        (["Blue", "Green", "Red"], [2, 1, 0]),
        (["band_1", "band_2", "band_3", "band_4"], [0, 1, 2]),
        (["VV", "VH"], [0, 0, 0]),
        (["pan"], [0, 0, 0]),
    ],
)
def test_colours_are_found_by_name(names: list[str], places: list[int]) -> None:
    assert rgb_bands(names) == places


def test_the_stretch_runs_from_low_to_high_of_the_statistics() -> None:
    image = np.array([[[0, 100, 200, 300, 999]]], np.float32)
    rgb = rgb_image(image, statistics("pan"))
    assert rgb[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert (rgb[..., 0] == rgb[..., 2]).all()


def test_invalid_pixels_are_white_and_nan_does_no_harm() -> None:
    image = np.array([[[np.nan, 100]]], np.float32)
    rgb = rgb_image(image, statistics("pan"), np.array([[False, True]]))
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[0, 1].tolist() == [0, 0, 0]


def test_a_constant_band_does_not_divide_by_zero() -> None:
    assert rgb_image(np.full((1, 2, 2), 7, np.float32), statistics("pan", low=7, high=7)).max() == 0


def test_another_number_of_bands_is_refused() -> None:
    with pytest.raises(DataError, match="image with the 2 bands of the statistics was expected"):
        rgb_image(np.zeros((3, 4, 4), np.float32), statistics("a", "b"))


def test_classes_get_their_colours_and_no_label_is_grey() -> None:
    rgb = class_image(np.array([[0, 1, 255]]), CLASSES)
    assert [tuple(color) for color in rgb[0].tolist()] == [(0, 0, 255), (0, 255, 0), NO_LABEL]


@pytest.mark.parametrize("value", [2, -1, 254])
def test_a_value_that_is_no_class_is_refused(value: int) -> None:
    with pytest.raises(DataError, match=f"found {value}"):
        class_image(np.array([[value]]), CLASSES)


def test_errors_are_right_wrong_or_not_known() -> None:
    mask = error_mask(np.array([0, 0, 255, 1, 255]), np.array([0, 1, 0, 255, 255]))
    assert mask.tolist() == [0, 1, 255, 255, 255]
    assert [tuple(color) for color in error_image(mask[None])[0].tolist()] == [
        RIGHT,
        WRONG,
        NO_LABEL,
        NO_LABEL,
        NO_LABEL,
    ]


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))))
def test_a_png_holds_exactly_the_pixels(rgb: np.ndarray) -> None:
    assert (decode(png_bytes(rgb)) == rgb).all()


def test_the_same_pixels_give_the_same_bytes() -> None:
    matrix = np.array([[5, 1], [0, 7]])
    first, second = (png_bytes(confusion_image(matrix, ["a", "b"])) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.float32), np.zeros((0, 2, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match="A picture is uint8"):
        png_bytes(wrong)


def test_pictures_are_joined_with_a_white_gap() -> None:
    black = np.zeros((2, 3, 3), np.uint8)
    assert side_by_side([black, black], gap=2)[0, :, 0].tolist() == [0, 0, 0, 255, 255, 0, 0, 0]


def test_small_pictures_are_enlarged_by_whole_factors() -> None:
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarge(small, at_least=5)
    assert large.shape == (6, 6, 3)
    assert (large[::3, ::3] == small).all()
    assert enlarge(large, at_least=6) is not None
    assert enlarge(large, at_least=2).shape == large.shape


def test_the_legend_shows_every_colour() -> None:
    shown = colors_of(legend_image(CLASSES, extra=[("no label", NO_LABEL)]))
    assert {(0, 0, 255), (0, 255, 0), NO_LABEL} <= shown


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


def test_bars_are_as_long_as_their_figures() -> None:
    blue = (107, 174, 214)

    def length(value: float | None) -> int:
        image = class_bars({"a": value}, title="IoU")
        return int((image == blue).all(axis=2).sum(axis=1).max())

    assert length(0.8) == pytest.approx(2 * length(0.4), rel=0.02)
    assert length(None) == 0
    with_line = class_bars({"a": 0.5}, title="IoU", intervals={"a": (0.4, 0.6)})
    assert (with_line != class_bars({"a": 0.5}, title="IoU")).any()


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


def test_curves_become_two_pictures_in_their_colours() -> None:
    curves = {name: [(0, 0.9), (1, 0.5)] for name in ("train/loss", "val/loss", "val/miou", "val/oa")}
    pictures = curve_images(curves)
    assert list(pictures) == ["loss", "validation scores"]
    assert (0, 114, 178) in colors_of(pictures["loss"])
    assert list(curve_images({"val/loss": [(0, 1.0)]})) == ["loss"]


def test_files_without_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_curves(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'epoch'"):
        read_curves(tmp_path / "other.csv")
    with pytest.raises(DataError, match="no learning curve"):
        curve_images({"lr": [(0, 0.1)]})
