"""Audits of where splits lie: ground that they share, and how near test ground is to training ground."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.leakage import Check, Level, Outline, SplitMap, count_of, some
from eoseg.datasets.split_file import SPLITS
from eoseg.datasets.variogram import VariogramModel, fit_exponential, variogram
from eoseg.geo.ground_plan import GroundPlan, Ring, SharedGround, common_area, rings_of
from eoseg.recipe import Plain

_MOST_ALIKE = 1 / 3
"""Mean autocorrelation of labels between test ground and the nearest training ground above which figures
flatter."""

_POINTS = 4000
"""Places of the test ground whose distance to training ground is measured."""

_MOST_OUTLINES = 5000

PARTS = ("train", "test"), ("train", "val"), ("val", "test")
"""Pairs of splits, the one that matters most first."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Where the parts of a split lie."""

    plan: GroundPlan
    splits: NDArray[np.int64]
    """For each part on the plan its place in `SPLITS`, `(n,)`."""
    names: Sequence[str]
    """Of the parts on the plan, for people."""
    unplaced: int
    """Parts that are not on the plan: they have no CRS, unlike others."""

    def of(self, split: str) -> NDArray[np.int64]:
        """Places on the plan of the parts of a split."""
        return np.flatnonzero(self.splits == SPLITS.index(split))


def check_ground(ground: Ground, shared: Sequence[SharedGround], *, is_benchmark: bool) -> Check:
    """Judge ground that two splits share.

    Args:
        ground: The split.
        shared: What `GroundPlan.shared` found, without what does not count.
        is_benchmark: Whether the split is a benchmark's own, which its user cannot mend.
    """
    if ground.plan.crs is None:
        text = "The data have no CRS, so nobody knows whether splits share ground."
        if not shared:
            return Check("ground", "unknown", text)
    if not shared:
        left = (
            f" {count_of(ground.unplaced, 'part')} without CRS could not be told." if ground.unplaced else ""
        )
        return Check("ground", "clean", f"No two splits share any ground.{left}")
    by_pair: dict[tuple[str, str], list[SharedGround]] = defaultdict(list)
    for entry in shared:
        one, other = sorted((ground.splits[entry.first], ground.splits[entry.second]))
        by_pair[SPLITS[one], SPLITS[other]].append(entry)
    texts: list[str] = []
    numbers: dict[str, Plain] = {}
    examples: list[str] = []
    for pair in PARTS:
        held = by_pair.get(pair, [])
        if not held:
            continue
        area = common_area(held)
        most = max(held, key=lambda entry: entry.area)
        names = f"'{ground.names[most.first]}' and '{ground.names[most.second]}'"
        texts.append(
            f"{pair[0]} and {pair[1]} share {said_area(area, ground.plan.unit)} of ground in "
            f"{count_of(len(held), 'place')} (most: {names}, {most.share:.2%} of the smaller one)."
        )
        numbers |= {f"{pair[0]}-{pair[1]} places": len(held), f"{pair[0]}-{pair[1]} area": round(area, 3)}
        examples += [f"{ground.names[entry.first]} and {ground.names[entry.second]}" for entry in held]
    remedy = "" if is_benchmark else " Put scenes that overlap into one split (split.method files)."
    level: Level = "warning" if is_benchmark else "error"
    return Check("ground", level, " ".join(texts) + remedy, numbers, some(examples))


def said_area(area: float, unit: str) -> str:
    """An area in words."""
    if unit == "m" and area >= 1e5:
        return f"{area / 1e6:.3g} km2"
    return f"{area:,.0f} {unit}{'2' if unit == 'm' else ''}"


def said_length(length: float, unit: str) -> str:
    """A length in words."""
    if unit == "m" and length >= 2000:
        return f"{length / 1000:.3g} km"
    return f"{length:.3g} {unit}" if length < 10 else f"{length:.0f} {unit}"


