"""Folders of small labelled scenes with known content."""

from pathlib import Path
from typing import Any

import numpy as np
from conftest import write_scene

from eoseg.datasets.config import SceneSource
from eoseg.datasets.index import load_index
from eoseg.datasets.reader import SceneReader

CLASSES = ["water", "land", "forest"]


def striped_labels(height: int, width: int, period: int = 5) -> np.ndarray:
    """Three classes in diagonal stripes, so that every place has all of them near."""
    rows, cols = np.indices((height, width))
    return ((rows + cols) // period % 3).astype(np.uint8)


def position_image(height: int, width: int, offset: int = 1) -> np.ndarray:
    """Two bands that say where a pixel is: its row and its column, plus an offset."""
    rows, cols = np.indices((height, width))
    return np.stack([rows, cols]).astype(np.uint16) + offset


def make_data(
    folder: Path,
    sizes: dict[str, tuple[int, int]],
    *,
    labels: dict[str, np.ndarray] | None = None,
    images: dict[str, np.ndarray] | None = None,
    **profile: Any,
) -> SceneSource:
    """Write scenes `images/<name>.tif` with labels `labels/<name>.tif`; each 1 km apart."""
    for number, (name, (height, width)) in enumerate(sizes.items()):
        origin = (500_000.0 + 100_000 * number, 5_400_000.0)
        image = (images or {}).get(name, position_image(height, width))
        mask = (labels or {}).get(name, striped_labels(height, width))
        write_scene(folder / "images" / f"{name}.tif", image, origin=origin, names=["B1", "B2"], **profile)
        write_scene(folder / "labels" / f"{name}.tif", mask, origin=origin)
    return source_of(folder)


def source_of(folder: Path, **options: Any) -> SceneSource:
    """The configuration of `make_data`."""
    values: dict[str, Any] = {
        "root": str(folder),
        "images": "images/*.tif",
        "labels": "labels/*.tif",
        "classes": CLASSES,
    }
    return SceneSource(**{**values, **options})


def reader_of(source: SceneSource, **options: Any) -> SceneReader:
    """A reader of the scenes of a configuration."""
    return SceneReader(load_index(source), **options)


DATES = ("2020-03-01", "2020-06-01", "2021-01-01")


def dated_image(height: int, width: int, step: int) -> np.ndarray:
    """`position_image` plus 1000 for each earlier date, without a value (0) on one diagonal per date."""
    image = position_image(height, width, offset=1 + 1000 * step)
    rows, cols = np.indices((height, width))
    image[:, (rows + cols) % 7 == step] = 0
    return image


def make_pairs(folder: Path, sizes: dict[str, tuple[int, int]]) -> SceneSource:
    """Pairs `before/<name>.tif` and `after/<name>.tif` with the labels of `make_data`; nodata 0."""
    for number, (name, (height, width)) in enumerate(sizes.items()):
        origin = (500_000.0 + 100_000 * number, 5_400_000.0)
        for step, date in enumerate(("before", "after")):
            path, image = folder / date / f"{name}.tif", dated_image(height, width, step)
            write_scene(path, image, origin=origin, names=["B1", "B2"], nodata=0)
        write_scene(folder / "labels" / f"{name}.tif", striped_labels(height, width), origin=origin)
    return source_of(folder, images="before/*.tif", after="after/*.tif")


def make_series(
    folder: Path, sizes: dict[str, tuple[int, int]], *, dates: dict[str, tuple[str, ...]] | None = None
) -> SceneSource:
    """Series `series/<name>/S2_<date>.tif` with the labels of `make_data`; nodata 0."""
    for number, (name, (height, width)) in enumerate(sizes.items()):
        origin = (500_000.0 + 100_000 * number, 5_400_000.0)
        for step, date in enumerate((dates or {}).get(name, DATES)):
            path, image = folder / "series" / name / f"S2_{date}.tif", dated_image(height, width, step)
            write_scene(path, image, origin=origin, names=["B1", "B2"], nodata=0)
        write_scene(folder / "labels" / f"{name}.tif", striped_labels(height, width), origin=origin)
    return source_of(folder, images="series/*/S2_{date}.tif")


def heights(height: int, width: int) -> np.ndarray:
    """A quantity that follows from the place: half the row plus the column; none (-9999) in every 5th row."""
    rows, cols = np.indices((height, width))
    values = (rows / 2 + cols).astype(np.float32)
    values[rows % 5 == 4] = -9999
    return values


def make_values(folder: Path, sizes: dict[str, tuple[int, int]]) -> SceneSource:
    """Scenes as of `make_data`, with labels of a quantity."""
    make_data(folder, sizes, nodata=1)
    for number, (name, size) in enumerate(sizes.items()):
        origin = (500_000.0 + 100_000 * number, 5_400_000.0)
        write_scene(folder / "labels" / f"{name}.tif", heights(*size), origin=origin, nodata=-9999)
    return source_of(folder, classes=None, quantity="canopy height", unit="m")
