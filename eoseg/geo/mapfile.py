"""Map files that explain themselves: a uint8 class per pixel, or for each class a label or probability."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eoseg.errors import DataError
from eoseg.geo.grid import Grid
from eoseg.geo.layer import Layer
from eoseg.geo.scene import Scene, open_dataset
from eoseg.recipe import MapClass

PROBABILITY_STEPS = 250
"""A stored probability is `round(probability * 250)`: steps of 0.004; 255 means "no value"."""

type MapKind = Literal["classes", "labels", "probabilities"]

_KIND, _CLASSES = "EOSEG_KIND", "EOSEG_CLASSES"


def class_layer(classes: tuple[MapClass, ...]) -> Layer:
    """A map of classes: the index of a class, in its colour and with its name."""
    return Layer(
        bands=("class",),
        overviews="MODE",
        highest=len(classes) - 1,
        tags=_own_tags("classes", classes),
        colors=tuple(entry.color for entry in classes),
        categories=tuple(entry.name for entry in classes),
    )


def label_layer(classes: tuple[MapClass, ...]) -> Layer:
    """A map of several labels per pixel, one band for each: 1 where it holds, 0 where it does not."""
    names = tuple(entry.name for entry in classes)
    return Layer(bands=names, overviews="MODE", highest=1, tags=_own_tags("labels", classes))


def probability_layer(classes: tuple[MapClass, ...]) -> Layer:
    """The probability of each class, one band per class, in steps of 1/250."""
    return Layer(
        bands=tuple(entry.name for entry in classes),
        overviews="AVERAGE",
        highest=PROBABILITY_STEPS,
        tags=_own_tags("probabilities", classes),
        scale=1 / PROBABILITY_STEPS,
    )


def probability_path(map_path: Path) -> Path:
    """Where the probabilities that go with a map are."""
    return map_path.with_name(f"{map_path.stem}_probabilities.tif")


def item_path(map_path: Path) -> Path:
    """Where the STAC item that describes a map is."""
    return map_path.with_name(f"{map_path.stem}.stac.json")


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What a map says of itself."""

    path: str
    kind: MapKind
    grid: Grid
    classes: tuple[MapClass, ...]
    tags: dict[str, str]
    """Provenance: eoseg's version, checkpoint, scene, options, and whether the map is exact."""


def map_kind(path: str | Path) -> MapKind | Literal["values"] | None:
    """What an eoseg map holds, or None where a raster is no eoseg map.

    Values are those of a quantity; `eoseg.geo.valuefile` reads them.

    Raises:
        DataError: The file is missing or is no raster.
    """
    kind = _tags(path).get(_KIND)
    known = ("classes", "labels", "probabilities", "values")
    return kind if kind in known else None  # type: ignore[return-value]


def read_map_info(path: str | Path, *, kind: MapKind = "classes") -> MapInfo:
    """Read what a map says of itself.

    Args:
        path: A map that eoseg wrote.
        kind: What it should hold.

    Raises:
        DataError: The file is missing, is no raster, is no eoseg map, or holds something else.
    """
    with Scene(path) as scene:
        grid = scene.grid
    tags = _tags(path)
    found = tags.get(_KIND)
    if found is None or _CLASSES not in tags:
        raise DataError(
            f"'{path}' is a raster, but no map that eoseg wrote: it does not name its classes. "
            "Make a map with 'eoseg predict'."
        )
    if found != kind:
        remedy = (
            "Give the other file of that run."
            if {found, kind} == {"classes", "probabilities"}
            else "Give a map of another checkpoint."
        )
        raise DataError(f"'{path}' holds {found}; expected {kind}. {remedy}")
    try:
        classes = tuple(
            MapClass(entry["name"], tuple(entry["values"]), (*entry["color"],))
            for entry in json.loads(tags.pop(_CLASSES))
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"'{path}' does not name its classes as eoseg does ({error}). Make the map again."
        ) from error
    del tags[_KIND]
    return MapInfo(str(path), kind, grid, classes, tags)


def _own_tags(kind: MapKind, classes: tuple[MapClass, ...]) -> dict[str, str]:
    entries = [
        {"name": entry.name, "values": list(entry.values), "color": list(entry.color)} for entry in classes
    ]
    return {_KIND: kind, _CLASSES: json.dumps(entries, ensure_ascii=False)}


def _tags(path: str | Path) -> dict[str, str]:
    with open_dataset(str(path)) as dataset:
        return {key: value for key, value in dataset.tags().items() if key.startswith("EOSEG_")}
