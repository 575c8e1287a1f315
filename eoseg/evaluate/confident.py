"""Confident learning: labels that are probably wrong, by a network that did not train on them.

Northcutt, Jiang, Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels
(https://doi.org/10.1613/jair.1.12125), written plainly. A label counts as wrong where the network is as
sure of another class as it is, on average, of those that bear that class's label.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SURE = 0.9
"""A probability that is sure enough: networks whose mean is higher call half of all that they know unsure."""

NOT_CONFIDENT = -1
"""Where the network is not sure enough of any class."""


class ClassThresholds:
    """The mean probability of each class over what bears its label; add up some at a time."""

    def __init__(self, classes: int) -> None:
        """Begin.

        Args:
            classes: K.
        """
        self._sums = np.zeros(classes)
        self.counts = np.zeros(classes, np.int64)
        """Labels of each class so far, `(K,)`."""

    def add(self, probabilities: NDArray[np.floating], given: NDArray[np.integer]) -> None:
        """Add what was predicted.

        Args:
            probabilities: `(n, K)`.
            given: Labels `(n,)`, 0 to K - 1.
        """
        own = probabilities[np.arange(len(given)), given].astype(np.float64)
        self._sums += np.bincount(given, weights=own, minlength=len(self._sums))
        self.counts += np.bincount(given, minlength=len(self.counts))

    @property
    def values(self) -> NDArray[np.float64]:
        """`(K,)`, 0.9 at most; infinite for a class without labels, which is then never proposed."""
        means = np.minimum(self._sums / np.maximum(self.counts, 1), _SURE)
        return np.where(self.counts > 0, means, np.inf)


def confident_classes(
    probabilities: NDArray[np.floating], thresholds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The likeliest of the classes that the network is sure of, `(n,)`; `NOT_CONFIDENT` without any.

    Args:
        probabilities: `(n, K)`.
        thresholds: From which on it is sure of each class, `(K,)`.
    """
    # A tolerance, so that a class of which all probabilities are equal reaches its own mean.
    sure = probabilities >= thresholds - 1e-9
    best = np.where(sure, probabilities, -1.0).argmax(axis=1)
    return np.where(sure.any(axis=1), best, NOT_CONFIDENT)


def margins(probabilities: NDArray[np.floating], given: NDArray[np.integer]) -> NDArray[np.float64]:
    """Probability of the given class less that of the likeliest other one, -1 (worst) to 1, `(n,)`."""
    own = np.arange(len(given)), given
    others = probabilities.astype(np.float64)
    held = others[own].copy()
    others[own] = -np.inf
    return np.asarray(held - others.max(axis=1))


def confident_joint(
    given: NDArray[np.integer], confident: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """How often each label meets each confident class, `(K, K)`; rows are the labels."""
    sure = confident != NOT_CONFIDENT
    flat = given[sure].astype(np.int64) * classes + confident[sure]
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def estimated_joint(counted: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each pair of label and true class among all labels, `(K, K)`, summing to 1 (equation 3).

    Args:
        counted: The confident joint.
        labels: Labels of each class, `(K,)`.
    """
    rows = counted.sum(axis=1, keepdims=True)
    # Of a label of which nothing is sure, all is taken to be right.
    conditional = np.where(rows > 0, counted / np.maximum(rows, 1), np.eye(len(counted)))
    joint = conditional * labels[:, None]
    return np.asarray(joint / max(float(joint.sum()), 1e-12))


def expected_errors(counted: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many labels of each class (row) are in truth of each other one, `(K, K)`; 0 on the diagonal.

    The network is sure of a part of the wrong labels as it is of a part of the right ones, so there are
    more of
    them than the confident joint counts.

    Args:
        counted: The confident joint.
        labels: Labels of each class, `(K,)`.
    """
    expected = np.rint(estimated_joint(counted, labels) * labels.sum()).astype(np.int64)
    np.fill_diagonal(expected, 0)
    return expected


def rivals(
    probabilities: NDArray[np.floating] | NDArray[np.uint8], given: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The likeliest class but the given one, `(n,)`."""
    others = probabilities.astype(np.float64)
    others[np.arange(len(given)), given] = -np.inf
    return np.asarray(others.argmax(axis=1))


@dataclass(frozen=True, eq=False)
class Judgement:
    """What confident learning says of some labels."""

    proposed: NDArray[np.int64]
    """The likeliest class but the given one, `(n,)`."""
    margin: NDArray[np.float64]
    """`(n,)`."""
    own: NDArray[np.float64]
    """Probability of the given class, `(n,)` (self-confidence)."""
    joint: NDArray[np.int64]
    """`(K, K)`."""
    labels: NDArray[np.int64]
    """Labels of each class, `(K,)`."""

    def suspects(self, given: NDArray[np.integer]) -> NDArray[np.int64]:
        """Places of the labels that are probably wrong, the worst first.

        Of each pair of classes as many as are expected to be wrong, those of the least margin (in the paper
        "prune by noise rate"); a label that is the likeliest class is never suspect.
        """
        expected = expected_errors(self.joint, self.labels)
        wrong: list[int] = []
        for label, rival in np.argwhere(expected > 0):
            held = np.flatnonzero((given == label) & (self.proposed == rival) & (self.margin < 0))
            order = np.argsort(self.margin[held], kind="stable")
            wrong += held[order[: expected[label, rival]]].tolist()
        found = np.array(sorted(wrong), np.int64)
        return found[np.argsort(self.margin[found], kind="stable")]


def judge(probabilities: NDArray[np.floating], given: NDArray[np.integer]) -> Judgement:
    """Judge labels that fit the memory.

    Args:
        probabilities: `(n, K)`, of a network that did not train on these.
        given: Labels `(n,)`, 0 to K - 1.
    """
    classes = probabilities.shape[1]
    thresholds = ClassThresholds(classes)
    thresholds.add(probabilities, given)
    confident = confident_classes(probabilities, thresholds.values)
    own = probabilities[np.arange(len(given)), given].astype(np.float64)
    joint = confident_joint(given, confident, classes)
    return Judgement(
        rivals(probabilities, given), margins(probabilities, given), own, joint, thresholds.counts
    )
