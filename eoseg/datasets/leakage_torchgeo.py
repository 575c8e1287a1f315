"""The audit of a benchmark's own split: what torchgeo knows of names, places and times."""

import time
from collections.abc import Mapping

import numpy as np

from eoseg.datasets.duplicates import Signatures, find_duplicates, join, signatures
from eoseg.datasets.leakage import LEVELS, Check, LeakageAudit, count_of, some
from eoseg.datasets.leakage_ground import PARTS, Ground, check_ground, map_of
from eoseg.datasets.leakage_pictures import NamedPair, duplicate_check
from eoseg.datasets.split_file import SPLITS
from eoseg.datasets.torchgeo_loading import middle_tile, spread
from eoseg.datasets.torchgeo_sources import FootprintSource, ImageSource, Source
from eoseg.geo.ground_plan import GroundPart, SharedGround, part_of_box, plan_ground

_MOST_IMAGES = 300
"""Of each split, that are read and compared."""

_MOST_PIXELS = 40_000_000
"""Of all images of a split that are read."""


def audit_torchgeo(sources: Mapping[str, Source], *, chip_size: int) -> LeakageAudit:
    """Look for images of one split that another one has too, and for ground that splits share.

    Leaks are warnings here: the split is the benchmark's, and figures on another one could not be compared.

    Args:
        sources: The images of each split, ready to be read.
        chip_size: Height and width of a chip in pixels.
    """
    started = time.perf_counter()
    nowhere = "The benchmark's images have no place that is known."
    unknown = "The labels of a benchmark are not sampled for a variogram."
    distance = Check("distance", "unknown", unknown)
    held = {name: source for name, source in sources.items() if isinstance(source, FootprintSource)}
    if held:
        ground, times = _ground_of(held)
        shared, others = _same_time(ground.plan.shared(ground.splits)[0], times)
        check = check_ground(ground, shared, is_benchmark=True)
        if others:
            text = f"{check.text} {count_of(others, 'more place')} at another time."
            check = Check(
                check.name, max(check.level, "note", key=LEVELS.index), text, check.numbers, check.examples
            )
        checks = [check, distance, _same_names(sources)]
        return LeakageAudit(tuple(checks), map_of(ground, shared), time.perf_counter() - started)
    checks = [Check("ground", "unknown", nowhere), distance, _same_names(sources)]
    checks.append(_duplicates(sources, chip_size))
    return LeakageAudit(tuple(checks), None, time.perf_counter() - started)


def _ground_of(sources: Mapping[str, FootprintSource]) -> tuple[Ground, list[tuple[float, float]]]:
    """Footprints of all splits, and the first and last second of each."""
    parts: list[GroundPart] = []
    splits: list[int] = []
    times: list[tuple[float, float]] = []
    for split, source in sources.items():
        for footprint in source.footprints():
            parts.append(
                part_of_box(
                    footprint.name,
                    left=footprint.left,
                    top=footprint.top,
                    height=footprint.rows,
                    width=footprint.cols,
                    pixel=footprint.pixel,
                    crs=footprint.crs,
                )
            )
            splits.append(SPLITS.index(split))
            times.append(footprint.seconds)
    plan = plan_ground(parts)
    numbers = np.array(splits)[plan.places]
    names = [part.scene for part in plan.parts]
    return Ground(plan, numbers, names, len(parts) - len(plan.places)), [times[p] for p in plan.places]


def _same_time(
    shared: list[SharedGround], times: list[tuple[float, float]]
) -> tuple[list[SharedGround], int]:
    """Those whose times overlap, and how many others there are."""
    same = [
        entry
        for entry in shared
        if times[entry.first][0] <= times[entry.second][1] and times[entry.second][0] <= times[entry.first][1]
    ]
    return same, len(shared) - len(same)


def _same_names(sources: Mapping[str, Source]) -> Check:
    tested = "test" if "test" in sources else "val"
    both = sorted(set(sources["train"].names) & set(sources[tested].names)) if tested in sources else []
    if not both:
        return Check("source", "clean", f"train and {tested} share no image by name.")
    text = f"{count_of(len(both), 'image')} of the {tested} split are in train too (first: '{both[0]}')."
    return Check("source", "warning", text, {"images on both sides": len(both)}, some(both))


def _duplicates(sources: Mapping[str, Source], chip_size: int) -> Check:
    pictures = {name: _read(source, chip_size) for name, source in sources.items()}
    pairs: list[NamedPair] = []
    for one, other in PARTS:
        if one in pictures and other in pictures:
            (names, mine), (other_names, theirs) = pictures[one], pictures[other]
            pairs += [
                (names[pair.first], other_names[pair.second], pair.correlation, (one, other))
                for pair in find_duplicates(mine, theirs)
            ]
    return duplicate_check(pairs, compared=sum(len(held[0]) for held in pictures.values()), is_benchmark=True)


def _read(source: Source, chip_size: int) -> tuple[list[str], Signatures]:
    """The middle of some images of a split."""
    assert isinstance(source, ImageSource)  # footprints are compared by their place
    height, width = source.size(0)
    count = min(len(source), _MOST_IMAGES, max(2, _MOST_PIXELS // (height * width)))
    numbers = spread(len(source), count)
    found = []
    for number in numbers:
        item = middle_tile(source, number, chip_size)
        image, valid = item["image"].numpy(), item["valid"].numpy()
        if image.ndim == 4:
            image, valid = image.reshape(-1, *image.shape[-2:]), valid.any(axis=0)
        found.append(signatures(image[None], valid[None]))
    return [source.names[number] for number in numbers], join(found)
