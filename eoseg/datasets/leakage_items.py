"""The audit of a split of chip files, and of a split of rows of a table."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.duplicates import Signatures, find_duplicates, join, signatures
from eoseg.datasets.item_split import SPLITS, ItemSplit
from eoseg.datasets.leakage import Check, LeakageAudit, count_of, some
from eoseg.datasets.leakage_ground import PARTS, Ground, check_distance, check_ground, map_of
from eoseg.datasets.leakage_pictures import check_groups, duplicate_check
from eoseg.geo.dates import find_dates
from eoseg.geo.grid import Grid
from eoseg.geo.ground_plan import GroundPart, plan_ground
from eoseg.geo.scene import Scene

type ReadChips = Callable[[NDArray[np.int64]], tuple[NDArray[np.float32], NDArray[np.bool_]]]
"""Images `(n, C, h, w)` and validity `(n, h, w)` of chips at some places."""

_MOST_CHIPS = 20_000
"""Of each split, that are compared; of more, some are drawn."""

_READ_CHIPS = 256

_MOST_GRIDS = 20_000
"""Chip files whose headers are read for their place."""

_LABELS = 2000
"""Chips whose labels make the variogram."""


def audit_chips(
    split: ItemSplit,
    read: ReadChips,
    *,
    paths: Sequence[str],
    labels: NDArray[np.int64],
    groups: Sequence[str] | None,
    seed: int = 0,
) -> LeakageAudit:
    """Look for chips of one split that another one has too, or lies beside.

    Args:
        split: How the chips are divided.
        read: Reads chips.
        paths: Their files.
        labels: Their classes `(n,)`, or 0 and 1 for each label `(n, K)`.
        groups: Their groups, where there are any.
        seed: Draws the samples.
    """
    started = time.perf_counter()
    pictures = {name: _drawn(split.of(name), seed) for name in SPLITS}
    held = {name: read_signatures(places, read) for name, places in pictures.items()}
    pairs = [
        (
            split.ids[pictures[one][pair.first]],
            split.ids[pictures[other][pair.second]],
            pair.correlation,
            (one, other),
        )
        for one, other in PARTS
        for pair in find_duplicates(held[one], held[other])
    ]
    duplicates = duplicate_check(pairs, compared=sum(map(len, held.values())), is_benchmark=False)
    ground = _ground_of(split, paths, seed)
    if ground is None:
        nowhere = "The chips have no CRS, so nobody knows where they lie."
        places = [Check("ground", "unknown", nowhere), Check("distance", "unknown", nowhere)]
        checks = [*places, _with_dates(check_groups(split, groups), split), duplicates]
        return LeakageAudit(tuple(checks), None, time.perf_counter() - started)
    found, shared = ground, ground.plan.shared(ground.splits)[0]
    checks = [
        check_ground(found, shared, is_benchmark=False),
        _distance(found, split, labels, seed),
        _with_dates(check_groups(split, groups), split),
        duplicates,
    ]
    return LeakageAudit(tuple(checks), map_of(found, shared), time.perf_counter() - started)


def read_signatures(places: NDArray[np.int64], read: ReadChips) -> Signatures:
    """Describe chips, some at a time."""
    parts = [places[start : start + _READ_CHIPS] for start in range(0, len(places), _READ_CHIPS)]
    return join([signatures(*read(part)) for part in parts])


def _drawn(places: NDArray[np.int64], seed: int, most: int = _MOST_CHIPS) -> NDArray[np.int64]:
    if len(places) <= most:
        return places
    return np.sort(np.random.default_rng(seed).permutation(places)[:most])


def _ground_of(split: ItemSplit, paths: Sequence[str], seed: int) -> Ground | None:
    """Where the chips of all splits lie; None where the first has no CRS."""
    used = np.flatnonzero(split.numbers >= 0)
    if not len(used) or _grid_of(paths[int(used[0])]).crs is None:
        return None
    used = _drawn(used, seed, _MOST_GRIDS)
    grids = [_grid_of(paths[place]) for place in used.tolist()]
    parts = [
        GroundPart(split.ids[place], grid, grid.window)
        for place, grid in zip(used.tolist(), grids, strict=True)
    ]
    plan = plan_ground(parts)
    numbers = split.numbers[used][plan.places]
    return Ground(plan, numbers, [part.scene for part in plan.parts], len(used) - len(plan.places))


def _grid_of(path: str) -> Grid:
    with Scene(path) as scene:
        return scene.grid


def _distance(ground: Ground, split: ItemSplit, labels: NDArray[np.int64], seed: int) -> Check:
    if labels.ndim == 2:
        text = "Chips with several labels have no variogram of one class."
        return Check("distance", "unknown", text)
    number_of = {name: place for place, name in enumerate(split.ids)}
    drawn = np.random.default_rng(seed).permutation(len(ground.names))[:_LABELS]
    half = [(part.grid.height / 2, part.grid.width / 2) for part in ground.plan.parts]
    places = np.concatenate(
        [ground.plan.locate(int(n), np.array([half[n][0]]), np.array([half[n][1]])) for n in drawn]
    )
    values = labels[[number_of[ground.names[n]] for n in drawn]].astype(np.float64)
    extent = float(np.hypot(*np.ptp(places, axis=0)))
    return check_distance(ground, places, values, categorical=True, longest=extent / 2 or 1.0, seed=seed)


def _with_dates(check: Check, split: ItemSplit) -> Check:
    """Add the dates that file names of both sides have."""
    if check.level != "unknown":
        return check
    tested = "test" if len(split.of("test")) else "val"
    dates = [
        {day for place in split.of(name) for day in find_dates(split.ids[place])}
        for name in ("train", tested)
    ]
    both = sorted(dates[0] & dates[1])
    if not both:
        return check
    text = (
        f"{check.text} train and {tested} share {count_of(len(both), 'date')} in their names ({both[0]} ...)."
    )
    return Check(check.name, "note", text, {"dates on both sides": len(both)})


def audit_rows(
    split: ItemSplit, values: NDArray[np.float32], *, groups: Sequence[str] | None
) -> LeakageAudit:
    """Look for rows of a table that two splits have, and for groups on both sides.

    Args:
        split: How the rows are divided.
        values: `(n, F)`, all dates side by side.
        groups: Their groups, where there are any.
    """
    started = time.perf_counter()
    nowhere = "Rows of a table have no place."
    checks = [
        Check("ground", "unknown", nowhere),
        Check("distance", "unknown", nowhere),
        check_groups(split, groups),
        _same_rows(split, values),
    ]
    return LeakageAudit(tuple(checks), None, time.perf_counter() - started)


def _same_rows(split: ItemSplit, values: NDArray[np.float32]) -> Check:
    """Rows that are equal to the last bit. Of few coarse values many are, by chance: then it says nothing."""
    rows = np.ascontiguousarray(values).view(np.dtype((np.void, values.shape[1] * values.itemsize))).ravel()
    held = {name: rows[split.of(name)] for name in SPLITS}
    tested = "test" if len(held["test"]) else "val"
    both = np.isin(held[tested], held["train"])
    count, share = int(both.sum()), float(both.mean()) if len(both) else 0.0
    numbers = {"rows on both sides": count, "share": round(share, 4)}
    if not count:
        return Check("duplicates", "clean", f"No row of {tested} is in train too.", numbers)
    names = [split.ids[split.of(tested)[place]] for place in np.flatnonzero(both).tolist()]
    text = (
        f"{count_of(count, 'row')} of the {tested} split ({share:.1%}) have the same values as a row of "
        "train. Take "
        "repeated rows out, or name 'groups', unless values are so coarse that rows are equal by chance."
    )
    return Check("duplicates", "warning", text, numbers, some(names))
