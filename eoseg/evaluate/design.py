"""How many points a sample needs, and how many of them each stratum gets, before any is drawn.

Words and formulas are those of Olofsson et al. 2014 (https://doi.org/10.1016/j.rse.2014.02.015), section 5,
and Cochran, Sampling Techniques, 1977, chapter 5. W_h is the share of the area that stratum h has, S_h the
standard deviation of what is estimated among its pixels, as it is expected before the sample is there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError, unknown_name
from eoseg.evaluate.area import Stratum

type Allocation = Literal["equal", "proportional", "optimal"]

OVERALL = "overall"
"""The target that is overall accuracy; any other is "area:" and the name of a class."""

LEAST_USUAL = 50
"""Points of the smallest stratum, unless said otherwise: Olofsson et al. advise 50 to 100 for rare "
"classes."""

STANDARD_ERROR, EXPECTED = 0.02, 0.8
"""What is wanted and expected where nothing is said."""

_AREA = "area:"


@dataclass(frozen=True, slots=True)
class SampleSize:
    """What a sample should reach."""

    points: int | None = None
    """How many points; None: so many that the standard error is reached."""
    standard_error: float = STANDARD_ERROR
    """Wanted for the target, as a share; only where `points` is None."""
    target: str = OVERALL
    """"overall" for overall accuracy, or "area:NAME" for the area of a class."""
    allocation: Allocation = "proportional"
    minimum: int | None = None
    """Points that each stratum has at least (all pixels of a smaller one). None: 50, or half of what an equal
    allocation would give it where that is less."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """User's accuracy that is expected of a stratum, by its name: the share of its pixels that is right."""
    expected_else: float = EXPECTED
    """User's accuracy that is expected of the other strata."""

    def __post_init__(self) -> None:
        if self.points is not None and self.points < 2:
            raise ConfigError(f"A sample has at least 2 points; found {self.points}.")
        if self.minimum is not None and self.minimum < 2:
            raise ConfigError(
                "Each stratum needs at least 2 points for a standard error; found a minimum of "
                f"{self.minimum}."
            )
        if not 0 < self.standard_error < 0.5:
            raise ConfigError(
                f"A standard error is a share between 0 and 0.5, such as 0.01; found {self.standard_error:g}."
            )
        for value in (self.expected_else, *self.expected.values()):
            if not 0 < value < 1:
                raise ConfigError(f"An expected user's accuracy is between 0 and 1; found {value:g}.")


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """How many points each stratum gets."""

    points: tuple[int, ...]
    anticipated: float
    """Standard error of the target that may be expected of this allocation."""
    minimum: int


def plan_sample(strata: Sequence[Stratum], size: SampleSize) -> SamplePlan:
    """Decide how many points to draw from each stratum.

    Without a number of points it is that of equation 13 of Olofsson et al. (Cochran 1977, equation 5.25),

        n = (sum of W_h S_h)^2 / (SE^2 + (sum of W_h S_h^2) / N),

    rounded up, and no less than the minima together. The points go to the strata equally; in proportion to
    W_h; or in proportion to W_h S_h, which gives the target its smallest standard error (Neyman 1934; Cochran
    1977, equation 5.26). No stratum gets fewer than the minimum or more than it has pixels.

    For overall accuracy S_h^2 = U_h (1 - U_h), where U_h is the expected user's accuracy. For the area of
    class k it is p_h (1 - p_h), where p_h is the expected share of class k on the ground: U_k in its own
    stratum, and elsewhere (1 - U_h) W_k / (1 - W_h), as if what is wrong were of the other classes in
    proportion to their mapped areas.

    Args:
        strata: All of them have pixels.
        size: What is wanted.

    Raises:
        ConfigError: A name is that of no stratum, or the strata have fewer pixels, or more minima, than there
            are points.
    """
    for name in size.expected:
        if name not in [entry.name for entry in strata]:
            raise ConfigError(f"expected: {unknown_name('stratum', name, [s.name for s in strata])}")
    pixels = np.array([entry.pixels for entry in strata], np.int64)
    weights = np.array([entry.area for entry in strata], np.float64)
    weights /= weights.sum()
    deviations = _deviations(strata, weights, size)
    total = size.points or _number(pixels, weights, deviations, size.standard_error)
    if total > pixels.sum():
        raise ConfigError(
            f"The map has {pixels.sum():,} pixels, which is less than {total:,} points. Draw fewer."
        )
    minimum = size.minimum or min(LEAST_USUAL, max(2, total // (2 * len(strata))))
    least = np.minimum(minimum, pixels)
    if size.points is None:
        total = max(total, int(least.sum()))
    if least.sum() > total:
        raise ConfigError(
            f"{total} points are too few for {len(strata)} strata with at least {minimum} each, which are "
            f"{least.sum()}. Draw more points, or lower the minimum."
        )
    shares = {"equal": np.ones(len(strata)), "proportional": weights, "optimal": weights * deviations}
    points = _within(total, shares[size.allocation], least, pixels)
    variance = (weights * deviations) ** 2 * (1 - points / pixels) / points
    return SamplePlan(tuple(points.tolist()), math.sqrt(float(variance.sum())), minimum)


def _deviations(
    strata: Sequence[Stratum], weights: NDArray[np.float64], size: SampleSize
) -> NDArray[np.float64]:
    """S_h, which is expected of each stratum."""
    users = np.array([size.expected.get(entry.name, size.expected_else) for entry in strata])
    if size.target == OVERALL:
        return np.asarray(np.sqrt(users * (1 - users)), np.float64)
    names = [entry.name for entry in strata]
    name = size.target.removeprefix(_AREA)
    if not size.target.startswith(_AREA) or name not in names:
        known = [OVERALL, *(f"{_AREA}{entry}" for entry in names)]
        raise ConfigError(unknown_name("target", size.target, known))
    if len(names) == 1:
        raise ConfigError(f"All of the map is '{name}', so no other class can tell its area. Name no target.")
    own = names.index(name)
    shares = (1 - users) * weights[own] / (1 - weights)
    shares[own] = users[own]
    return np.asarray(np.sqrt(shares * (1 - shares)), np.float64)


def _number(
    pixels: NDArray[np.int64],
    weights: NDArray[np.float64],
    deviations: NDArray[np.float64],
    standard_error: float,
) -> int:
    spread = float(weights @ deviations)
    variance = float(weights @ deviations**2)
    number = spread**2 / (standard_error**2 + variance / float(pixels.sum()))
    return max(2 * len(pixels), math.ceil(number))


def _within(
    total: int, shares: NDArray[np.float64], least: NDArray[np.int64], most: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Whole numbers of sum `total` in proportion to shares, none below or above its bounds.

    Whatever would leave its bounds is set to them, and the others share the rest, until all are within.
    """
    fixed = np.zeros(len(shares), np.int64)
    free = np.ones(len(shares), np.bool_)
    while free.any():
        ideal = np.where(free, (total - fixed.sum()) * shares / shares[free].sum(), 0.0)
        below, above = free & (ideal < least), free & (ideal > most)
        if not (below.any() or above.any()):
            whole = np.floor(ideal).astype(np.int64)
            rest = int(total - fixed.sum() - whole.sum())
            order = np.argsort(np.where(free, whole - ideal, 1.0), kind="stable")  # largest remainder first
            whole[order[:rest]] += 1
            return fixed + whole
        lacking = (least - ideal)[below].sum()
        chosen, bound = (below, least) if lacking >= (ideal - most)[above].sum() else (above, most)
        fixed[chosen] = bound[chosen]
        free &= ~chosen
    return fixed
