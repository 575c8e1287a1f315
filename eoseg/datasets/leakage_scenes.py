"""The audit of a split of scenes: ground, distance, scenes and dates, duplicates, label polygons."""

import hashlib
import math
import time
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.duplicates import Signatures, find_duplicates, join, signatures
from eoseg.datasets.index import SceneEntry, SceneIndex
from eoseg.datasets.leakage import Check, LeakageAudit, count_of, some
from eoseg.datasets.leakage_ground import PARTS, Ground, check_distance, check_ground, map_of
from eoseg.datasets.leakage_pictures import duplicate_check
from eoseg.datasets.reader import SceneReader
from eoseg.datasets.split_file import SPLITS, Region, Split
from eoseg.datasets.survey import LabelSurvey
from eoseg.geo.dates import find_dates
from eoseg.geo.ground_plan import GroundPart, GroundPlan, Ring, SharedGround, plan_ground, rings_of
from eoseg.geo.vectors import VectorLabels
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

_MOST_CHIPS = 1500
"""Of each split, that are read and compared."""

_READ_CHIPS = 32

_WINDOWS, _WINDOW_PX, _POINTS_EACH = 48, 256, 40
"""Where labels are sampled for the variogram: windows, their side, and places in each."""

_LEAST_PIXELS = 0.5
"""Of a polygon on one side of the split that count."""


def audit_scenes(
    reader: SceneReader, split: Split, survey: LabelSurvey, *, chip_size: int, seed: int = 0
) -> LeakageAudit:
    """Look for ways in which what tests the network was seen in training.

    Args:
        reader: The scenes; at most 1500 chips of each split and 48 windows of labels are read.
        split: How they are divided.
        survey: Where their labels are.
        chip_size: Height and width of a chip in pixels.
        seed: Draws the samples.
    """
    started, index = time.perf_counter(), reader.index
    ground = ground_of(index, split)
    shared = _labelled(ground, ground.plan.shared(ground.splits)[0], survey)
    polygons, cut = _check_polygons(reader, split, ground.plan)
    checks = [
        check_ground(ground, shared, is_benchmark=False),
        _distance(reader, ground, survey, seed),
        _check_sources(index, split),
        _check_duplicates(reader, split, chip_size),
        polygons,
    ]
    return LeakageAudit(tuple(checks), map_of(ground, shared, cut), time.perf_counter() - started)


def ground_of(index: SceneIndex, split: Split) -> Ground:
    """Where the regions of a split lie."""
    parts = [
        GroundPart(region.scene_id, index.entry(region.scene_id).grid, region.window)
        for region in split.regions
    ]
    plan = plan_ground(parts)
    splits = np.array([SPLITS.index(region.split) for region in split.regions])
    return Ground(
        plan,
        splits[plan.places],
        [split.regions[place].scene_id for place in plan.places],
        len(parts) - len(plan.places),
    )


def _labelled(ground: Ground, shared: Sequence[SharedGround], survey: LabelSurvey) -> list[SharedGround]:
    """Shared ground where both sides may hold labels; frames without any do no harm."""
    return [
        entry
        for entry in shared
        if all(_holds_labels(ground.plan, number, entry, survey) for number in (entry.first, entry.second))
    ]


