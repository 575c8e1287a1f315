"""The synthetic world of the course: one land for every task, made so that spectra alone do not suffice.

Twelve places, each seen over a year and again a year later. On each there is something to learn for every
chapter of a course:

- *texture*: orchards have the colour of a mixture of meadow and wood; rows tell them apart;
- *season*: a field bears one long crop a year or two short ones. On any single day both are green on the
  same share of fields; only the course of the year tells them apart. A quarter of all looks is cloud;
- *change*: a year later some woods are cleared, some fields built over, some meadows flooded. Crops change
  too, everywhere, and light and haze are others: what differs most is not what changed;
- *quantity*: the height of the trees, which shows in the darkness and roughness of their crowns.

Bands, units and grids are those of `eoseg.datasets.world`.
"""

import tempfile
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

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
    make_landscape,
)
from eoseg.datasets.look import Season, observe
from eoseg.datasets.world import CRS_CODE, NODATA, PIXEL_SIZE, WORLD_BANDS
from eoseg.errors import ConfigError, OutputError
from eoseg.geo.grid import Grid
from eoseg.geo.write import north_up_grid, write_raster
from eoseg.recipe import IGNORE, parse_classes

COURSE_CLASSES = {
    "water": "#2B6CB0",
    "forest": "#1B5E20",
    "orchard": "#8BC34A",
    "single crop": "#E9C46A",
    "double crop": "#F4A261",
    "meadow": "#B7E4A1",
    "built": "#C0392B",
}
"""Names and colours of the land cover; a label value is the place in this dictionary."""

CHANGE_CLASSES = {"unchanged": "#DDDDDD", "cleared": "#8D6E63", "built": "#C0392B", "flooded": "#2B6CB0"}
"""Names and colours of the changes."""

PLACES = 12
"""Places 0 to 6 are meant for training, 7 and 8 for validation, 9 to 11 for the test."""

DAYS = tuple(range(20, 350, 30))
"""Days of the year on which the land is seen, eleven of them."""

MIDSUMMER = DAYS.index(200)
"""The look without clouds that stands for a single date."""

YEAR = 2023
_CLOUDY = 0.25
_SINGLE, _DOUBLE = 3, 4
_LAND_TO_LABEL = {WATER: 0, FOREST: 1, ORCHARD: 2, FIELD: _SINGLE, MEADOW: 5, BUILT: 6}
_CLEARED, _BUILT_UP, _FLOODED = 1, 2, 3
_LONG, _SHORT = 150.0, 75.0
"""Days from first to last green of a single crop, and of each of two."""


@dataclass(frozen=True, slots=True)
class Place:
    """Everything there is to know of a place. Images are uint16 `(4, H, W)`, reflectance times 10000."""

    looks: tuple[NDArray[np.uint16], ...]
    """One image for each of `DAYS`; 0 under clouds, of which `MIDSUMMER` has none."""
    later: NDArray[np.uint16]
    """Midsummer a year later."""
    classes: NDArray[np.uint8]
    """Land cover in the first year, indices of `COURSE_CLASSES`."""
    change: NDArray[np.uint8]
    """What changed until the second year, indices of `CHANGE_CLASSES`."""
    height: Floats
    """Height of the trees in the first year in metres, 0 where there are none."""


def make_course_place(seed: int, place: int, size: int) -> Place:
    """Make a place in memory.

    Args:
        seed: Chooses the world.
        place: Chooses the place in it.
        size: Height and width in pixels.
    """
    land_seed, plant_seed, change_seed, look_seed = SeedSequence((seed, place)).spawn(4)
    land = make_landscape(default_rng(land_seed), size, size)
    plants = _Plants(land, default_rng(plant_seed))
    looks = default_rng(look_seed)
    first = [_look(land, plants, day, looks) for day in DAYS]
    for number, image in enumerate(first):
        if number != MIDSUMMER:
            image[:, _clouds(looks, size)] = NODATA
    changed, change = _changed(land, default_rng(change_seed))
    next_year = _Plants(changed, default_rng(change_seed.spawn(1)[0]), canopy=plants.canopy)
    classes = np.vectorize(_LAND_TO_LABEL.__getitem__, otypes=[np.uint8])(land.classes)
    classes[(land.classes == FIELD) & plants.twice] = _DOUBLE
    return Place(
        looks=tuple(first),
        later=_look(changed, next_year, DAYS[MIDSUMMER], looks),
        classes=classes,
        change=change,
        height=plants.canopy,
    )


class _Plants:
    """What grows where, over one year."""

    def __init__(self, land: Landscape, rng: Generator, *, canopy: Floats | None = None) -> None:
        values, parcel = np.unique(land.vigour, return_inverse=True)  # each parcel has a vigour of its own
        parcel = parcel.reshape(land.vigour.shape)
        count = len(values)
        self.twice: NDArray[np.bool_] = (rng.random(count) < 0.5)[parcel]
        # Spread over the whole year, so that no day shows more of one kind than of the other.
        self._begin: Floats = rng.uniform(0, 365, count).astype(np.float32)[parcel]
        shape = land.classes.shape
        age = (0.5 + 0.28 * fractal_noise(rng, *shape, roughness=2.8)).clip(0.05, 1)
        trees = np.where(land.classes == FOREST, 30 * age, np.where(land.classes == ORCHARD, 2 + 3 * age, 0))
        self.canopy: Floats = (trees if canopy is None else np.minimum(trees, canopy)).astype(np.float32)

    def season(self, day: int) -> Season:
        """The state of the plants on a day of the year."""
        since = (day - self._begin) % 365
        long = _growth(since, _LONG)
        short = _growth(since, _SHORT) + _growth((since - 182.5) % 365, _SHORT)
        leaves = float(np.clip(0.5 - 0.75 * np.cos(2 * np.pi * (day - 15) / 365), 0, 1))
        return Season(green=np.where(self.twice, short, long), leaves=leaves, canopy=self.canopy)


