"""Bars and dots are drawn where the numbers are."""

import numpy as np

from eoseg.figures import AreaRow, area_chart

ROW = AreaRow(
    "a",
    (0, 255, 0),
    mapped=50.0,
    area=60.0,
    area_interval=(55.0, 65.0),
    users=(0.9, (0.8, 1.0)),
    producers=None,
)


def columns(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Columns in which a colour occurs."""
    return np.flatnonzero((np.abs(image.astype(int) - color).max(axis=2) < 12).any(axis=0))


def test_a_bar_is_as_long_as_its_area() -> None:
    large = AreaRow("b", (0, 0, 255), 100.0, 100.0, None, None, None)
    image = area_chart([ROW, large], unit="ha")
    green, blue = columns(image, (0, 255, 0)), columns(image, (0, 0, 255))
    assert green[0] == blue[0]
    assert abs(np.ptp(green) / np.ptp(blue) - 0.5) < 0.02


def test_each_class_is_a_row() -> None:
    heights = [area_chart([ROW] * count, unit="px").shape[0] for count in (2, 4, 6)]
    assert heights[1] - heights[0] == heights[2] - heights[1] > 50


def test_what_is_undefined_is_not_drawn() -> None:
    def orange(row: AreaRow) -> int:
        image = area_chart([row], unit="ha")
        legend = int(image.shape[0] * 0.78)  # its own marker is below
        return len(columns(image[:legend], (0xD5, 0x5E, 0)))

    with_it = AreaRow("a", (0, 255, 0), 50.0, 60.0, None, None, (0.5, (0.3, 0.7)))
    assert orange(with_it) > 30
    assert orange(ROW) == 0
