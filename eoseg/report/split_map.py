"""The split on the map: where the scenes lie, and which part of them trains, validates and tests."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eoseg.datasets.config import SceneSource
from eoseg.datasets.pairing import find_scenes, name_scenes
from eoseg.datasets.split_file import Region
from eoseg.errors import EosegError
from eoseg.figures.svg import Shape, plane_chart
from eoseg.geo.grid import Grid
from eoseg.geo.ground_plan import GroundPart, plan_ground
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window

MOST_SCENES = 60
"""More scenes are not drawn: their parts would be too small to see."""

_SPARSE = 0.15
"""Scenes that cover a smaller share of the square around all are drawn beside each other instead."""


def split_map(regions: Sequence[Region], grids: Mapping[str, Grid]) -> tuple[str, str]:
    """Draw the regions of a split.

    Args:
        regions: At least one.
        grids: Grids of the scenes by their id, as far as their files were found.

    Returns:
        The chart, and a line that says how the scenes lie in it.
    """
    names = list(dict.fromkeys(region.scene_id for region in regions))
    shown = names[:MOST_SCENES]
    more = "" if len(names) == len(shown) else f" The first {len(shown)} of {len(names)} scenes are drawn."
    kept = [region for region in regions if region.scene_id in set(shown)]
    label = f"map of the split: {len(kept)} regions of {len(shown)} scenes"
    shapes = _in_place(kept, shown, grids)
    if shapes:
        return plane_chart(shapes, label=label), "The scenes where they lie, north up." + more
    return plane_chart(_in_rows(kept, shown), label=label), "Each scene by itself." + more


def scene_grids(config: Mapping[str, Any]) -> dict[str, Grid]:
    """Grids of a configuration's scenes by their id; none where the files are not found any more.

    Args:
        config: The resolved configuration of a run.
    """
    try:
        source = SceneSource(**config["data"]["init_args"]["scenes"])
        scenes = find_scenes(source)
        grids = {}
        for scene, name in zip(scenes[: MOST_SCENES + 1], name_scenes(scenes), strict=False):
            with Scene(scene.paths[0]) as opened:
                grids[name] = opened.grid
    except (KeyError, TypeError, EosegError):
        return {}  # no scenes of files, or not here
    return grids


def _in_place(regions: Sequence[Region], names: Sequence[str], grids: Mapping[str, Grid]) -> list[Shape]:
    """Scenes and regions on the ground; nothing where that is not known or would show nothing."""
    if any(name not in grids or grids[name].crs is None for name in names):
        return []
    if not all(grids[region.scene_id].window.contains(region.window) for region in regions):
        return []  # other files by now
    scenes = [GroundPart(name, grids[name], grids[name].window) for name in names]
    if plan_ground(scenes).shared(np.arange(len(scenes)))[0]:
        return []  # they would hide each other
    parts = [GroundPart(region.scene_id, grids[region.scene_id], region.window) for region in regions]
    plan = plan_ground([*scenes, *parts])
    outlines = [list(plan.ring(number)) for number in range(len(scenes) + len(parts))]
    whole = _extent([point for outline in outlines for point in outline])
    covered = sum(math.prod(_extent(outline)) for outline in outlines[: len(scenes)])
    if covered < _SPARSE * max(whole) ** 2:
        return []
    shapes = [Shape(outline, "--card", name) for outline, name in zip(outlines, names, strict=False)]
    return shapes + [
        Shape(outline, f"--{region.split}", f"{region.scene_id}: {region.split}")
        for outline, region in zip(outlines[len(scenes) :], regions, strict=True)
    ]


def _in_rows(regions: Sequence[Region], names: Sequence[str]) -> list[Shape]:
    """Scenes beside each other, in pixels, row by row."""
    extents = {
        name: (
            max(region.window.row_stop for region in regions if region.scene_id == name),
            max(region.window.col_stop for region in regions if region.scene_id == name),
        )
        for name in names
    }
    step = 1.08 * max(max(extent) for extent in extents.values())
    columns = min(len(names), max(1, math.ceil(math.sqrt(2 * len(names)))))
    shapes = []
    for number, name in enumerate(names):
        row, column = divmod(number, columns)
        whole = Window(0, 0, *extents[name])
        shapes.append(Shape(_corners(whole, row * step, column * step), "--card", name))
        shapes += [
            Shape(
                _corners(region.window, row * step, column * step),
                f"--{region.split}",
                f"{name}: {region.split}",
            )
            for region in regions
            if region.scene_id == name
        ]
    return shapes


def _corners(window: Window, down: float, across: float) -> list[tuple[float, float]]:
    left, right = across + window.col, across + window.col_stop
    top, bottom = -(down + window.row), -(down + window.row_stop)
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _extent(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    xs, ys = zip(*points, strict=True)
    return max(xs) - min(xs), max(ys) - min(ys)
