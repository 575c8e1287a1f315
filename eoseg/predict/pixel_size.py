"""Scenes whose pixels are not as large as those of the training: read as if they were."""

from dataclasses import dataclass
from typing import Literal

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.geo.remote import shown
from eoseg.geo.resample import needed_pixel_size, resampled_grid
from eoseg.recipe import Recipe

type PixelSize = float | Literal["auto", "native"]
"""In metres; "auto" for that of the training, "native" for the scene's own."""

_MOST_FINER = 4
"""How many times smaller than the scene's own pixels those of "auto" may be. Beyond that a scene shows
nothing of what the network has learned to see, and the pixels to compute grow with the square."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """At which pixel size a scene is read, other than its own."""

    metres: float
    grid: Grid
    """The scene's area in such pixels."""
    notice: str
    """For the user to read."""


def choose_resampling(grid: Grid, recipe: Recipe, wanted: PixelSize, *, scene: str) -> Resampling | None:
    """Decide at which pixel size a scene is read.

    "auto" is the training's pixel size where the checkpoint notes one (in metres) and the scene's differs by
    more than a tenth. A scene without CRS, or of a checkpoint that does not note its pixel size, is read
    as it is. Where the scene's pixels are more than four times as large as those of the training, "auto" is
    refused: nobody should wait long for details that the scene does not show, unless they ask for them.

    Args:
        grid: The scene's grid.
        recipe: The checkpoint's recipe.
        wanted: See `PixelSize`. A number is taken as it is given.
        scene: The scene's path, for messages.

    Returns:
        None where the scene is read as it is.

    Raises:
        ConfigError: The pixel size cannot be had, or is asked for by nobody and hardly meant.
    """
    if wanted == "native":
        return None
    metres = needed_pixel_size(grid, recipe.schema.pixel_metres) if wanted == "auto" else wanted
    if metres is None:
        return None
    own = grid.pixel_metres
    if wanted == "auto" and own is not None and own / metres > _MOST_FINER:
        raise ConfigError(
            f"'{shown(scene)}' has pixels of {own:.3g} m, the network was trained on {metres:.3g} m: a scene "
            f"so coarse is not resampled unasked. Map it as it is with --pixel-size native, or with "
            f"--pixel-size {metres:.3g}."
        )
    target = resampled_grid(grid, metres)
    if (target.height, target.width) == (grid.height, grid.width):
        return None
    why = "as the network was trained" if wanted == "auto" else "as asked for"
    return Resampling(
        metres,
        target,
        f"'{shown(scene)}' is read at {metres:.4g} m, {why}; its own pixels are {own:.3g} m. The map is on "
        "the scene's own grid.",
    )
