"""The map of a run beside its scene and its reference, as far as their files are found."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError, EosegError
from eoseg.evaluate.panel import MapPanel, load_panel, scene_picture
from eoseg.evaluate.part import read_part
from eoseg.figures import value_image
from eoseg.geo.mapfile import item_path, map_kind, read_map_info
from eoseg.geo.preview import preview_image
from eoseg.geo.remote import is_remote
from eoseg.geo.scene import Scene
from eoseg.recipe import Recipe

_PIXELS = 640
"""The most pixels that a side of a picture may have: a page stays small enough to send."""


@dataclass(frozen=True, eq=False)
class ValuePanel:
    """The map of a quantity, to be looked at."""

    name: str
    image: NDArray[np.uint8] | None
    map: NDArray[np.uint8]
    low: float
    high: float
    """Values of the darkest and the lightest colour."""


@dataclass(frozen=True, eq=False)
class MapView:
    """What can be shown of a map, and what it says of itself."""

    path: Path
    tags: Mapping[str, str]
    scene: str | None
    """Where the mapped scene is, where that is known."""
    panel: MapPanel | ValuePanel | None
    """None for maps of labels or probabilities, which are not drawn."""
    notes: tuple[str, ...] = ()


def view_map(path: Path, recipe: Recipe, *, scene: str | None, protocol: Mapping[str, Any]) -> MapView:
    """Read a map, its scene and its reference at reduced size.

    Args:
        path: A map that eoseg wrote.
        recipe: That of the checkpoint that should have made it.
        scene: The scene that was mapped; None to look it up in the STAC item beside the map.
        protocol: How the map was evaluated, from which the reference is known; empty without.

    Raises:
        DataError: The map is none of this checkpoint, or cannot be read.
        GridError: The scene is on another grid.
    """
    kind = map_kind(path)
    found = scene or _scene_of(path)
    if kind == "values":
        return _view_values(path, recipe, found)
    if kind is None:
        read_map_info(path)  # raises: a raster, but no map
    info = read_map_info(path, kind=kind if kind in ("labels", "probabilities") else "classes")
    names = [entry.name for entry in info.classes]
    if names != recipe.schema.class_names:
        raise DataError(
            f"'{path}' shows {', '.join(names)}; the checkpoint of the run gives "
            f"{', '.join(recipe.schema.class_names) or 'no classes'}. Name a map that it made."
        )
    if kind != "classes":
        return MapView(path, info.tags, found, None, (f"The map holds {kind}, which are not drawn.",))
    notes: list[str] = []
    reference = _reference(protocol, path, notes)
    panel = load_panel(
        path.name,
        path,
        reference.get("reference"),
        scene=found,
        statistics=recipe.statistics,
        max_size=_PIXELS,
        **{key: value for key, value in reference.items() if key != "reference"},
    )
    return MapView(path, info.tags, found, panel, tuple(notes))


def _view_values(path: Path, recipe: Recipe, scene: str | None) -> MapView:
    from eoseg.geo.valuefile import read_value_info

    info = read_value_info(path)
    target = recipe.statistics.target
    if recipe.schema.quantity != info.quantity or target is None:
        raise DataError(f"'{path}' shows {info.quantity.name}, which the checkpoint does not estimate.")
    values, valid = preview_image(path, max_size=_PIXELS)
    picture = None
    if scene is not None:
        with Scene(scene) as opened:
            info.grid.require_same(opened.grid, this=str(path), that=scene)
        picture = scene_picture(scene, statistics=recipe.statistics, max_size=_PIXELS)
    shown = value_image(np.where(valid, values[0], np.nan), target.low, target.high)
    return MapView(path, info.tags, scene, ValuePanel(path.name, picture, shown, target.low, target.high))


def _scene_of(path: Path) -> str | None:
    """The scene that the STAC item beside a map names: the last date of two; None where it is not there."""
    try:
        links = json.loads(item_path(path).read_text(encoding="utf-8"))["links"]
        sources = [str(link["href"]) for link in links if link["rel"] == "derived_from"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not sources or len(sources) > 2 or is_remote(sources[-1]):
        return None
    found = path.parent / sources[-1]
    return str(found) if found.is_file() else None


def _reference(protocol: Mapping[str, Any], path: Path, notes: list[str]) -> dict[str, Any]:
    """The reference of an evaluation as arguments of `load_panel`; none where it is not found any more."""
    named = protocol.get("reference")
    if not named or Path(str(protocol.get("map", ""))).resolve() != path.resolve():
        return {}
    if not Path(str(named)).exists():
        notes.append(f"The reference {named} is not shown: it is not found from here.")
        return {}
    options: dict[str, Any] = {
        "reference": str(named),
        "attribute": protocol.get("attribute"),
        "label_encoding": protocol.get("label_encoding", "values"),
        "ignore": protocol.get("ignore") or (),
    }
    split = protocol.get("split")
    if isinstance(split, dict):
        try:
            grid = read_map_info(path).grid
            part = read_part(split["file"], split["part"], grid=grid, scene=split["scene"])
        except (EosegError, KeyError) as error:
            notes.append(f"The reference is shown as a whole: the split that it was compared in: {error}")
        else:
            options["windows"] = part.windows
    return options
