"""Which places to label next: where a network is unsure, and unlike those chosen already."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.window import Window


@dataclass(frozen=True, slots=True)
class Chosen:
    """A place that was chosen."""

    number: int
    """Its place among the candidates."""
    novelty: float
    """Distance of its features from the nearest place chosen or labelled before, 0 to 1 of the largest."""


def choose_places(
    uncertainty: NDArray[np.float64],
    features: NDArray[np.float32],
    places: Sequence[tuple[int, Window]],
    *,
    count: int,
    labelled: NDArray[np.bool_] | None = None,
) -> list[Chosen]:
    """Choose places one by one: each has the most uncertainty times novelty of those that are left.

    Those of which the network is less sure than on average come first, and places do not touch each other, as
    long as there are such.

    The greedy choice of centres of Sener and Savarese 2018 (https://arxiv.org/abs/1708.00489), whose
    distances
    are weighted by the uncertainty.

    Args:
        uncertainty: `(n,)`, 0 to 1.
        features: `(n, D)`.
        places: Scene and window of each.
        count: How many to choose, at most n.
        labelled: Which places are labelled already `(n,)`: they are not chosen, and nothing like them is new.
    """
    known = np.zeros(len(uncertainty), np.bool_) if labelled is None else labelled
    scaled = _scaled(features)
    largest = 2 * float(np.sqrt((scaled**2).sum(axis=1)).max()) or 1.0
    far = np.full(len(scaled), largest)
    for number in np.flatnonzero(known).tolist():
        far = np.minimum(far, _distances(scaled, number))
    free, apart = ~known, ~known
    unsure = uncertainty >= uncertainty[free].mean() if free.any() else free
    chosen: list[Chosen] = []
    while len(chosen) < count and free.any():
        allowed = next(held for held in (apart & unsure, apart, free) if held.any())
        score = np.where(allowed, (uncertainty + 1e-9) * (far / largest + 1e-9), -1.0)
        best = int(score.argmax())
        chosen.append(Chosen(best, float(far[best] / largest)))
        far = np.minimum(far, _distances(scaled, best))
        free[best] = False
        apart &= free & ~_touching(places, best)
    return chosen


def _scaled(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Features of mean 0 and deviation 1; constant ones say nothing."""
    held = features.astype(np.float64)
    deviation = held.std(axis=0)
    return np.asarray((held - held.mean(axis=0)) / np.where(deviation > 1e-9, deviation, np.inf))


def _distances(features: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(((features - features[number]) ** 2).sum(axis=1)))


def _touching(places: Sequence[tuple[int, Window]], number: int) -> NDArray[np.bool_]:
    """Which places share a border or a corner with one."""
    scene, window = places[number]
    around = window.grow(1)
    return np.array([other == scene and around.intersection(area) is not None for other, area in places])
