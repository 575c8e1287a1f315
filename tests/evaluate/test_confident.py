"""Confident learning against an obvious version, and on labels of which it is known which are wrong."""

import numpy as np
import pytest

from eoseg.evaluate.confident import (
    NOT_CONFIDENT,
    ClassThresholds,
    confident_classes,
    confident_joint,
    estimated_joint,
    expected_errors,
    judge,
    margins,
    rivals,
)


def noisy(rng: np.random.Generator, count: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of a good network, given labels, and which of these are wrong."""
    true = rng.integers(0, 4, count)
    logits = rng.normal(0, 1, (count, 4))
    logits[np.arange(count), true] += 3.5
    wrong = rng.random(count) < share
    given = np.where(wrong, (true + rng.integers(1, 4, count)) % 4, true)
    exp = np.exp(logits)
    return exp / exp.sum(axis=1, keepdims=True), given, wrong


def test_wrong_labels_are_found_with_few_false_alarms():
    probabilities, given, wrong = noisy(np.random.default_rng(0), 4000, 0.1)
    found = judge(probabilities, given)
    suspects = found.suspects(given)
    hits = wrong[suspects]
    assert hits.mean() > 0.9  # precision
    assert hits.sum() / wrong.sum() > 0.9  # recall
    assert wrong[suspects[:100]].all()  # the worst come first
    assert (np.diff(found.margin[suspects]) >= 0).all()


def test_clean_labels_give_few():
    probabilities, given, _ = noisy(np.random.default_rng(1), 4000, 0.0)
    assert len(judge(probabilities, given).suspects(given)) < 0.02 * 4000


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
def test_the_joint_estimates_the_share_of_wrong_labels(share: float):
    probabilities, given, wrong = noisy(np.random.default_rng(2), 6000, share)
    found = judge(probabilities, given)
    joint = estimated_joint(found.joint, found.labels)
    assert joint.sum() == pytest.approx(1)
    assert 1 - np.trace(joint) == pytest.approx(wrong.mean(), abs=0.03)


def test_thresholds_and_joint_are_those_of_an_obvious_version():
    probabilities, given, _ = noisy(np.random.default_rng(3), 300, 0.2)
    thresholds = ClassThresholds(4)
    for part in np.array_split(np.arange(300), 7):
        thresholds.add(probabilities[part], given[part])
    own = np.array([min(probabilities[given == k, k].mean(), 0.9) for k in range(4)])
    np.testing.assert_allclose(thresholds.values, own, rtol=1e-12)
    joint = np.zeros((4, 4), int)
    for row, label in zip(probabilities, given, strict=True):
        sure = [k for k in range(4) if row[k] >= own[k]]
        if sure:
            joint[label, max(sure, key=lambda k: row[k])] += 1
    confident = confident_classes(probabilities, thresholds.values)
    np.testing.assert_array_equal(confident_joint(given, confident, 4), joint)


def test_a_class_without_labels_is_never_proposed():
    thresholds = ClassThresholds(3)
    probabilities = np.array([[0.1, 0.2, 0.7], [0.2, 0.7, 0.1]])
    thresholds.add(probabilities, np.array([0, 1]))
    assert confident_classes(probabilities, thresholds.values).tolist() == [0, 1]


def test_where_nothing_is_sure_there_is_no_class_and_labels_are_taken_as_right():
    probabilities = np.array([[0.5, 0.5], [0.4, 0.6]])
    assert confident_classes(probabilities, np.array([0.9, 0.9])).tolist() == [NOT_CONFIDENT] * 2
    joint = estimated_joint(np.zeros((2, 2), np.int64), np.array([30, 10]))
    np.testing.assert_allclose(joint, [[0.75, 0], [0, 0.25]])


def test_the_margin_is_to_the_likeliest_other_class():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    np.testing.assert_allclose(margins(probabilities, np.array([0, 0])), [0.5, -0.5])
    assert rivals(probabilities, np.array([0, 0])).tolist() == [1, 2]
    assert probabilities[0, 0] == 0.7  # nothing is changed


def test_errors_are_expected_in_proportion_to_what_is_sure():
    counted = np.array([[40, 10], [0, 25]])
    assert expected_errors(counted, np.array([100, 30])).tolist() == [[0, 20], [0, 0]]
