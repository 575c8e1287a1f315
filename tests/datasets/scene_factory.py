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
