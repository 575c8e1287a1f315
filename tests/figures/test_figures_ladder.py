"""The picture of a ladder."""

import io

import numpy as np
import pytest

from eoseg.figures.ladder import ladder_chart

ROWS = [("majority", [(0.1, 0.1, 0.1), (0.3, 0.3, 0.3)]), ("U-Net", [(0.8, 0.7, 0.9), None])]
BLUE, ORANGE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


def pixels(png: bytes) -> np.ndarray:
    import matplotlib.image

    assert png.startswith(b"\x89PNG")
    return (matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).round().astype(int)


def columns(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Where a colour stands above the legend, the lowest tenth of the picture."""
    upper = image[: int(0.8 * len(image))]
    return np.flatnonzero((upper == color).all(axis=2).any(axis=0))


def test_a_better_method_stands_further_right_with_its_range() -> None:
    one = columns(pixels(ladder_chart("demo", ROWS[:1], ["F1", "mIoU"])), BLUE)
    both = columns(pixels(ladder_chart("demo", ROWS, ["F1", "mIoU"])), BLUE)
    assert one.max() - one.min() < 20  # a dot
    assert both.max() - both.min() > 200  # from the dot at 0.1 to the end of the range at 0.9


def test_a_figure_that_a_method_lacks_is_left_out() -> None:
    image = pixels(ladder_chart("demo", ROWS, ["F1", "mIoU"]))
    assert columns(image, ORANGE).size  # the majority's
    undefined = [(name, [values[0], None]) for name, values in ROWS]
    assert not columns(pixels(ladder_chart("demo", undefined, ["F1", "mIoU"])), ORANGE).size


def test_each_method_takes_a_line_and_the_bytes_are_always_the_same() -> None:
    short, tall = (pixels(ladder_chart("demo", ROWS * count, ["F1", "mIoU"])) for count in (1, 4))
    assert tall.shape[0] > 1.5 * short.shape[0]
    assert tall.shape[1] == short.shape[1]
    assert ladder_chart("demo", ROWS, ["F1", "mIoU"]) == ladder_chart("demo", ROWS, ["F1", "mIoU"])


@pytest.mark.parametrize("figures", [["F1"], []])
def test_one_figure_or_none_can_be_drawn(figures: list[str]) -> None:
    rows = [(name, values[: len(figures)]) for name, values in ROWS]
    image = pixels(ladder_chart("demo", rows, figures))
    assert bool(columns(image, BLUE).size) == bool(figures)
    assert not columns(image, ORANGE).size
