"""Reliability against a slow and obvious count, and what is refused as a probability."""

import numpy as np
import pytest

from eoseg.calibration import BINS, bin_of, measure_reliability, require_chances
from eoseg.errors import DataError

NAMES = ["a", "b", "c"]


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def world(count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (count, 3))
    chances = softmax(logits)
    reference = (rng.random(count)[:, None] > softmax(logits / 2).cumsum(axis=1)).sum(axis=1).clip(max=2)
    reference[:50] = 255
    return chances.astype(np.float32), reference


def slow_ece(confidence: np.ndarray, right: np.ndarray) -> float:
    total = 0.0
    for place in range(BINS):
        inside = [n for n, value in enumerate(confidence) if int(min(value * BINS, BINS - 1)) == place]
        if inside:
            total += abs(confidence[inside].mean() - right[inside].mean()) * len(inside)
    return total / len(confidence)


def test_the_figures_are_those_of_an_obvious_count() -> None:
    chances, reference = world()
    found = measure_reliability(chances, reference, NAMES)
    known = reference != 255
    given, truth = chances[known].astype(np.float64), reference[known]
    hit = np.eye(3)[truth]
    assert found.total == 4950
    assert found.ece == pytest.approx(slow_ece(given.max(axis=1), given.argmax(axis=1) == truth), abs=1e-9)
    for place, name in enumerate(NAMES):
        expected = slow_ece(given[:, place], hit[:, place])
        assert found.class_ece[name] == pytest.approx(expected, abs=1e-9)
    assert found.brier == pytest.approx(((given - hit) ** 2).sum(axis=1).mean(), abs=1e-10)
    assert found.nll == pytest.approx(-np.log(given[np.arange(len(truth)), truth]).mean(), abs=1e-10)


def test_probabilities_that_come_true_have_no_error() -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(3), 200_000)
    reference = (rng.random(len(chances))[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(max=2)
    found = measure_reliability(chances, reference, NAMES)
    assert found.ece is not None
    assert found.ece < 0.005
    assert max(found.class_ece.values()) < 0.005  # type: ignore[type-var]


def test_too_sure_a_network_has_the_error_that_was_planted() -> None:
    chances = np.tile([[0.9, 0.1]], (1000, 1))
    reference = np.repeat([0, 1], [700, 300])
    found = measure_reliability(chances, reference, NAMES[:2])
    assert found.ece == pytest.approx(0.2, abs=1e-6)
    assert found.class_ece == {"a": pytest.approx(0.2, abs=1e-6), "b": pytest.approx(0.2, abs=1e-6)}
    assert found.brier == pytest.approx(0.7 * 2 * 0.01 + 0.3 * 2 * 0.81, abs=1e-6)


def test_an_edge_belongs_to_the_bin_above_and_one_to_the_last() -> None:
    assert bin_of(np.array([0.0, 0.2, 0.2000001, 1.0], np.float32)).tolist() == [0, 3, 3, BINS - 1]


def test_without_labels_nothing_is_defined() -> None:
    found = measure_reliability(np.ones((2, 3)) / 3, np.array([255, 255]), NAMES)
    assert (found.ece, found.brier, found.nll, found.total) == (None, None, None, 0)
    assert found.to_dict()["class_ece"] == dict.fromkeys(NAMES)


@pytest.mark.parametrize(
    ("chances", "message"),
    [
        ([[0.5, 0.6]], "must sum to one; found a sum of 1.1"),
        ([[0.5, 0.4]], "must sum to one; found a sum of 0.9"),
        ([[2.0, -1.0]], "numbers from 0 to 1; found -1 to 2"),
        ([[np.nan, 0.5]], "numbers from 0 to 1; found nan"),
    ],
)
def test_what_is_no_probability_is_refused(chances: list[list[float]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        require_chances(np.array(chances))
    with pytest.raises(DataError, match=message):
        measure_reliability(np.array(chances), np.array([0]), NAMES[:2])


def test_probabilities_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(2, 3\); found \(2, 2\)"):
        measure_reliability(np.ones((2, 2)) / 2, np.array([0, 1]), NAMES)