def _holds_labels(plan: GroundPlan, number: int, entry: SharedGround, survey: LabelSurvey) -> bool:
    window = plan.window(number, entry.shape)
    if window is None:
        return False
    cells, cell = survey.counts[plan.parts[number].scene], survey.cell
    rows = slice(window.row // cell, -(-window.row_stop // cell))
    cols = slice(window.col // cell, -(-window.col_stop // cell))
    return bool(cells[rows, cols].any())


def _distance(reader: SceneReader, ground: Ground, survey: LabelSurvey, seed: int) -> Check:
    index = reader.index
    if not index.is_labelled:
        return Check("distance", "unknown", "Without labels there is no range over which they are alike.")
    parts = {part.scene: number for number, part in reversed(list(enumerate(ground.plan.parts)))}
    extents = [
        math.hypot(entry.grid.height, entry.grid.width) * float(ground.plan.pixels[parts[name]])
        for name, entry in index.entries.items()
        if name in parts
    ]
    if not extents:
        return Check("distance", "unknown", "No scene of the split can be placed.")
    places, values = sample_labels(reader, ground.plan, parts, survey, seed)
    return check_distance(
        ground,
        places,
        values,
        categorical=index.schema.quantity is None,
        longest=max(extents) / 2,
        seed=seed,
    )


def sample_labels(
    reader: SceneReader, plan: GroundPlan, parts: Mapping[str, int], survey: LabelSurvey, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels of places in some windows that hold any.

    Args:
        reader: The scenes.
        plan: Where they lie.
        parts: A part of each scene that is on the plan.
        survey: Where labels are.
        seed: Draws the places.

    Returns:
        Coordinates on the plan `(n, 2)`, and classes or values `(n,)`.
    """
    rng, cell = np.random.default_rng(seed), survey.cell
    cells = [
        (name, int(row), int(col))
        for name in sorted(parts)
        for row, col in np.argwhere(survey.counts[name].any(axis=2))
    ]
    chosen = rng.permutation(len(cells))[:_WINDOWS].tolist()
    has_values = reader.index.schema.quantity is not None
    places, values = [np.zeros((0, 2))], [np.zeros(0)]
    for name, row, col in (cells[number] for number in chosen):
        square = Window(row * cell, col * cell, cell, cell).grow(max(0, (_WINDOW_PX - cell) // 2))
        window = square.intersection(reader.index.entry(name).grid.window)
        if window is None:
            continue
        read = reader.read_values if has_values else reader.read_labels
        labels = np.asarray(read(name, window), np.float64)
        rows, cols = np.nonzero(np.isfinite(labels) if has_values else labels != IGNORE)
        drawn = rng.permutation(len(rows))[:_POINTS_EACH]
        places.append(
            plan.locate(parts[name], window.row + rows[drawn] + 0.5, window.col + cols[drawn] + 0.5)
        )
        values.append(labels[rows[drawn], cols[drawn]])
    return np.concatenate(places), np.concatenate(values)


def _check_sources(index: SceneIndex, split: Split) -> Check:
    """Scenes and dates on both sides: no leak as such, but it limits what figures speak of."""
    scenes: dict[str, set[str]] = defaultdict(set)
    dates: dict[str, set[date]] = defaultdict(set)
    for region in split.regions:
        scenes[region.split].add(region.scene_id)
        dates[region.split].update(_dates_of(index.entry(region.scene_id)))
    tested = "test" if scenes["test"] else "val"
    both = sorted(scenes["train"] & scenes[tested])
    days = sorted(dates["train"] & dates[tested])
    numbers = {"scenes on both sides": len(both), "dates on both sides": len(days)}
    if not both and not days:
        return Check("source", "clean", f"train and {tested} share no scene and no date.", numbers)
    said = []
    if both:
        said.append(f"{len(both)} of {len(scenes[tested])} scenes")
    if days:
        said.append(f"{count_of(len(days), 'date')} ({', '.join(map(str, days[:3]))})")
    text = (
        f"train and {tested} share {' and '.join(said)}: figures speak of these, not of other scenes, "
        "light or "
        "season."
    )
    return Check("source", "note", text, numbers, some(both))


def _dates_of(entry: SceneEntry) -> list[date]:
    if entry.dates:
        return list(entry.dates)
    days = find_dates(Path(entry.image).name)
    return days if len(days) == 1 else []


def _check_duplicates(reader: SceneReader, split: Split, chip_size: int) -> Check:
    """Pictures that are in two scenes of different splits. Regions of one scene are a matter of ground."""
    same = _same_files(reader.index, split)
    if same:
        text = f"'{same[0][0]}' and '{same[0][1]}' are the same file but lie in different splits"
        more = f" ({len(same) - 1} more such pairs)" if len(same) > 1 else ""
        names = [f"{one} and {other}" for one, other in same]
        return Check("duplicates", "error", f"{text}{more}. Take one out.", {"files": len(same)}, some(names))
    if len({region.scene_id for region in split.regions}) < 2:
        return Check(
            "duplicates", "clean", "There is one scene, of which every pixel is in one split at most."
        )
    held = {name: _chips_of(split.of(name), chip_size) for name in SPLITS}
    pictures = {name: _read(reader, chips) for name, chips in held.items()}
    found = [
        (held[one][pair.first], held[other][pair.second], pair.correlation, (one, other))
        for one, other in PARTS
        for pair in find_duplicates(pictures[one], pictures[other])
        if held[one][pair.first][0] != held[other][pair.second][0]
    ]
    named = [(f"{a[0]}@{a[1].row},{a[1].col}", f"{b[0]}@{b[1].row},{b[1].col}", r, s) for a, b, r, s in found]
    return duplicate_check(named, compared=sum(map(len, held.values())), is_benchmark=False, is_cut=True)


def _chips_of(regions: Sequence[Region], chip_size: int) -> list[tuple[str, Window]]:
    """Chips on the lattice of each scene, so that copies of a scene are cut alike."""
    found = []
    for region in regions:
        area = region.window
        size = min(chip_size, area.height, area.width)
        rows = range(-(-area.row // size) * size, area.row_stop - size + 1, size) or [area.row]
        cols = range(-(-area.col // size) * size, area.col_stop - size + 1, size) or [area.col]
        found += [(region.scene_id, Window(row, col, size, size)) for row in rows for col in cols]
    # By place, not by scene: of two copies the same chips are taken.
    found.sort(key=lambda chip: (zlib.crc32(f"{chip[1].row},{chip[1].col}".encode()), chip[0]))
    return found[:_MOST_CHIPS]


def _read(reader: SceneReader, chips: Sequence[tuple[str, Window]]) -> Signatures:
    done = [signatures(*_flat(reader, scene, window)) for scene, window in chips]
    return join(done)


def _flat(reader: SceneReader, scene: str, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A chip `(1, C, h, w)` and its validity `(1, h, w)`; dates become bands."""
    image, valid = reader.read(scene, window)
    if image.ndim == 4:
        image = np.where(valid[:, None], image, 0).reshape(-1, *image.shape[-2:])
        valid = valid.any(axis=0)
    return image[None], valid[None]


def _same_files(index: SceneIndex, split: Split) -> list[tuple[str, str]]:
    """Pairs of scenes in different splits that have an image file of the same bytes, or the same file."""
    own: dict[str, set[str]] = defaultdict(set)
    for region in split.regions:
        own[region.scene_id].add(region.split)
    by_size: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for name in own:
        for image in index.entry(name).images:
            if Path(image).is_file():
                by_size[Path(image).stat().st_size].add((image, name))
    by_hash: dict[str, set[str]] = defaultdict(set)
    for files in by_size.values():
        for image, name in files if len(files) > 1 else ():
            with Path(image).open("rb") as file:
                by_hash[hashlib.file_digest(file, "sha256").hexdigest()].add(name)
    return [
        (first, name)
        for first, *others in map(sorted, by_hash.values())
        for name in others
        if own[first] != own[name]
    ]


def _check_polygons(reader: SceneReader, split: Split, plan: GroundPlan) -> tuple[Check, list[Ring]]:
    """Label polygons with pixels on both sides: one field, one opinion of its class."""
    if not reader.index.vectors:
        return Check("polygons", "clean", "Labels are no polygons."), []
    held = _pixels_of_polygons(reader, split)
    if held is None:
        return Check("polygons", "unknown", "No region has label polygons."), []
    tested = "test" if split.of("test") else "val"
    on = {name: pixels >= _LEAST_PIXELS for name, pixels in held.items()}
    both = on["train"] & on[tested]
    numbers = {"polygons on both sides": int(both.sum()), f"polygons in {tested}": int(on[tested].sum())}
    if not both.any():
        return Check("polygons", "clean", f"No label polygon is in train and in {tested}.", numbers), []
    share = float(held[tested][both].sum() / max(held[tested].sum(), 1e-9))
    text = (
        f"{int(both.sum())} of {int(on[tested].sum())} label polygons of the {tested} split lie in train "
        "too, with "
        f"{share:.0%} of its labelled ground: one field is learned and tested. Take another "
        "split.block_size or "
        "split.seed, or whole scenes (split.method files)."
    )
    names = [f"feature {number}" for number in np.flatnonzero(both).tolist()]
    check = Check("polygons", "warning", text, {**numbers, "share": round(share, 4)}, some(names))
    return check, _rings(reader, plan, both)


def _pixels_of_polygons(reader: SceneReader, split: Split) -> dict[str, NDArray[np.float64]] | None:
    """For each split, how many pixels each polygon has there."""
    held: dict[str, NDArray[np.float64]] = {}
    for region in split.regions:
        labels = reader.labels(region.scene_id)
        assert isinstance(labels, VectorLabels)  # the index has vectors
        found = np.where(labels.classes == IGNORE, 0, labels.pixels_in(region.window))
        for name in SPLITS:
            held.setdefault(name, np.zeros(len(found)))
        held[region.split] += found
    return held or None


def _rings(reader: SceneReader, plan: GroundPlan, chosen: NDArray[np.bool_]) -> list[Ring]:
    """Outlines of polygons on the plan."""
    part = plan.parts[0]
    labels = reader.labels(part.scene)
    assert isinstance(labels, VectorLabels)  # the index has vectors
    return [ring for shape in labels.shapes[chosen] for ring in rings_of(plan.bring(0, shape))]