def check_distance(
    ground: Ground,
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    categorical: bool,
    longest: float,
    seed: int,
) -> Check:
    """Compare the distance of test ground from training ground with how far labels resemble each other.

    Args:
        ground: The split.
        places: Coordinates of a sample of labelled places on the plan `(n, 2)`.
        values: Their classes or values `(n,)`.
        categorical: Whether these are classes.
        longest: Distance up to which places are compared.
        seed: Draws the places of the test ground.
    """
    judged = "test" if len(ground.of("test")) else "val"
    if not len(ground.of(judged)) or not len(ground.of("train")):
        return Check("distance", "unknown", "There is no second split to measure a distance to.")
    model = None
    if len(places) > 1:
        model = fit_exponential(variogram(places, values, longest=longest, categorical=categorical))
    if model is None:
        return Check("distance", "unknown", "Too few labels, or labels too much alike, for a variogram.")
    far = _distances(ground, judged, seed)
    if not np.isfinite(far).any():
        return Check(
            "distance", "unknown", "Splits lie in scenes of which nobody knows how far apart they are."
        )
    return _judge_distance(model, far, judged, ground.plan.unit)


def _judge_distance(model: VariogramModel, far: NDArray[np.float64], judged: str, unit: str) -> Check:
    near = float((far < model.range).mean())
    alike = float(model.autocorrelation(far).mean())
    reach = f"{'' if model.is_bounded else 'at least '}{said_length(model.range, unit)}"
    median = float(np.median(far))
    numbers = {
        "range": round(model.range, 3),
        "range is bounded": model.is_bounded,
        "nugget": round(model.nugget, 4),
        "sill": round(model.nugget + model.sill, 4),
        "least distance": _finite(float(far.min())),
        "median distance": _finite(median),
        "share within range": round(near, 4),
        "autocorrelation": round(alike, 4),
        "unit": unit,
    }
    where = "somewhere else" if np.isinf(median) else f"up to {said_length(median, unit)} away"
    found = (
        f"Labels resemble each other up to {reach} (range of their variogram); {near:.0%} of the {judged} "
        f"ground lies nearer than that to training ground, half of it {where}; there labels still "
        "correlate by "
        f"{alike:.2f} on average"
    )
    if alike <= _MOST_ALIKE:
        return Check("distance", "clean", f"{found}.", numbers)
    remedy = (
        ", so figures say how well the network fills gaps, not how well it maps new ground. Take a larger "
        "split.block_size, or whole scenes (split.method files)."
    )
    return Check("distance", "warning", found + remedy, numbers)


def _finite(value: float) -> float | None:
    return round(value, 3) if np.isfinite(value) else None


def _distances(ground: Ground, judged: str, seed: int) -> NDArray[np.float64]:
    """From places all over one split to the nearest training ground."""
    rng, tested = np.random.default_rng(seed), ground.of(judged)
    areas = ground.plan.areas[tested]
    chosen = rng.choice(len(tested), _POINTS, p=areas / areas.sum())
    points = []
    for number in np.unique(chosen):
        part = ground.plan.parts[tested[number]].window
        count = int((chosen == number).sum())
        rows = part.row + part.height * rng.random(count)
        cols = part.col + part.width * rng.random(count)
        points.append(ground.plan.locate(int(tested[number]), rows, cols))
    return ground.plan.distances(np.concatenate(points), ground.of("train"))


def map_of(ground: Ground, shared: Sequence[SharedGround], cut: Sequence[Ring] = ()) -> SplitMap | None:
    """The picture of a split on the ground; None where there is no CRS and several scenes."""
    plan = ground.plan
    if plan.crs is None and len({part.scene for part in plan.parts}) > 1:
        return None
    numbers = np.linspace(0, len(plan.shapes) - 1, min(len(plan.shapes), _MOST_OUTLINES)).astype(int)
    outlines = tuple(
        Outline(SPLITS[ground.splits[number]], plan.ring(number)) for number in np.unique(numbers).tolist()
    )
    both = tuple(ring for entry in shared[:_MOST_OUTLINES] for ring in rings_of(entry.shape))
    return SplitMap(plan.unit, outlines, both, tuple(cut))
