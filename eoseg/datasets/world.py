"""A small synthetic world with known truth, made without network: what the demo and the tests train on.

It looks like Sentinel-2 in early summer: reflectance times 10000 as uint16, 10 m, UTM, nodata 0 beyond
the swath. The spectrum of a pixel does not suffice to know its class: relief, haze and gain change from
place to place, green crops have the colour of meadows, orchards that of thin forest, bare soil that of
roofs. Pattern (crop rows, tree rows, crowns, street blocks) and neighbourhood tell them apart.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from eoseg.datasets.landscape import make_landscape
from eoseg.datasets.look import observe
from eoseg.errors import ConfigError, OutputError
from eoseg.geo.write import north_up_grid, write_raster
from eoseg.recipe import IGNORE, parse_classes

WORLD_CLASSES = {
    "water": "#2B6CB0",
    "forest": "#1B5E20",
    "orchard": "#8BC34A",
    "field": "#E9C46A",
    "meadow": "#B7E4A1",
    "built": "#C0392B",
}
"""Names and colours of the classes; a label value is the place in this dictionary."""

WORLD_BANDS = ("B02", "B03", "B04", "B08")
"""Blue, green, red and near infrared, as Sentinel-2 numbers them."""

NODATA = 0
PIXEL_SIZE = 10.0
CRS_CODE = 32632


@dataclass(frozen=True, slots=True)
class World:
    """Where the files of a world are."""

    folder: Path
    images: tuple[Path, ...]
    """Training scenes, `train/images/*.tif`."""
    labels: tuple[Path, ...]
    """Their labels, `train/labels/*.tif`, under the same file names."""
    unseen_image: Path
    """A larger scene elsewhere, to be mapped."""
    unseen_truth: Path
    """What is really there."""


def make_world(
    folder: Path,
    *,
    seed: int = 0,
    scenes: int = 4,
    size: int = 512,
    unseen_size: tuple[int, int] = (701, 903),
) -> World:
    """Make a world of labelled training scenes and one unseen scene with its truth.

    The same arguments give the same files, byte for byte.

    Args:
        folder: A new or empty folder.
        seed: Chooses the world.
        scenes: Number of training scenes; scene k is the same for any number of them.
        size: Height and width of a training scene in pixels, at least 64.
        unseen_size: Height and width of the unseen scene in pixels, each at least 64.

    Raises:
        ConfigError: No scene, or too small a one.
        OutputError: The folder holds files already, or cannot be written.
    """
    if scenes < 1:
        raise ConfigError(f"A world needs at least 1 training scene; found {scenes}.")
    smallest = min(size, *unseen_size)
    if smallest < 64:
        raise ConfigError(f"A scene of the world has at least 64 px each way; found {smallest}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"'{folder}' holds files already; name a new folder for the world.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made elsewhere and renamed, so that a world is there completely or not at all.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            made = _world_in(Path(scratch) / "world", scenes)
            _write_world(made, seed, size, unseen_size)
            made.folder.replace(folder)
    except OSError as error:
        raise OutputError(f"The world '{folder}' cannot be written: {error}. Name another folder.") from error
    return _world_in(folder, scenes)


def _world_in(folder: Path, scenes: int) -> World:
    return World(
        folder=folder,
        images=tuple(folder / "train" / "images" / f"scene_{number}.tif" for number in range(scenes)),
        labels=tuple(folder / "train" / "labels" / f"scene_{number}.tif" for number in range(scenes)),
        unseen_image=folder / "unseen" / "image.tif",
        unseen_truth=folder / "unseen" / "truth.tif",
    )


def _write_world(world: World, seed: int, size: int, unseen_size: tuple[int, int]) -> None:
    _write_place(world.unseen_image, world.unseen_truth, seed, 0, unseen_size)
    for place, (image, label) in enumerate(zip(world.images, world.labels, strict=True), start=1):
        _write_place(image, label, seed, place, (size, size))
    (world.folder / "README.md").write_text(_readme(seed), encoding="utf-8", newline="\n")


def make_place(seed: int, place: int, size: tuple[int, int]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Make one scene and its truth in memory.

    Args:
        seed: Chooses the world.
        place: Chooses the place in it; 0 is the unseen one.
        size: Height and width in pixels.

    Returns:
        `image`: uint16 `(4, height, width)`, reflectance times 10000, at least 1, and 0 beyond the
        swath. `truth`: uint8 `(height, width)`, class index, and `IGNORE` beyond the swath.
    """
    # The land and its look have their own sources, so that another date leaves the land as it is.
    land_seed, look_seed = SeedSequence((seed, place)).spawn(2)
    land = make_landscape(default_rng(land_seed), *size)
    look = default_rng(look_seed)
    reflectance = observe(land, look)
    image = np.rint(reflectance * 10_000).clip(1, 65_535).astype(np.uint16)
    truth = land.classes.copy()
    outside = _beyond_swath(look, place, size)
    image[:, outside] = NODATA
    truth[outside] = IGNORE
    return image, truth


def _beyond_swath(rng: Generator, place: int, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels that the satellite did not see: a slanted edge in every other place, the unseen one included."""
    rows, cols = np.mgrid[0 : size[0], 0 : size[1]]
    share, slant = rng.uniform(0.03, 0.12), rng.uniform(0.12, 0.25)
    if place % 2:
        return np.zeros(size, np.bool_)
    return np.asarray(cols > size[1] * (1 - share) + slant * rows)


def _write_place(image_path: Path, truth_path: Path, seed: int, place: int, size: tuple[int, int]) -> None:
    image, truth = make_place(seed, place, size)
    # Places lie 20 km apart on the 10 m lattice of the UTM zone.
    left, top = 600_000.0 + 20_000.0 * (place % 5), 5_400_000.0 - 20_000.0 * (place // 5)
    grid = north_up_grid(CRS_CODE, left=left, top=top, pixel_size=PIXEL_SIZE, height=size[0], width=size[1])
    colors = [entry.color for entry in parse_classes(WORLD_CLASSES)]
    write_raster(image_path, image, grid, nodata=NODATA, names=WORLD_BANDS)
    write_raster(truth_path, truth, grid, nodata=IGNORE, names=["class"], colors=colors)


def _readme(seed: int) -> str:
    lines = [f"- {value}: {name} ({color})" for value, (name, color) in enumerate(WORLD_CLASSES.items())]
    return "\n".join(
        [
            "# A synthetic world with known truth",
            "",
            f"Made by eoseg with seed {seed}; nothing here was measured. Free of any rights.",
            "",
            "- `train/images/*.tif`: labelled scenes, bands B02, B03, B04, B08 x 10000; nodata 0",
            "- `train/labels/*.tif`: their classes, under the same file names; 255 means no label",
            "- `unseen/image.tif`: a scene from another place, to be mapped",
            "- `unseen/truth.tif`: what is really there",
            "",
            "## Classes",
            "",
            *lines,
            "",
        ]
    )
