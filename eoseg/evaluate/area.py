"""Accuracy of a map and areas of its classes, estimated from a stratified random sample of pixels.

The estimators are those of Stehman (2014, https://doi.org/10.1080/01431161.2014.930207), in which strata may
be anything. Where the strata are the classes of the map they give, to the last digit, what Olofsson et al.
(2014, https://doi.org/10.1016/j.rse.2014.02.015) give in equations 1 to 11, beside the finite population
correction, which Olofsson et al. leave out.

Pixels of a geographic grid are not equally large. Each pixel of a stratum is as likely to be drawn as any
other, so its area enters as a weight: a mean over a stratum becomes a ratio of areas (Cochran, Sampling
Techniques, 1977, section 6.10), which changes nothing where pixels are equally large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError

Z = 1.959963984540054
"""A 95 % interval reaches so many standard errors to each side (normal distribution)."""


UNSEEN = 3.6888794541139363
"""What may have escaped a sample in which nothing was seen, in points.

It is -ln(0.025), the "rule of three" for two sides (Hanley and Lippman-Hand 1983,
https://doi.org/10.1001/jama.1983.03330370053031). With several strata it is the largest share p_h W_h of the
area that leaves the product of (1 - p_h)^n_h at 2.5 %: all of it may lie in the stratum whose points stand
for most.
"""


@dataclass(frozen=True, eq=False)
class Points:
    """What is known of the n pixels of a sample."""

    strata: NDArray[np.int64]
    """`(n,)`: number of the stratum."""
    mapped: NDArray[np.int64]
    """`(n,)`: class in the map."""
    reference: NDArray[np.int64]
    """`(n,)`: class on the ground."""
    areas: NDArray[np.float64]
    """`(n,)`: area of the pixel."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """All pixels from which some points were drawn."""

    name: str
    pixels: int
    """N_h."""
    area: float
    """Of all of them together, in the unit of `Points.areas`."""


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimated share, 0 to 1."""

    value: float
    standard_error: float
    unseen: tuple[float, float] | None = None
    """The interval where no point differs, so that the standard error is 0: see `UNSEEN`."""

    @property
    def margin(self) -> float:
        """Half the width of the 95 % interval."""
        return Z * self.standard_error

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, cut at 0 and 1."""
        if self.unseen is not None:
            return self.unseen
        return max(0.0, self.value - self.margin), min(1.0, self.value + self.margin)


@dataclass(frozen=True, eq=False)
class Estimates:
    """Figures of a map of K classes; a figure that is not defined is None."""

    matrix: NDArray[np.float64]
    """`(K, K)`, rows reference, columns map: share of the area in each cell; the sum is 1."""
    counts: NDArray[np.int64]
    """`(K, K)`, likewise: points in each cell."""
    overall: Figure
    users: tuple[Figure | None, ...]
    """Of each class; None where the map shows it at no point."""
    producers: tuple[Figure | None, ...]
    """Of each class; None where no point is of it on the ground."""
    areas: tuple[Figure, ...]
    """Share of the area that is of each class on the ground."""


def estimate(points: Points, strata: Sequence[Stratum], *, classes: int, finite: bool = True) -> Estimates:
    """Estimate accuracy and area.

    Args:
        points: The sample.
        strata: In the order of their numbers.
        classes: K.
        finite: Whether to correct for the share of the pixels that was drawn, 1 - n_h / N_h (Stehman's
            equations 25 and 28). Olofsson et al. leave it out, which matters where many pixels were drawn.

    Raises:
        DataError: A stratum has fewer points than its variance needs: two, or its only pixel.
    """
    design = _Design(points, strata, finite=finite)
    in_map = points.mapped[:, None] == np.arange(classes)  # (n, K)
    on_ground = points.reference[:, None] == np.arange(classes)  # (n, K)
    right = in_map & on_ground
    cells = points.reference * classes + points.mapped
    shares = np.bincount(cells, design.weights, classes**2).reshape(classes, classes)
    counts = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
    (overall,) = design.shares(right.any(axis=1, keepdims=True))
    return Estimates(
        matrix=shares,
        counts=counts,
        overall=overall,
        users=design.ratios(right, in_map, if_all=in_map, if_none=in_map, is_known=True),
        producers=design.ratios(right, on_ground, if_all=~in_map, if_none=in_map, is_known=False),
        areas=design.shares(on_ground),
    )


class _Design:
    """Totals over strata and their variances, all as shares of the whole area."""

    def __init__(self, points: Points, strata: Sequence[Stratum], *, finite: bool) -> None:
        count = len(strata)
        self._strata, self._areas = points.strata, points.areas
        self._drawn = np.bincount(points.strata, minlength=count)  # n_h
        _require_two(self._drawn, strata)
        pixels = np.array([entry.pixels for entry in strata], np.float64)
        self._correction = 1 - self._drawn / pixels if finite else np.ones(count)
        shares = np.array([entry.area for entry in strata], np.float64)
        shares /= shares.sum()
        self._sampled = np.bincount(points.strata, points.areas, count)  # area of the points
        per_area = shares / self._sampled
        self.weights: NDArray[np.float64] = points.areas * per_area[points.strata]
        """`(n,)`: share of the whole area that a point stands for."""
        self._per_area = per_area
        self._open = np.where(self._correction > 0, shares / self._drawn, 0.0)[points.strata]  # (n,)

    def shares(self, holds: NDArray[np.bool_]) -> tuple[Figure, ...]:
        """Share of the area where each of T statements `(n, T)` holds: Stehman's equations 2 and 25."""
        values = self.weights @ holds
        errors = self._standard_errors(holds.astype(np.float64))
        less, more = self._unseen(holds), self._unseen(~holds)
        return tuple(
            Figure(v, e, (max(0.0, v - down), min(1.0, v + up)) if e == 0 else None)
            for v, e, down, up in zip(*(part.tolist() for part in (values, errors, less, more)), strict=True)
        )

    def _unseen(self, risky: NDArray[np.bool_]) -> NDArray[np.float64]:
        """For each of T masks `(n, T)` the area that may differ beside such points without being seen."""
        found: NDArray[np.float64] = UNSEEN * (self._open[:, None] * risky).max(axis=0)
        return found

    def ratios(
        self,
        upper: NDArray[np.bool_],
        lower: NDArray[np.bool_],
        *,
        if_all: NDArray[np.bool_],
        if_none: NDArray[np.bool_],
        is_known: bool,
    ) -> tuple[Figure | None, ...]:
        """Ratios of such shares, both `(n, T)`: Stehman's equations 27 and 28.

        The variance of Y / X is that of the total of y - R x, over X squared; multiplied out, it is
        s_y^2 + R^2 s_x^2 - 2 R s_xy of equation 28.

        Args:
            upper: What is divided.
            lower: What it is divided by.
            if_all: Among which points errors may be unseen where the ratio is 1.
            if_none: The same for hits where it is 0.
            is_known: Whether what is unseen leaves the divisor as it is.
        """
        above, below = self.weights @ upper, self.weights @ lower
        known = below > 0
        ratios = np.divide(above, below, out=np.zeros_like(above), where=known)
        errors = self._standard_errors(upper - ratios * lower)
        errors = np.divide(errors, below, out=np.zeros_like(errors), where=known)
        unseen = np.where(ratios > 0, self._unseen(if_all), self._unseen(if_none))
        share = np.divide(
            unseen, below if is_known else below + unseen, out=np.zeros_like(unseen), where=known
        )
        ends = np.where(ratios > 0, [ratios - share, ratios], [ratios, ratios + share]).clip(0, 1)  # (2, T)
        return tuple(
            Figure(value, error, (low, high) if error == 0 else None) if defined else None
            for value, error, low, high, defined in zip(
                *(part.tolist() for part in (ratios, errors, *ends, known)), strict=True
            )
        )

    def _standard_errors(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard errors of the totals of T variables `(n, T)`."""
        count = len(self._drawn)
        sums = np.zeros((count, values.shape[1]))
        np.add.at(sums, self._strata, self._areas[:, None] * values)
        means = sums / self._sampled[:, None]  # (H, T), by area
        residuals = self._areas[:, None] * (values - means[self._strata])
        squares = np.zeros_like(sums)
        np.add.at(squares, self._strata, residuals**2)
        drawn = self._drawn[:, None]
        spread = squares / np.maximum(drawn - 1, 1)  # of a stratum's only pixel it is 0
        # A total is n_h residuals times what one unit of sampled area stands for.
        variances = (self._per_area[:, None] ** 2) * drawn * self._correction[:, None] * spread
        # Rounding leaves a trace where all points of a stratum are alike.
        total = variances.sum(axis=0)
        exact: NDArray[np.float64] = np.sqrt(np.where(total < 1e-28, 0.0, total))
        return exact


def _require_two(drawn: NDArray[np.int64], strata: Sequence[Stratum]) -> None:
    for count, stratum in zip(drawn.tolist(), strata, strict=True):
        if count < min(2, stratum.pixels):
            raise DataError(
                f"The stratum '{stratum.name}' of {stratum.pixels:,} px has {count} point(s) with an answer, "
                "so that nothing can be said of how far its pixels differ; expected at least 2. Answer more "
                "of its points, or draw a sample with more of them (eoseg sample --minimum)."
            )
