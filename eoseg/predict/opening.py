"""Opening the scene of a prediction, at the pixel size that the network needs."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from eoseg.geo.aoi import AreaOfInterest, read_area
from eoseg.geo.grid import Grid
from eoseg.geo.homeward import Home
from eoseg.geo.scene import Scene
from eoseg.geo.stack import SceneStack
from eoseg.predict.dated import MatchedRasters
from eoseg.predict.options import PredictOptions
from eoseg.predict.pixel_size import choose_resampling
from eoseg.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Opened:
    """A scene, ready to be read."""

    own: Scene | SceneStack
    """As it was given."""
    scenes: Sequence[Scene | SceneStack]
    """As it is read, opened once for each thread that reads."""
    area: AreaOfInterest | None
    """Where a map is wanted, on the grid that is read."""
    home: Home | None
    """The scene as it is, where it is read at another pixel size."""
    pixel_size: float | None
    """That size in metres."""
    notices: tuple[str, ...]
    """What was assumed, in whole sentences, for the user to read."""


def open_scene(
    stack: ExitStack, matched: MatchedRasters, recipe: Recipe, options: PredictOptions, *, readers: int
) -> Opened:
    """Open a scene.

    Args:
        stack: Closes it when it ends.
        matched: How to read its files.
        recipe: The checkpoint's recipe.
        options: Pixel size and area of interest.
        readers: Threads that will read.

    Raises:
        ConfigError: The scene cannot be read at the pixel size, or should not.
        GridError: Dates are on different grids.
        DataError: The scene or the area cannot be read, or the area lies outside the scene.
    """
    own = _open(stack, matched)
    area = read_area(options.aoi).on(own.grid, image=own.path) if options.aoi else None
    resampling = choose_resampling(own.grid, recipe, options.pixel_size, scene=own.path)
    if resampling is None:
        scenes = [own, *(_open(stack, matched) for _ in range(readers - 1))]
        return Opened(own, scenes, area, None, None, matched.notices)
    return Opened(
        own,
        [_open(stack, matched, resampling.grid) for _ in range(readers)],
        None if area is None else area.around(resampling.grid),
        Home(own, matched.rasters.time, area),
        resampling.metres,
        (*matched.notices, resampling.notice),
    )


def _open(stack: ExitStack, matched: MatchedRasters, onto: Grid | None = None) -> Scene | SceneStack:
    scene = matched.open(onto)
    stack.callback(scene.close)
    return scene
