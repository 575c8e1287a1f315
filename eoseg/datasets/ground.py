"""The doctor's view of the ground: CRS, and sizes of pixels and scenes."""

import math

from eoseg.datasets.diagnosis import Diagnosis
from eoseg.datasets.index import SceneEntry, SceneIndex

_METRES_PER_DEGREE = 111_320.0
"""Along a meridian, and along the equator."""


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
