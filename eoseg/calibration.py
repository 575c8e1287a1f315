"""How far probabilities can be believed: of the pixels that get 0.8, are 80 % right?

Everything follows from counts and sums over bins of confidence, so that memory does not grow with the pixels.
A figure that is not defined is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError
from eoseg.recipe import IGNORE

BINS = 15
"""Bins of equal width between 0 and 1, as in Guo et al. 2017; a confidence of exactly 1 is in the last."""

_LEAST = 1e-12
"""Probabilities below this count as this in the log likelihood, which 0 does not have."""

_ONE = 1e-3  # by how much the sum of the probabilities of one pixel may differ from 1


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """What fell into each bin of confidence; arrays `(BINS,)`, or `(K, BINS)` for each class."""

    count: NDArray[np.int64]
    right: NDArray[np.int64]
    """How many of them were right; of a class, how many had it in the reference."""
    confidence: NDArray[np.float64]
    """Sum of their probabilities."""

    @property
    def total(self) -> int:
        """How much fell into all of them."""
        return int(self.count.sum())

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean of |accuracy - confidence|, 0 to 1.

        Guo et al. 2017, https://proceedings.mlr.press/v70/guo17a.html, equation 3.
        """
        total = self.total
        return float(np.abs(self.right - self.confidence).sum()) / total if total else None


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Sums over all pixels or chips that have a label, and the figures that follow from them."""

    names: tuple[str, ...]
    """The K classes."""
    likeliest: Bins
    """Of the likeliest class."""
    each: Bins
    """Of each class on its own."""
    squared: float
    """Sum of the squared differences between probabilities and reference, over all classes."""
    surprise: float
    """Sum of minus the logarithm of the reference's probability."""

    @property
    def total(self) -> int:
        """Pixels or chips."""
        return self.likeliest.total

    @property
    def ece(self) -> float | None:
        """That of the likeliest class."""
        return self.likeliest.ece

    @property
    def class_ece(self) -> dict[str, float | None]:
        """The same for each class on its own, over all pixels (Kull et al. 2019, arXiv:1910.12656, eq. 2)."""
        each = self.each
        return {
            name: Bins(each.count[place], each.right[place], each.confidence[place]).ece
            for place, name in enumerate(self.names)
        }

    @property
    def brier(self) -> float | None:
        """Mean squared difference summed over the classes, 0 to 2 (Brier 1950)."""
        return self.squared / self.total if self.total else None

    @property
    def nll(self) -> float | None:
        """Mean negative log likelihood of the reference, in nats."""
        return self.surprise / self.total if self.total else None

    def to_dict(self) -> dict[str, Any]:
        """Figures and bins as plain values, for JSON."""
        top = self.likeliest
        return {
            "ece": self.ece,
            "class_ece": self.class_ece,
            "brier": self.brier,
            "nll": self.nll,
            "count": self.total,
            "bins": {
                "count": top.count.tolist(),
                "right": top.right.tolist(),
                "confidence": top.confidence.tolist(),
            },
        }


def bin_of(chances: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Number of the bin that each probability falls into: lower edges belong to a bin, upper ones do not."""
    return np.minimum(np.searchsorted(_EDGES, chances, side="right") - 1, BINS - 1)


_EDGES = np.linspace(0, 1, BINS + 1, dtype=np.float32)
"""In float32, as the probabilities, so that one on an edge is on the same side everywhere."""


def measure_reliability(
    chances: NDArray[np.floating[Any]], reference: NDArray[np.integer[Any]], names: Sequence[str]
) -> Reliability:
    """Count how often probabilities come true.

    Args:
        chances: Probabilities `(N, K)`, each row summing to one.
        reference: Classes `(N,)`, or `IGNORE`.
        names: The K classes.

    Raises:
        DataError: The shapes do not fit, or the values are no probabilities that sum to one.
    """
    if chances.ndim != 2 or chances.shape != (len(reference), len(names)):
        raise DataError(
            f"Expected probabilities of shape ({len(reference)}, {len(names)}); found {chances.shape}."
        )
    known = reference != IGNORE
    require_chances(chances[known])
    given, truth = chances[known].astype(np.float32), reference[known].astype(np.int64)
    hit = truth[:, None] == np.arange(len(names))  # (N, K)
    best = given.argmax(axis=1)
    top = given[np.arange(len(given)), best]
    exact = given.astype(np.float64)
    each = [_fill(given[:, place], hit[:, place]) for place in range(len(names))]
    return Reliability(
        names=tuple(names),
        likeliest=_fill(top, best == truth),
        each=Bins(*(np.stack([getattr(one, part) for one in each]) for part in Bins.__slots__)),
        squared=float(((exact - hit) ** 2).sum()),
        surprise=float(-np.log(exact[np.arange(len(exact)), truth].clip(_LEAST)).sum()),
    )


def require_chances(chances: NDArray[np.floating[Any]]) -> None:
    """Refuse values that are no probabilities of classes that exclude each other.

    Args:
        chances: `(N, K)`.

    Raises:
        DataError: A value is no number from 0 to 1, or those of a row do not sum to one.
    """
    if not chances.size:
        return
    low, high = float(chances.min()), float(chances.max())
    if not (low >= 0 and high <= 1 + _ONE):  # NaN is refused too
        raise DataError(f"Probabilities are numbers from 0 to 1; found {low:g} to {high:g}.")
    sums = chances.sum(axis=1, dtype=np.float64)
    worst = float(sums[np.abs(sums - 1).argmax()])
    if abs(worst - 1) > _ONE:
        raise DataError(
            f"The probabilities of a pixel must sum to one; found a sum of {worst:.4g}. Give those of a "
            "softmax, not logits or labels that may hold together."
        )


def _fill(chances: NDArray[np.float32], right: NDArray[np.bool_]) -> Bins:
    places = bin_of(chances)
    return Bins(
        np.bincount(places, minlength=BINS).astype(np.int64),
        np.bincount(places[right], minlength=BINS).astype(np.int64),
        np.bincount(places, weights=chances.astype(np.float64), minlength=BINS),
    )
