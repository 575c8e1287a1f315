"""How accurate a map is where it is surest: accuracy against coverage, and where to mask for an accuracy.

Whoever leaves out the answers of which a network is least sure keeps fewer that are better: coverage is the
share that is kept, risk the share of these that is wrong (El-Yaniv and Wiener 2010,
https://jmlr.org/papers/v11/el-yaniv10a.html; for deep networks Geifman and El-Yaniv 2017,
https://arxiv.org/abs/1705.08500). Everything follows from whole numbers in steps of confidence, so that
memory does not grow with the pixels and any division over processes gives the same. A figure that is not
defined is None.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 1000
"""Steps of equal width between 0 and 1; a confidence of exactly 1 is in the last."""

COVERAGES = tuple(round(0.05 * number, 2) for number in range(1, 21))
"""Where the curve is written down."""

TARGETS = (0.9, 0.95, 0.99)
"""Accuracies for which a place to mask is looked for."""

_EULER = 0.5772156649015329
_SMALL = 64


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of a map of which the unsure part is masked."""

    confidence: float
    """Answers below it are left out."""
    coverage: float
    """Share of the answers that stays."""
    accuracy: float
    """Share of these that is right."""


@dataclass(frozen=True, slots=True, eq=False)
class SelectiveCurve:
    """Answers by their confidence, which is the probability of the class that is mapped."""

    count: NDArray[np.int64]
    """`(STEPS,)`."""
    right: NDArray[np.int64]
    """Of these, the right ones."""

    @property
    def total(self) -> int:
        """Pixels or chips."""
        return int(self.count.sum())

    @property
    def aurc(self) -> float | None:
        """Area under risk against coverage, 0 to 1: the mean risk of the surest 1, 2 ... N answers.

        Answers of one step are alike: the value is the mean over all orders that they may have.
        """
        if not self.total:
            return None
        held = self.count[::-1] > 0  # the surest first
        sizes = self.count[::-1][held].astype(np.float64)
        wrong = (self.count - self.right)[::-1][held].astype(np.float64)
        ends, errors = np.cumsum(sizes), np.cumsum(wrong)
        starts, before = ends - sizes, errors - wrong
        # Of the i-th answer within a step, with a share of e errors: the sum of (before + (i - start) e) / i.
        share = wrong / sizes
        parts = (before - starts * share) * (_harmonic(ends) - _harmonic(starts)) + wrong
        return float(parts.sum()) / self.total

    def accuracy(self, coverage: float) -> float | None:
        """Share of right answers among those of which the network is surest.

        Args:
            coverage: Which share of all answers that is, above 0 to 1. A step that is kept in part counts
                with its mean.
        """
        if not self.total:
            return None
        kept = coverage * self.total
        counts = np.concatenate([[0], self.count[::-1].cumsum()])
        rights = np.concatenate([[0], self.right[::-1].cumsum()])
        return float(np.interp(kept, counts, rights)) / kept

    def confidence(self, coverage: float) -> float | None:
        """The confidence from which at least so large a share is kept; a multiple of 1 / `STEPS`."""
        if not self.total:
            return None
        kept = self.count[::-1].cumsum()
        step = STEPS - 1 - int(np.searchsorted(kept, coverage * self.total - 1e-9))
        return step / STEPS

    def mask_for(self, accuracy: float) -> Kept | None:
        """Where to mask for an accuracy so that most is left; None where no share is as accurate.

        Args:
            accuracy: Share of right answers that is wanted, as these very answers have it.
        """
        kept, right = self.count[::-1].cumsum(), self.right[::-1].cumsum()
        good = np.flatnonzero((self.count[::-1] > 0) & (right >= accuracy * kept))
        if not good.size:
            return None
        last = int(good[-1])
        return Kept(
            (STEPS - 1 - last) / STEPS, float(kept[last]) / self.total, float(right[last]) / float(kept[last])
        )

    def points(self) -> NDArray[np.float64]:
        """Coverage and accuracy after each step that holds answers, the surest first: `(n, 2)`."""
        kept, right = self.count[::-1].cumsum(), self.right[::-1].cumsum()
        held = self.count[::-1] > 0
        return np.stack([kept[held] / max(self.total, 1), right[held] / np.maximum(kept[held], 1)], axis=1)

    def rows(self) -> list[list[float | None]]:
        """Coverage, accuracy and confidence at each of `COVERAGES`."""
        return [[share, self.accuracy(share), self.confidence(share)] for share in COVERAGES]

    def to_dict(self) -> dict[str, Any]:
        """Figures and curve as plain values, for JSON."""
        coverage, accuracy, confidence = zip(*self.rows(), strict=True)
        masks = {target: self.mask_for(target) for target in TARGETS}
        return {
            "aurc": self.aurc,
            "count": self.total,
            "curve": {
                "coverage": list(coverage),
                "accuracy": list(accuracy),
                "confidence": list(confidence),
            },
            "mask_for_accuracy": {
                f"{target:g}": None
                if mask is None
                else {"confidence": mask.confidence, "coverage": mask.coverage, "accuracy": mask.accuracy}
                for target, mask in masks.items()
            },
        }


def step_of(confidence: NDArray[np.float32]) -> NDArray[np.int64]:
    """Number of the step that each confidence falls into, 0 to `STEPS` - 1."""
    return (confidence * np.float32(STEPS)).astype(np.int64).clip(0, STEPS - 1)


def _harmonic(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums 1 + 1/2 + ... + 1/n, to 1e-12 (Euler-Maclaurin for large n)."""
    table = np.concatenate([[0.0], (1 / np.arange(1, _SMALL + 1)).cumsum()])
    large = np.maximum(numbers, _SMALL)
    series = np.log(large) + _EULER + 1 / (2 * large) - 1 / (12 * large**2) + 1 / (120 * large**4)
    return np.where(numbers <= _SMALL, table[np.minimum(numbers, _SMALL).astype(int)], series)
