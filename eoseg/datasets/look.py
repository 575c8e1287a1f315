"""What a landscape looks like from a satellite: reflectance of the ground, light, optics, haze, noise."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from eoseg.datasets.landscape import (
    BUILT,
    FIELD,
    FOREST,
    MEADOW,
    ORCHARD,
    WATER,
    Floats,
    Landscape,
    fractal_noise,
)

# Surface reflectance in B02, B03, B04, B08: typical values of Sentinel-2 level 2A in June.
_WATER = (0.035, 0.045, 0.030, 0.018)
_SILT = (0.030, 0.045, 0.045, 0.020)
_CROWN = (0.020, 0.036, 0.022, 0.290)
_GRASS = (0.036, 0.072, 0.046, 0.340)
_SOIL = (0.085, 0.110, 0.140, 0.220)
_STREET = (0.105, 0.115, 0.120, 0.150)
_ROOF = (0.110, 0.120, 0.165, 0.210)
_CROPS = (
    (0.034, 0.070, 0.042, 0.350),  # green cereal, the colour of a meadow
    (0.046, 0.094, 0.052, 0.400),  # beet, brighter
    (0.060, 0.095, 0.085, 0.300),  # ripening cereal
    (0.062, 0.085, 0.092, 0.240),  # young maize, much soil
    (0.088, 0.115, 0.145, 0.225),  # bare
)


@dataclass(frozen=True, slots=True)
class Season:
    """The state of the plants on a day. Without one it is early summer, and each field has its crop."""

    green: Floats
    """Share of a field that green plants cover, 0 to 1, `(height, width)`."""
    leaves: float
    """How much leaf trees and grass carry, 0 in winter to 1 in summer."""
    canopy: Floats
    """Height of the trees in metres, `(height, width)`: tall crowns are darker and rougher."""


def observe(land: Landscape, rng: Generator, season: Season | None = None) -> Floats:
    """Look at a landscape through optics and atmosphere.

    Args:
        land: What is there.
        rng: Source of what differs between two looks: haze, gain, sun, noise.
        season: The state of the plants.

    Returns:
        Reflectance `(4, height, width)`, about 0 to 0.5.
    """
    height, width = land.classes.shape
    surface = _surface(land, rng, season)  # (4, H, W)
    surface *= np.where(land.classes == WATER, 1, _sunlight(land.relief, rng))  # water is flat
    surface = _blur(surface, sigma=0.65)  # optics mix a pixel with its neighbours
    haze = 0.012 + 0.006 * fractal_noise(rng, height, width, roughness=3.2).clip(-1.8, 2.5)
    scattering = np.asarray([1.0, 0.75, 0.55, 0.2], np.float32)[:, None, None]
    gain = rng.normal(1, 0.06, (4, 1, 1)).astype(np.float32)
    signal = gain * surface + haze * scattering
    noisy = signal * rng.normal(1, 0.012, signal.shape) + rng.normal(0, 0.0015, signal.shape)
    return np.asarray(noisy, np.float32)


def _surface(land: Landscape, rng: Generator, season: Season | None) -> Floats:
    """Reflectance of the ground in even light, before any mixing, `(4, height, width)`."""
    shape = land.classes.shape
    mottle = fractal_noise(rng, *shape, roughness=0.9)
    fine = rng.standard_normal(shape).astype(np.float32)
    surface = np.empty((4, *shape), np.float32)
    layers = {
        WATER: _mix(_WATER, _SILT, fractal_noise(rng, *shape, roughness=2.5) * 0.3 + 0.4),
        FOREST: _tint(_CROWN) * (1 + 0.16 * fine + 0.10 * mottle),
        ORCHARD: _orchard(land, mottle),
        FIELD: _fields(land, mottle),
        MEADOW: _mix(_GRASS, _SOIL, 0.16 + 0.12 * mottle + 0.20 * (1 - land.vigour)),
        BUILT: _built(land, mottle, fine),
    }
    if season is not None:
        layers |= _in_season(land, season, mottle, fine)
    for value, layer in layers.items():
        there = land.classes == value
        surface[:, there] = layer[:, there]
    return surface


def _in_season(land: Landscape, season: Season, mottle: Floats, fine: Floats) -> dict[int, Floats]:
    """The layers that change over the year."""
    tall = (season.canopy / 30).clip(0, 1)
    crowns = _tint(_CROWN) * (1.3 - 0.6 * tall + (0.06 + 0.2 * tall) * fine + 0.08 * mottle)
    bare = 0.45 * (1 - season.leaves)  # share of the ground seen between leafless trees, and of dead grass
    rows = 0.5 + 0.5 * np.sin(land.across * (2 * np.pi / 4.4))
    cover = (season.green * (1.1 - 0.35 * rows) + 0.04 * mottle).clip(0, 1)
    trees = _orchard(land, mottle)
    dry = 0.16 + 0.12 * mottle + 0.20 * (1 - land.vigour) + 0.5 * bare
    grass = _mix(_GRASS, _SOIL, dry.astype(np.float32))
    return {
        FOREST: crowns * (1 - bare) + _tint(_SOIL) * 0.7 * bare,
        ORCHARD: trees * (1 - bare) + _tint(_SOIL) * bare,
        FIELD: _mix(_SOIL, _CROPS[0], cover),
        MEADOW: grass,
    }


def _fields(land: Landscape, mottle: Floats) -> Floats:
    """Each parcel one crop, with rows: bands of soil show between the plants of a weak stand."""
    crops = np.asarray(_CROPS, np.float32)[land.crop].transpose(2, 0, 1)  # (4, H, W)
    rows = 0.5 + 0.5 * np.sin(land.across * (2 * np.pi / 4.4))
    soil = (0.15 * (1 - land.vigour) + 0.46 * rows + 0.04 * mottle).clip(0, 1)
    return np.asarray(crops * (1 - soil) + _tint(_SOIL) * soil, np.float32)


def _orchard(land: Landscape, mottle: Floats) -> Floats:
    """Rows of trees on grass, about one row in four pixels."""
    rows = 0.5 + 0.5 * np.sin(land.across * (2 * np.pi / 4.2))
    trees = rows * (0.75 + 0.25 * np.sin(land.along * (2 * np.pi / 5.0)))
    return _mix(_GRASS, _CROWN, (1.15 * trees + 0.10 * mottle + 0.1 * land.vigour).clip(0, 1))


def _built(land: Landscape, mottle: Floats, fine: Floats) -> Floats:
    """Gardens, then streets, then roofs of their own brightness each."""
    gardens = _mix(_GRASS, _CROWN, 0.45 + 0.25 * mottle + 0.1 * fine)
    streets = gardens * (1 - land.street) + _tint(_STREET) * land.street
    has_roof = land.roof > 0
    return np.where(has_roof, _tint(_ROOF) * (0.45 + 0.8 * land.roof), streets).astype(np.float32)


def _sunlight(relief: Floats, rng: Generator) -> Floats:
    """Light on a slope relative to flat ground: the cosine of the angle between sun and surface."""
    azimuth, zenith = rng.normal(np.radians(150), 0.15), rng.normal(np.radians(35), 0.05)
    down, right = np.gradient(relief)
    towards_sun = down * np.cos(azimuth) - right * np.sin(azimuth)  # row numbers grow southwards
    cosine = (np.cos(zenith) + np.sin(zenith) * towards_sun) / np.sqrt(1 + down**2 + right**2)
    light = 0.15 + 0.85 * cosine / np.cos(zenith)  # 15 % comes from the whole sky
    return np.asarray(light.clip(0.35, 1.6), np.float32)


def _blur(image: Floats, *, sigma: float) -> Floats:
    """Convolve each band with a Gaussian of five taps, borders repeated."""
    taps = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (1, 2):
        padding = [(2, 2) if axis == number else (0, 0) for number in range(3)]
        padded = np.pad(image, padding, mode="edge")
        length = image.shape[axis]
        parts = [padded.take(range(k, k + length), axis) * weight for k, weight in enumerate(taps)]
        image = np.sum(parts, axis=0, dtype=np.float32)
    return image


def _tint(spectrum: tuple[float, ...]) -> Floats:
    return np.asarray(spectrum, np.float32)[:, None, None]  # (4, 1, 1)


def _mix(first: tuple[float, ...], second: tuple[float, ...], share: Floats) -> Floats:
    """The second spectrum's share of the ground, the first one on the rest: `(4, height, width)`."""
    part = np.asarray(share, np.float32).clip(0, 1)[None]
    return np.asarray(_tint(first) * (1 - part) + _tint(second) * part, np.float32)
