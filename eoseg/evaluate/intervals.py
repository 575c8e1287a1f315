"""How far a figure could lie from what another sample of places would have given.

Neighbouring pixels are alike, so that a million pixels are worth far fewer independent observations:
an interval from a bootstrap over pixels is much too narrow. Here whole square blocks are drawn with
replacement (Efron and Tibshirani 1993, chapter 8; for spatial blocks Lahiri 2003), and the expanded
percentile interval of the figures of these draws is reported. It speaks of this scene and its kind, not of
other regions or dates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError
from eoseg.metrics import Scores, score

MIN_BLOCKS = 10
"""With fewer blocks, percentile intervals are far too narrow; none is given then."""

CONFIDENCE = 0.95
_OVERALL = ("overall_accuracy", "balanced_accuracy", "kappa", "mean_iou", "mean_f1")


@dataclass(frozen=True, slots=True)
class Interval:
    """The range between two percentiles."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """95 % intervals of the figures of one evaluation."""

    values: Mapping[str, Interval | None]
    """By the names of `figures_of`; None where no interval can be given."""
    blocks: int
    """Blocks with labelled and mapped pixels, which were drawn from."""
    block_size: int | None
    """Side of a block in pixels; None where chips or rows without a place were drawn."""
    draws: int
    seed: int
    reason: str | None
    """Why there is no interval at all, or None."""


def figures_of(scores: Scores) -> dict[str, float | None]:
    """The figures that get an interval: five overall ones, `iou/<class>` and `f1/<class>`."""
    overall: dict[str, float | None] = {name: getattr(scores, name) for name in _OVERALL}
    per_class = {f"iou/{entry.name}": entry.iou for entry in scores.classes}
    return overall | per_class | {f"f1/{entry.name}": entry.f1 for entry in scores.classes}


def bootstrap(
    blocks: NDArray[np.int64],
    names: Sequence[str],
    *,
    block_size: int | None,
    draws: int = 1000,
    seed: int = 0,
) -> Intervals:
    """Draw blocks with replacement and take percentiles of the figures.

    Args:
        blocks: Int64 `(B, K, K)`: the confusion matrix of each block; blocks without any count are
            left out.
        names: The K classes.
        block_size: Side of a block in pixels, for the record; None for chips or rows without a place.
        draws: How many samples of blocks to draw.
        seed: Of the draws.

    Returns:
        Intervals. A figure gets none where fewer than `MIN_BLOCKS` blocks have a part in it (for a
        class: its reference or its map), or where a draw leaves it undefined.

    Raises:
        ConfigError: There are fewer than 100 draws, too few for percentiles.
    """
    if draws < 100:
        raise ConfigError(f"A 95 % interval needs at least 100 draws; got {draws}. The default is 1000.")
    size = len(names)
    used = blocks[blocks.sum(axis=(1, 2)) > 0]
    per_class = [f"{figure}/{name}" for figure in ("iou", "f1") for name in names]
    empty: dict[str, Interval | None] = dict.fromkeys([*_OVERALL, *per_class])
    if len(used) < MIN_BLOCKS:
        reason = f"no interval: {len(used)} {said_blocks(block_size)} hold labels, {MIN_BLOCKS} are needed"
        return Intervals(empty, len(used), block_size, draws, seed, reason)
    generator = np.random.default_rng(seed)
    times = generator.multinomial(len(used), np.full(len(used), 1 / len(used)), size=draws)  # (D, B)
    # Counts stay below 2^53, so the product in float64 is exact, and much faster than in integers.
    drawn = times.astype(np.float64) @ used.reshape(len(used), size * size).astype(np.float64)
    matrices = np.rint(drawn).astype(np.int64).reshape(draws, size, size)
    samples = [figures_of(score(matrix, names)) for matrix in matrices]
    occurs = ((used.sum(axis=1) + used.sum(axis=2)) > 0).sum(axis=0)  # (K,) blocks with the class
    enough = dict.fromkeys(_OVERALL, True) | {
        f"{figure}/{name}": bool(count >= MIN_BLOCKS)
        for figure in ("iou", "f1")
        for name, count in zip(names, occurs, strict=True)
    }
    values = {
        name: percentile_interval([sample[name] for sample in samples], units=len(used))
        if enough[name]
        else None
        for name in empty
    }
    return Intervals(values, len(used), block_size, draws, seed, None)


def said_blocks(block_size: int | None) -> str:
    """What is drawn, in words.

    Args:
        block_size: Side of a block in pixels; None for chips or rows without a place.
    """
    return "groups of chips or rows" if block_size is None else f"blocks of {block_size} x {block_size} px"


def percentile_interval(sample: Sequence[float | None], *, units: int) -> Interval | None:
    """The 95 % interval of a figure from its draws; None where a draw leaves it undefined.

    Few blocks vary less among themselves than the places they stand for, so the percentiles are taken further
    out, as the t distribution does for a mean (expanded percentile interval, Hesterberg 2015,
    https://doi.org/10.1080/00031305.2015.1089789, section 5.2).

    Args:
        sample: The figure in each draw.
        units: B, how many blocks there are.
    """
    known = np.array([np.nan if value is None else value for value in sample], np.float64)
    if not np.isfinite(known).all():
        return None
    from scipy.special import ndtr, stdtrit

    tail = (1 - CONFIDENCE) / 2
    if units > 1:
        tail = float(ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, tail)))
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(float(low), float(high))