def _growth(since: Floats, length: float) -> Floats:
    """Green cover of a crop some days after its first green, 0 to 1."""
    course = np.sin(np.pi * (since / length).clip(0, 1))
    return np.asarray(np.minimum(1.6 * course, 1), np.float32)


def _look(land: Landscape, plants: _Plants, day: int, rng: Generator) -> NDArray[np.uint16]:
    reflectance = observe(land, rng, plants.season(day))
    return np.rint(reflectance * 10_000).clip(1, 65_535).astype(np.uint16)


def _clouds(rng: Generator, size: int) -> NDArray[np.bool_]:
    noise = fractal_noise(rng, size, size, roughness=2.6)
    share = rng.uniform(0, 2 * _CLOUDY)
    return np.asarray(noise > np.quantile(noise, 1 - share))


def _changed(land: Landscape, rng: Generator) -> tuple[Landscape, NDArray[np.uint8]]:
    """The land a year later, and what changed."""
    shape = land.classes.shape
    values, parcel = np.unique(land.vigour, return_inverse=True)
    draw = rng.random(len(values))[parcel.reshape(shape)]
    holes = fractal_noise(rng, *shape, roughness=2.6)
    change = np.zeros(shape, np.uint8)
    change[(land.classes == FOREST) & (holes > 0.9)] = _CLEARED
    change[np.isin(land.classes, (FIELD, MEADOW)) & (draw < 0.09)] = _BUILT_UP
    change[np.isin(land.classes, (FIELD, MEADOW)) & (draw > 0.95)] = _FLOODED
    classes = land.classes.copy()
    for kind, there in ((_CLEARED, FIELD), (_BUILT_UP, BUILT), (_FLOODED, WATER)):
        classes[change == kind] = there
    new = change == _BUILT_UP
    on_street = ((land.across / 9) % 1 < 1.5 / 9) | ((land.along / 13) % 1 < 1.5 / 13)
    lots = rng.random((97, 89), np.float32)[
        (land.across / 3).astype(np.int64) % 97, (land.along / 3.25).astype(np.int64) % 89
    ]
    roof = np.where(new, np.where(~on_street & (lots > 0.38), lots, 0), land.roof)
    later = replace(
        land,
        classes=classes,
        vigour=rng.random(len(values), np.float32)[parcel.reshape(shape)],
        street=np.where(new, on_street, land.street).astype(np.float32),
        roof=roof.astype(np.float32),
    )
    return later, change


def make_course_world(folder: Path, *, seed: int = 0, places: int = PLACES, size: int = 256) -> Path:
    """Write the world of the course; the same arguments give the same files, byte for byte.

    Args:
        folder: A new or empty folder.
        seed: Chooses the world.
        places: Number of places; a place is the same for any number of them.
        size: Height and width of a place in pixels, at least 64.

    Returns:
        The folder.

    Raises:
        ConfigError: No place, or too small a one.
        OutputError: The folder holds files already, or cannot be written.
    """
    if places < 1 or size < 64:
        raise ConfigError(f"A world has 1 or more places of 64 px or more; found {places} of {size} px.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"'{folder}' holds files already; name a new folder for the world.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made elsewhere and renamed, so that a world is there completely or not at all.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            made = Path(scratch) / "world"
            for number in range(places):
                _write(made, number, make_course_place(seed, number, size))
            made.replace(folder)
    except OSError as error:
        raise OutputError(f"The world '{folder}' cannot be written: {error}. Name another folder.") from error
    return folder


def _write(folder: Path, number: int, place: Place) -> None:
    name, grid = f"place_{number:02d}", _grid(number, place)
    days = [date(YEAR, 1, 1) + timedelta(days=day - 1) for day in DAYS]
    images = {
        folder / "images" / f"{name}.tif": place.looks[MIDSUMMER],
        folder / "later" / f"{name}.tif": place.later,
    }
    for day, image in zip(days, place.looks, strict=True):
        images[folder / "series" / name / f"{day:%Y%m%d}.tif"] = image
    for path, image in images.items():
        write_raster(path, image, grid, nodata=NODATA, names=WORLD_BANDS)
    for kind, labels, classes in (
        ("labels", place.classes, COURSE_CLASSES),
        ("change", place.change, CHANGE_CLASSES),
    ):
        colors = [entry.color for entry in parse_classes(classes)]
        write_raster(
            folder / kind / f"{name}.tif", labels, grid, nodata=IGNORE, names=["class"], colors=colors
        )
    write_raster(folder / "height" / f"{name}.tif", place.height, grid, nodata=-9999.0, names=["height"])


def _grid(number: int, place: Place) -> Grid:
    height, width = place.classes.shape
    left, top = 600_000.0 + 20_000.0 * (number % 5), 5_400_000.0 - 20_000.0 * (number // 5)
    return north_up_grid(CRS_CODE, left=left, top=top, pixel_size=PIXEL_SIZE, height=height, width=width)
