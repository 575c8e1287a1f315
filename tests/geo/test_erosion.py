"""Class borders, against a disc that is laid on each pixel."""

import numpy as np
import pytest

from eoseg.geo.erosion import RADIUS, ErodedLabels, near_border
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE


def slow(labels: np.ndarray, radius: int) -> np.ndarray:
    near = np.zeros(labels.shape, bool)
    for (row, col), label in np.ndenumerate(labels):
        for (other_row, other_col), other in np.ndenumerate(labels):
            apart = (row - other_row) ** 2 + (col - other_col) ** 2 <= radius**2
            if apart and IGNORE not in (label, other) and label != other:
                near[row, col] = True
    return near


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_near_a_border_is_where_a_disc_holds_another_class(radius: int) -> None:
    rng = np.random.default_rng(radius)
    labels = rng.choice([0, 0, 0, 0, 0, 0, 1, IGNORE], (17, 14)).astype(np.uint8)
    labels[:, 9:] = 2
    np.testing.assert_array_equal(near_border(labels, radius=radius), slow(labels, radius))


def test_a_straight_border_loses_three_pixels_on_each_side() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[:, 10:] = 1
    assert near_border(labels).any(axis=0).nonzero()[0].tolist() == list(range(10 - RADIUS, 10 + RADIUS))


def test_beside_what_has_no_label_there_is_no_border() -> None:
    labels = np.zeros((12, 12), np.uint8)
    labels[:, 6:] = IGNORE
    assert not near_border(labels).any()


class Held:
    """Labels in memory."""

    path = "held"

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = np.pad(labels, 50, constant_values=IGNORE)
        self.closed = False

    def read(self, window: Window) -> np.ndarray:
        return self.labels[window.shift(50, 50).slices_in(Window(0, 0, *self.labels.shape))]

    def close(self) -> None:
        self.closed = True


def test_windows_are_eroded_as_the_whole_scene_is() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (8, 8)).repeat(3, 0).repeat(3, 1).astype(np.uint8)
    held = Held(labels)
    reader = ErodedLabels(held)  # type: ignore[arg-type]
    whole = reader.read(Window(0, 0, 24, 24))
    np.testing.assert_array_equal(whole == IGNORE, slow(labels, RADIUS))
    for row in (0, 5, 15):
        window = Window(row, 16 - row, 9, 8)
        np.testing.assert_array_equal(reader.read(window), whole[window.slices_in(Window(0, 0, 24, 24))])
    reader.close()
    assert held.closed
