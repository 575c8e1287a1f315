"""Maps as `eoseg predict` writes them, without a network."""

from pathlib import Path

import numpy as np
from affine import Affine
from raster_factory import write_layer
from rasterio.crs import CRS

from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import class_layer
from eoseg.recipe import MapClass, parse_classes

CLASSES = parse_classes(
    {"water": {"value": [1, 2], "color": "#0000FF"}, "wood": {"value": 3, "color": "#00FF00"}, "town": 7}
)
GEO = Affine(10, 0, 500_000, 0, -10, 5_400_000)
VALUES = np.array([1, 3, 7], np.uint8)
"""A label value for each class index."""


def write_map(
    path: Path,
    classes: np.ndarray,
    *,
    names: tuple[MapClass, ...] = CLASSES,
    crs: str | None = "EPSG:32632",
    transform: Affine = GEO,
) -> Path:
    """Write class indices as a map."""
    grid = Grid(CRS.from_string(crs) if crs else None, transform, *classes.shape)
    write_layer(path, grid, class_layer(names), classes, tags={"EOSEG_CHECKPOINT_SHA256": "abc"})
    return path


def label_values(classes: np.ndarray) -> np.ndarray:
    """Turn class indices into the label values of `CLASSES`; 255 stays."""
    return np.where(classes == 255, 255, VALUES[classes.clip(max=2)]).astype(np.uint8)
