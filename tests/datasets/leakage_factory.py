"""Scenes with texture of their own, whose splits leak only where a test plants a leak."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from conftest import write_scene

from eoseg.datasets.config import SceneSource

PATCH = 8
"""Pixels along a side of a patch of one class."""


def textured(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Two bands `(2, H, W)` of patches and noise."""
    coarse = rng.integers(200, 1500, (2, -(-height // PATCH), -(-width // PATCH)))
    patches = coarse.repeat(PATCH, axis=1).repeat(PATCH, axis=2)[:, :height, :width]
    return (patches + rng.normal(0, 60, (2, height, width))).clip(1, 3000).astype(np.uint16)


def patches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Labels of two classes in patches drawn by lot, `(H, W)`."""
    coarse = rng.integers(0, 2, (-(-height // PATCH), -(-width // PATCH)))
    return coarse.repeat(PATCH, axis=0).repeat(PATCH, axis=1)[:height, :width].astype(np.uint8)


def write_scenes(
    folder: Path,
    origins: dict[str, tuple[float, float]],
    *,
    size: tuple[int, int] = (96, 96),
    images: dict[str, np.ndarray] | None = None,
    **profile: Any,
) -> SceneSource:
    """Write scenes with their labels, each at its top left corner in UTM 32 north."""
    for number, (name, origin) in enumerate(origins.items()):
        rng = np.random.default_rng(number)
        image, mask = textured(rng, *size), patches(rng, *size)
        image = (images or {}).get(name, image)
        write_scene(folder / "images" / f"{name}.tif", image, origin=origin, names=["B1", "B2"], **profile)
        write_scene(folder / "labels" / f"{name}.tif", mask, origin=origin, **profile)
    return SceneSource(root=str(folder), images="images/*.tif", labels="labels/*.tif", classes=["dry", "wet"])


APART = {name: (500_000.0 + 50_000 * n, 5_400_000.0) for n, name in enumerate(("a", "b", "c"))}
"""Places far from each other."""


def write_fields(
    path: Path, boxes: Sequence[tuple[float, float, float, float]], kinds: Sequence[str]
) -> Path:
    """Polygons (left, bottom, right, top in UTM 32 north) with an attribute "kind"."""
    shapes = [shapely.box(*box) for box in boxes]
    geopandas.GeoDataFrame({"kind": list(kinds)}, geometry=shapes, crs="EPSG:32632").to_file(path)
    return path
