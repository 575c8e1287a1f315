import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoseg.errors import ConfigError
from eoseg.geo.window import Window

SMALL = st.integers(-6, 6)
SIZE = st.integers(1, 8)
WINDOWS = st.builds(Window, SMALL, SMALL, SIZE, SIZE)


def pixels(window: Window) -> set[tuple[int, int]]:
    return {
        (row, col) for row in range(window.row, window.row_stop) for col in range(window.col, window.col_stop)
    }


@given(WINDOWS, WINDOWS)
def test_the_intersection_holds_the_common_pixels(one: Window, other: Window):
    common = one.intersection(other)
    assert (pixels(common) if common else set()) == pixels(one) & pixels(other)
    assert one.contains(other) == (pixels(other) <= pixels(one))


@given(WINDOWS, SMALL, SMALL)
def test_shifting_moves_every_pixel(window: Window, rows: int, cols: int):
    assert pixels(window.shift(rows, cols)) == {(row + rows, col + cols) for row, col in pixels(window)}


def test_growing_adds_pixels_on_each_side():
    assert Window(2, 3, 4, 5).grow(2) == Window(0, 1, 8, 9)
    assert Window(2, 3, 4, 5).grow(-1) == Window(3, 4, 2, 3)


def test_from_stops_is_half_open():
    assert Window.from_stops(1, 2, 4, 6) == Window(1, 2, 3, 4)


def test_slices_find_the_window_in_an_array_of_the_outer_one():
    outer, inner = Window(-2, 5, 6, 6), Window(0, 6, 2, 3)
    array = np.zeros((6, 6))
    array[inner.slices_in(outer)] = 1
    assert array.sum() == 6
    assert array[2, 1] == 1
    assert array[3, 3] == 1


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (-1, 3)])
def test_an_empty_window_is_refused(size: tuple[int, int]):
    with pytest.raises(ConfigError, match="height and width of at least 1"):
        Window(0, 0, *size)


def test_fractions_of_pixels_are_refused():
    with pytest.raises(TypeError, match=r"row must be an integer, got 0.5"):
        Window(0.5, 0, 1, 1)  # type: ignore[arg-type]
