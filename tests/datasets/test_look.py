"""Seasons change what grows, and nothing else."""

import numpy as np

from eoseg.datasets.landscape import BUILT, FIELD, FOREST, WATER, make_landscape
from eoseg.datasets.look import Season, observe


def look(green: float, leaves: float, canopy: float) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance of one landscape, always with the same haze, sun and noise."""
    land = make_landscape(np.random.default_rng(3), 160, 160)
    shape = land.classes.shape
    season = Season(np.full(shape, green, np.float32), leaves, np.full(shape, canopy, np.float32))
    return observe(land, np.random.default_rng(5), season), land.classes


def inner(classes: np.ndarray, value: int) -> np.ndarray:
    """Pixels of a class whose neighbours, up to the optics' reach, are of it too."""
    there = classes == value
    for axis in (0, 1):
        for shift in (-2, -1, 1, 2):
            there = there & np.roll(there, shift, axis)
    there[:2] = there[-2:] = there[:, :2] = there[:, -2:] = False
    return there


def test_green_fields_reflect_more_infrared_and_less_red() -> None:
    (bare, classes), (green, _) = look(0.0, 1.0, 15.0), look(1.0, 1.0, 15.0)
    field = inner(classes, FIELD)
    assert (green[3][field] > bare[3][field]).mean() > 0.95
    assert (green[2][field] < bare[2][field]).mean() > 0.95


def test_tall_crowns_are_darker_and_leaves_matter_to_trees_alone() -> None:
    (low, classes), (tall, _), (winter, _) = look(0.5, 1.0, 5.0), look(0.5, 1.0, 30.0), look(0.5, 0.0, 5.0)
    forest = inner(classes, FOREST)
    assert tall[3][forest].mean() < 0.75 * low[3][forest].mean()
    assert winter[3][forest].mean() < 0.9 * low[3][forest].mean()
    for value in (WATER, BUILT):
        there = inner(classes, value)
        np.testing.assert_array_equal(winter[:, there], low[:, there])
