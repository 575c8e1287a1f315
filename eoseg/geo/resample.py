"""Scenes read at another pixel size; `eoseg.geo.homeward` is the way back of their maps.

The outer borders of the pixels coincide in both grids, so that nothing is shifted on the way there and back.
"""

from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from eoseg.errors import ConfigError, GridError
from eoseg.geo.axis import Axis, resample
from eoseg.geo.grid import Grid
from eoseg.geo.remote import shown
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window

SAME_SIZE = 0.1
"""Pixel sizes that differ by at most this share count as the same."""

_STRIP_PIXELS = 2**21  # of the file at a time


def needed_pixel_size(grid: Grid, wanted: float | None) -> float | None:
    """The pixel size at which a scene is to be read, where that is not its own.

    Args:
        grid: The scene's grid.
        wanted: In metres, for example that of the training; None where it is not known.

    Returns:
        The size in metres; None where the scene is read as it is, because its pixels have about that size or
        nothing is known of one of the two.
    """
    own = grid.pixel_metres
    if wanted is None or own is None or abs(own / wanted - 1) <= SAME_SIZE:
        return None
    return wanted


def resampled_grid(grid: Grid, pixel_size: float) -> Grid:
    """The grid of the same area with pixels of about another size.

    The area is divided into whole pixels, so that their size differs from the one wanted, by up to half a
    pixel over the width of the scene.

    Args:
        grid: The scene's grid.
        pixel_size: Wanted, in metres.

    Raises:
        ConfigError: The scene has no CRS, or is smaller than one such pixel.
    """
    own = grid.pixel_metres
    if own is None:
        raise ConfigError(
            f"Without a CRS the pixel size of a scene is not known, so it cannot become {pixel_size:g} m. "
            "Give the scene a CRS, or map it with --pixel-size native."
        )
    factor = own / pixel_size
    height, width = round(grid.height * factor), round(grid.width * factor)
    if height < 1 or width < 1:
        raise ConfigError(
            f"The scene of {grid.width} x {grid.height} px of {own:g} m is smaller than one pixel of "
            f"{pixel_size:g} m. Choose another one, or map it as it is with --pixel-size native."
        )
    scaled = grid.transform @ Affine.scale(grid.width / width, grid.height / height)
    return Grid(grid.crs, scaled, height, width)


class ResampledScene(Scene):
    """A scene, read as if its pixels had another size; see `eoseg.geo.axis` for how.

    What is invalid takes no part in the values around it. Overviews of a file are not used: they may have
    been made in any way.
    """

    def __init__(self, path: str | Path, *, onto: Grid, **options: Any) -> None:
        """Open a scene.

        Args:
            path: As for `Scene`.
            onto: What `resampled_grid` gave for the scene.
            options: Those of `Scene`.

        Raises:
            GridError: The grid covers another area than the scene.
            DataError: And the other errors of `Scene`.
        """
        super().__init__(path, **options)
        self._own = self.grid
        if not _covers_the_same(onto, self._own):
            self.close()
            raise GridError(
                f"'{shown(self.path)}' covers another area than the grid to read it on. Give scenes on one "
                "grid."
            )
        self.grid = onto

    def _read_into(self, window: Window, image: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """As of a scene, strip by strip: the pixels of the file may be many more."""
        cols = Axis.between(self._own.width, self.grid.width, window.col, window.col_stop)
        wide = max(1, -(-self._own.height // self.grid.height)) * (cols.stop - cols.start)
        strip = max(1, _STRIP_PIXELS // wide)
        for start in range(0, window.height, strip):
            stop = min(start + strip, window.height)
            rows = Axis.between(self._own.height, self.grid.height, window.row + start, window.row + stop)
            source = Window.from_stops(rows.start, cols.start, rows.stop, cols.stop)
            values = np.empty((len(image), source.height, source.width), np.float32)
            has_value = np.empty((len(known), source.height, source.width), np.bool_)
            super()._read_into(source, values, has_value)
            image[:, start:stop], known[:, start:stop] = resample(values, has_value, rows, cols)


def open_scene(path: str | Path, *, onto: Grid | None, **options: Any) -> Scene:
    """Open a scene as it is, or onto another grid over the same area.

    Args:
        path: As for `Scene`.
        onto: What `resampled_grid` gave for the scene; None for the scene as it is.
        options: Those of `Scene`.
    """
    return Scene(path, **options) if onto is None else ResampledScene(path, onto=onto, **options)


def _covers_the_same(one: Grid, other: Grid) -> bool:
    scale = Affine.scale(other.width / one.width, other.height / one.height)
    return Grid(one.crs, one.transform @ ~scale, other.height, other.width).difference(other) is None
