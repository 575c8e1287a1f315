"""How far labels resemble each other: the empirical variogram of classes or values, and its range.

For classes the indicator variograms of all classes are summed, which makes half the mean squared difference
the
chance that two places `h` apart have different classes (Goovaerts 1997, Geostatistics for Natural Resources
Evaluation, chapter 7). The model is the exponential one: exact for mosaics of patches with borders at random
(Switzer 1965, https://doi.org/10.1214/aoms/1177699793).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BINS = 18
_LEAST_PAIRS = 60
"""Of a distance class that takes part in the fit."""
_LEAST_CLASSES = 5
_CHUNK = 512
_PRACTICAL = 3.0
"""Lengths of decay after which the exponential model has reached 95 % of its sill: the practical range."""


@dataclass(frozen=True, eq=False)
class Variogram:
    """Half the mean squared difference of pairs of places, by their distance."""

    lags: NDArray[np.float64]
    """Mean distance of each class, `(n,)`, increasing."""
    gamma: NDArray[np.float64]
    """`(n,)`; of classes the share of pairs that differ."""
    pairs: NDArray[np.int64]
    """`(n,)`."""


@dataclass(frozen=True, slots=True)
class VariogramModel:
    """gamma(h) = nugget + sill (1 - exp(-3 h / range))."""

    nugget: float
    sill: float
    """Beside the nugget."""
    range: float
    """Distance from which labels are as different as anywhere, in the unit of the distances."""
    is_bounded: bool
    """Whether the range lies within the distances that were looked at; else it is at least that long."""

    def autocorrelation(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much labels so far apart are alike: 1 the same, 0 as any two; the nugget is lost at once."""
        structured = self.sill / (self.nugget + self.sill) if self.sill > 0 else 0.0
        return np.asarray(structured * np.exp(-_PRACTICAL * distances / self.range))


def variogram(
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    longest: float,
    categorical: bool,
) -> Variogram:
    """Compare all pairs of places up to a distance.

    Args:
        places: Coordinates `(n, 2)`.
        values: Class numbers or values `(n,)`.
        longest: Pairs that are further apart do not count.
        categorical: Whether values are class numbers: they then differ or not.

    Returns:
        Distance classes with enough pairs, which grow with the distance by a constant factor.
    """
    positive = _least_distance(places)
    edges = np.concatenate([[0.0], np.geomspace(max(positive, longest * 1e-4), longest, _BINS)])
    counts, sums, far = np.zeros(_BINS, np.int64), np.zeros(_BINS), np.zeros(_BINS)
    for start in range(0, len(places), _CHUNK):
        stop = min(start + _CHUNK, len(places))
        apart = np.hypot(*(places[start:stop, None] - places[None, start:]).transpose(2, 0, 1))  # (m, n)
        upper = np.arange(len(places) - start)[None] > np.arange(stop - start)[:, None]
        rows, cols = np.nonzero(upper & (apart <= longest))
        distance = apart[rows, cols]
        one, other = values[start + rows], values[start + cols]
        half = (one != other).astype(np.float64) if categorical else 0.5 * (one - other) ** 2
        number = np.clip(np.searchsorted(edges, distance, side="left") - 1, 0, _BINS - 1)
        counts += np.bincount(number, minlength=_BINS)
        sums += np.bincount(number, weights=half, minlength=_BINS)
        far += np.bincount(number, weights=distance, minlength=_BINS)
    held = counts >= _LEAST_PAIRS
    return Variogram(far[held] / counts[held], sums[held] / counts[held], counts[held])


def _least_distance(places: NDArray[np.float64]) -> float:
    """About the distance of close neighbours."""
    some = places[:: max(1, len(places) // 400)]
    apart = np.hypot(*(some[:, None] - places[None]).transpose(2, 0, 1))
    apart[apart == 0] = np.inf
    nearest = apart.min(axis=1)
    return float(np.quantile(nearest[np.isfinite(nearest)], 0.5)) if np.isfinite(nearest).any() else 1.0


def fit_exponential(found: Variogram) -> VariogramModel | None:
    """Fit the exponential model by least squares over the distance classes.

    Returns:
        None where there are too few classes, or labels do not differ.
    """
    if len(found.lags) < _LEAST_CLASSES or not found.gamma.any():
        return None
    longest = float(found.lags[-1])
    best: tuple[float, VariogramModel] | None = None
    for length in np.geomspace(float(found.lags[0]) / 3, 3 * longest, 160):
        shape = 1 - np.exp(-_PRACTICAL * found.lags / length)
        nugget, sill = _two_terms(shape, found.gamma)
        error = float(((nugget + sill * shape - found.gamma) ** 2).sum())
        if best is None or error < best[0]:
            best = error, VariogramModel(nugget, sill, float(length), bool(length < longest))
    assert best is not None  # 160 lengths were tried
    return best[1]


def _two_terms(shape: NDArray[np.float64], gamma: NDArray[np.float64]) -> tuple[float, float]:
    """Nugget and sill of the least squared error, neither negative."""
    matrix = np.stack([np.ones_like(shape), shape], axis=1)
    nugget, sill = np.linalg.lstsq(matrix, gamma, rcond=None)[0]
    if sill < 0:
        return float(gamma.mean()), 0.0
    if nugget < 0:
        return 0.0, float((shape @ gamma) / (shape @ shape))
    return float(nugget), float(sill)
