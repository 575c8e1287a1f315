import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from eoseg.errors import DataError
from eoseg.figures import (
    DETECTIONS,
    NO_LABEL,
    RIGHT,
    WRONG,
    class_image,
    detection_mask,
    difference_image,
    enlarge,
    error_image,
    error_mask,
    png_bytes,
    rgb_bands,
    rgb_image,
    side_by_side,
    value_image,
)
from eoseg.recipe import BandStatistics, Statistics, parse_classes

CLASSES = parse_classes({"water": "#0000FF", "wood": "#00FF00"})


def statistics(*names: str, low: float = 100, high: float = 300) -> Statistics:
    bands = tuple(BandStatistics(name, 200, 50, 0, low, high, 400) for name in names)
    return Statistics(bands, "uint16", 100, 100, (50, 50))


def decode(png: bytes) -> np.ndarray:
    """Read a PNG with a library that did not write it."""
    return np.asarray(Image.open(io.BytesIO(png)))


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


def test_changes_are_found_missed_or_imagined() -> None:
    reference, mapped = np.array([[0, 1, 0, 1, 255, 0]]), np.array([[0, 1, 1, 0, 1, 255]])
    mask = detection_mask(reference, mapped)
    assert mask.tolist() == [[0, 1, 2, 3, 255, 255]]
    names = [DETECTIONS[place].name for place in mask[0, :4]]
    assert names == ["unchanged, right", "change found", "false alarm", "change missed"]
    assert len({entry.color for entry in DETECTIONS}) == 4


def test_values_become_lighter_from_low_to_high_and_stay_beyond() -> None:
    values = np.array([[-9.0, 0.0, 5.0, 10.0, 99.0, np.nan]])
    rgb = value_image(values, 0, 10)[0]
    assert rgb[0].tolist() == rgb[1].tolist() == [0x44, 0x01, 0x54]
    assert rgb[2].tolist() == [0x21, 0x91, 0x8C]
    assert rgb[3].tolist() == rgb[4].tolist() == [0xFD, 0xE7, 0x25]
    assert tuple(rgb[5].tolist()) == NO_LABEL
    lightness = value_image(np.linspace(0, 10, 50)[None], 0, 10)[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_differences_are_white_at_zero_blue_below_and_red_above() -> None:
    rgb = difference_image(np.array([[-7.0, -2.0, 0.0, 2.0, np.nan]]), 2.0)[0].astype(int)
    assert rgb[2].tolist() == [0xF7] * 3
    assert rgb[0].tolist() == rgb[1].tolist()
    assert rgb[1, 2] > rgb[1, 0]
    assert rgb[3, 0] > rgb[3, 2]
    assert tuple(rgb[4].tolist()) == NO_LABEL


def test_a_scale_without_extent_does_not_divide_by_zero() -> None:
    assert value_image(np.array([[3.0]]), 3, 3).shape == (1, 1, 3)
