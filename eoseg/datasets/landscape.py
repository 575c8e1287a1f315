"""A made-up landscape: which class is where, and what lies beneath it.

The landscape is what does not change between two looks at the same place: relief, parcels, crops and
land cover. `eoseg.datasets.world` turns it into images. Whole-array numpy throughout; lengths are in
pixels of 10 m.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

type Floats = NDArray[np.float32]
type Ints = NDArray[np.int32]

WATER, FOREST, ORCHARD, FIELD, MEADOW, BUILT = range(6)

CROPS = 5
"""Kinds of crop on a field; the image decides what each looks like."""

# A parcel is about 26 x 44 px (260 m x 440 m), and parcels share one direction over about 2 km.
_PARCEL = (26.0, 44.0)
_DISTRICT = (190.0, 190.0)


@dataclass(frozen=True, slots=True)
class Landscape:
    """Land cover and what shapes its look. All arrays are `(height, width)`."""

    classes: NDArray[np.uint8]
    """Class of each pixel, `WATER` to `BUILT`."""
    relief: Floats
    """Height of the ground in pixels, so that a slope is a plain gradient."""
    crop: Ints
    """Kind of crop of the parcel, 0 to CROPS - 1."""
    vigour: Floats
    """How well the parcel grows, 0 to 1."""
    across: Floats
    """Distance across the rows of the parcel: crop rows and orchards repeat along it."""
    along: Floats
    """Distance along the rows."""
    street: Floats
    """1 on streets and roads, 0 elsewhere."""
    roof: Floats
    """Brightness of a roof, 0 where there is none."""


def make_landscape(rng: Generator, height: int, width: int) -> Landscape:
    """Draw a landscape.

    Args:
        rng: Source of all randomness: the same state gives the same landscape.
        height: Rows.
        width: Columns.
    """
    rows, cols = np.mgrid[0:height, 0:width].astype(np.float32)
    relief = fractal_noise(rng, height, width, roughness=3.0)
    moisture = fractal_noise(rng, height, width, roughness=4.0)

    districts = _cells(rng, rows, cols, _DISTRICT, jitter=0.9)
    angles = rng.uniform(0, np.pi, districts.count).astype(np.float32)[districts.index]
    across = cols * np.cos(angles) + rows * np.sin(angles)
    along = rows * np.cos(angles) - cols * np.sin(angles)
    parcels = _cells(rng, along, across, (_PARCEL[1], _PARCEL[0]), jitter=0.6)
    # A parcel cut by the border of two districts is two parcels: each pair gets its own draw.
    draw = rng.random((districts.count, parcels.count, 3), np.float32)[districts.index, parcels.index]

    classes = np.full((height, width), FIELD, np.uint8)
    classes[draw[..., 0] > 0.62] = MEADOW
    classes[(draw[..., 0] > 0.42) & (moisture > 0.8)] = MEADOW  # wet ground is mown rather than ploughed
    classes[draw[..., 0] < 0.16] = ORCHARD
    wood = fractal_noise(rng, height, width, roughness=2.3)
    classes[0.7 * relief + wood > 0.85] = FOREST
    towns = _towns(rng, rows, cols, relief)
    classes[towns.inside] = BUILT
    classes[_water(rng, relief)] = WATER
    roads = _roads(rng, rows, cols, towns.centres)
    classes[roads] = BUILT  # after the water: bridges

    street, roof = _streets_and_roofs(rng, towns, roads)
    return Landscape(
        classes=classes,
        relief=9 * relief,
        crop=(draw[..., 1] * CROPS).astype(np.int32),
        vigour=draw[..., 2],
        across=across,
        along=along,
        street=street,
        roof=roof,
    )


def fractal_noise(rng: Generator, height: int, width: int, *, roughness: float) -> Floats:
    """Noise whose amplitude falls with frequency to the power `-roughness / 2 - 0.5`.

    White noise is filtered in the frequency domain on a larger field (opposite borders of the whole
    would match), then cut; the result has mean 0 and standard deviation 1.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        roughness: 3 looks like hills, 2 like forest borders; 0 is nearly white.
    """
    tall, wide = (-(-(length + 96) // 64) * 64 for length in (height, width))  # quick to transform
    spectrum = np.fft.rfft2(rng.standard_normal((tall, wide), np.float32))
    frequency = np.hypot(np.fft.fftfreq(tall)[:, None], np.fft.rfftfreq(wide)[None])
    lowest = 1 / 400  # no hill is longer than 4 km, whatever the size of the scene
    spectrum *= np.maximum(frequency, lowest) ** (-roughness / 2 - 0.5)
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (tall, wide))[:height, :width]
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Cells:
    index: Ints
    count: int


def _cells(rng: Generator, rows: Floats, cols: Floats, size: tuple[float, float], *, jitter: float) -> _Cells:
    """Cut the plane into cells around jittered lattice points (Worley 1996).

    A pixel belongs to the nearest point; the nearest one is among the 3 x 3 lattice points around it
    as long as the jitter is below one lattice step. The distance is that of the fourth power, which
    makes the cells more rectangular than Euclid's.
    """
    v, u = rows / size[0], cols / size[1]
    v, u = v - v.min() + 1, u - u.min() + 1  # lattice numbers from 1, so that neighbours exist
    base_v, base_u = v.astype(np.int32), u.astype(np.int32)
    tall, wide = int(base_v.max()) + 2, int(base_u.max()) + 2
    shifts = (jitter * (rng.random((2, tall, wide), np.float32) - 0.5)) + 0.5
    best = np.full(rows.shape, np.inf, np.float32)
    index = np.zeros(rows.shape, np.int32)
    for dv in (-1, 0, 1):
        for du in (-1, 0, 1):
            i, j = base_v + dv, base_u + du
            distance = np.square(np.square(v - (i + shifts[0, i, j])))
            distance += np.square(np.square(u - (j + shifts[1, i, j])))
            index = np.where(distance < best, i * wide + j, index)
            best = np.minimum(best, distance)
    return _Cells(index, tall * wide)


@dataclass(frozen=True, slots=True)
class _Towns:
    centres: Floats
    """`(n, 2)` rows and columns."""
    inside: NDArray[np.bool_]
    across: Floats
    along: Floats


def _towns(rng: Generator, rows: Floats, cols: Floats, relief: Floats) -> _Towns:
    """Round settlements with ragged borders, off the hills, each with streets in its own direction."""
    height, width = rows.shape
    count = max(2, round(height * width / 45_000))
    centres = rng.uniform((0, 0), (height, width), (count, 2)).astype(np.float32)
    radii = 16 + 22 * rng.random(count, np.float32) ** 2
    angles = rng.uniform(0, np.pi / 2, count).astype(np.float32)
    distance = np.hypot(rows[..., None] - centres[:, 0], cols[..., None] - centres[:, 1]) / radii
    nearest = distance.argmin(axis=-1)
    ragged = 0.2 * fractal_noise(rng, height, width, roughness=2.0)
    inside = (distance.min(axis=-1) + ragged < 1) & (relief < 1.2)
    turn = angles[nearest]
    return _Towns(
        centres,
        inside,
        cols * np.cos(turn) + rows * np.sin(turn),
        rows * np.cos(turn) - cols * np.sin(turn),
    )


def _roads(rng: Generator, rows: Floats, cols: Floats, centres: Floats) -> NDArray[np.bool_]:
    """Winding roads of about 2.4 px from each town to its nearest later one."""
    wind = 9 * fractal_noise(rng, *rows.shape, roughness=2.4)
    y, x = rows + wind, cols - wind
    roads = np.zeros(rows.shape, np.bool_)
    for number, start in enumerate(centres[:-1]):
        others = centres[number + 1 :]
        end = others[np.hypot(*(others - start).T).argmin()]
        step = end - start
        share = ((y - start[0]) * step[0] + (x - start[1]) * step[1]) / max(float(step @ step), 1.0)
        share = share.clip(0, 1)
        roads |= np.hypot(y - start[0] - share * step[0], x - start[1] - share * step[1]) < 1.2
    return roads


def _water(rng: Generator, relief: Floats) -> NDArray[np.bool_]:
    """Lakes in the hollows and a river along a level line of smooth noise."""
    height, width = relief.shape
    course = fractal_noise(rng, height, width, roughness=4.0)
    slope = np.hypot(*np.gradient(course)) + 1e-6
    half_width = 2.6 + 1.2 * fractal_noise(rng, height, width, roughness=3.5).clip(-0.8, 1.5)
    river = np.abs(course) / slope < half_width
    return np.asarray((relief < -1.6) | river)


def _streets_and_roofs(rng: Generator, towns: _Towns, roads: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Blocks of 9 x 13 px within streets; roofs stand on most of the lots, gardens on the rest."""
    u, v = towns.across / 9.0, towns.along / 13.0
    on_street = towns.inside & (((u % 1) < 1.5 / 9) | ((v % 1) < 1.5 / 13))
    lot_u = (towns.across / 3.0).astype(np.int32)
    lot_v = (towns.along / 3.25).astype(np.int32)
    lot_u, lot_v = lot_u - lot_u.min(), lot_v - lot_v.min()
    table = rng.random((int(lot_u.max()) + 1, int(lot_v.max()) + 1), np.float32)
    lot = table[lot_u, lot_v]
    has_roof = towns.inside & ~on_street & ~roads & (lot > 0.38)
    street = (on_street | roads).astype(np.float32)
    return street, np.where(has_roof, lot, 0).astype(np.float32)
