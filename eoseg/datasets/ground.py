"""The doctor's view of the ground: pixel sizes, and places that two splits share."""

import hashlib
import math
from collections import defaultdict
from pathlib import Path

from eoseg.datasets.diagnosis import Diagnosis
from eoseg.datasets.index import SceneEntry, SceneIndex
from eoseg.datasets.splits import SPLITS, Split
from eoseg.geo.footprints import find_overlaps

_METRES_PER_DEGREE = 111_320.0
"""Along a meridian, and along the equator."""


def examine_leaks(diagnosis: Diagnosis, index: SceneIndex, split: Split) -> None:
    """Report ground, or a file, that lies in two splits."""
    regions = split.regions
    grids = [index.entry(region.scene_id).grid.crop(region.window) for region in regions]
    shared: dict[tuple[str, str], list[tuple[float, str, str]]] = defaultdict(list)
    for first, second, share in find_overlaps(grids):
        pair = sorted((regions[first], regions[second]), key=lambda region: SPLITS.index(region.split))
        one, other = pair
        if one.split != other.split:
            shared[one.split, other.split].append((share, one.scene_id, other.scene_id))
    for (one_split, other_split), places in shared.items():
        share, scene, other_scene = max(places)
        diagnosis.warn(
            f"{one_split} and {other_split} cover the same ground in {len(places)} places (most: '{scene}' "
            f"and '{other_scene}', {share:.0%} of the smaller one), so figures will be too good. Put "
            "overlapping scenes into one split: split.method files."
        )
    for one_scene, other_scene in _same_files(index, split):
        diagnosis.warn(
            f"'{one_scene}' and '{other_scene}' are the same file but lie in different splits. Take one out."
        )


def _same_files(index: SceneIndex, split: Split) -> list[tuple[str, str]]:
    """Pairs of scenes in different splits whose image files hold the same bytes."""
    by_size: dict[int, list[SceneEntry]] = defaultdict(list)
    for entry in index.entries.values():
        if Path(entry.image).is_file():
            by_size[Path(entry.image).stat().st_size].append(entry)
    by_hash: dict[str, list[str]] = defaultdict(list)
    for entries in by_size.values():
        for entry in entries if len(entries) > 1 else []:
            with Path(entry.image).open("rb") as file:
                by_hash[hashlib.file_digest(file, "sha256").hexdigest()].append(entry.id)
    own: dict[str, set[str]] = defaultdict(set)
    for region in split.regions:
        own[region.scene_id].add(region.split)
    return [
        (names[0], name) for names in by_hash.values() for name in names[1:] if own[names[0]] != own[name]
    ]


def examine_grids(diagnosis: Diagnosis, index: SceneIndex, chip_size: int) -> None:
    """Report pixels of different sizes or that are not square, and scenes smaller than a chip."""
    entries = list(index.entries.values())
    sizes = {entry.id: _metres(entry) for entry in entries if entry.grid.is_georeferenced}
    widths = [width for width, _ in sizes.values()]
    if widths and max(widths) > 1.05 * min(widths):
        diagnosis.warn(
            f"Pixels differ in size between scenes ({min(widths):.3g} to {max(widths):.3g} m). Resample all "
            "to one size (rio warp --res)."
        )
    oblong = [name for name, (width, height) in sizes.items() if not 0.9 < width / height < 1.1]
    if oblong:
        diagnosis.warn(
            f"Pixels are not square on the ground in {len(oblong)} scenes (first: '{oblong[0]}'), so quarter "
            "turns distort. Set augment: {flips_and_rotations: false}, or warp to a projected CRS."
        )
    small = [entry.id for entry in entries if min(entry.grid.height, entry.grid.width) < chip_size]
    if small:
        diagnosis.warn(
            f"{len(small)} scenes are smaller than a chip of {chip_size} px (first: '{small[0]}'), so part "
            "of each of their chips is empty. Lower chip_size."
        )


def crs_of(entry: SceneEntry) -> str:
    """Short name of a scene's CRS."""
    crs = entry.grid.crs
    if crs is None:
        return "none"
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else "user-defined"


def pixel_of(entry: SceneEntry) -> str:
    """Size of a pixel in words, in metres too where the CRS counts in degrees."""
    crs = entry.grid.crs
    if crs is None:
        return "unknown"
    width, height = entry.grid.pixel_size
    text = f"{width:.4g}" if math.isclose(width, height, rel_tol=1e-3) else f"{width:.4g} x {height:.4g}"
    if crs.is_geographic:
        across, down = _metres(entry)
        return f"{text} deg (about {across:.3g} x {down:.3g} m)"
    return f"{text} {'m' if crs.linear_units_factor[1] == 1 else crs.linear_units}"


def _metres(entry: SceneEntry) -> tuple[float, float]:
    """Width and height of a pixel in metres, roughly."""
    width, height = entry.grid.pixel_size
    crs = entry.grid.crs
    if crs is None:
        return width, height
    if crs.is_geographic:
        _, bottom, _, top = entry.grid.bounds
        shrink = math.cos(math.radians((bottom + top) / 2))
        return width * _METRES_PER_DEGREE * shrink, height * _METRES_PER_DEGREE
    factor = float(crs.linear_units_factor[1])
    return width * factor, height * factor
