"""The way back: the map of a resampled scene on the scene's own grid.

A pixel of the scene takes the class of the computed pixel in which its centre lies (of two the lower right
one), and its probabilities, so that the class of a pixel stays the one with the largest probability.
Quantities are interpolated, or means where its pixels are larger: see `eoseg.geo.axis`. It has a value where
the scene itself has one, and where its own centre lies in the area of interest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.axis import Axis, resample
from eoseg.geo.cog import Finished, finish_files, require_whole
from eoseg.geo.grid import Grid
from eoseg.geo.layer import Counts, Layer
from eoseg.geo.parts import Parts
from eoseg.geo.scene import Scene
from eoseg.geo.share import Share
from eoseg.geo.stack import SceneStack, usable_pixels
from eoseg.geo.tiles import plan_tiles
from eoseg.geo.window import Window
from eoseg.recipe import Time

_CORE, _LEAST_CORE = 1024, 16  # what is laid back at a time, in pixels


@dataclass(frozen=True, slots=True)
class Home:
    """The scene as it is, whose grid the map returns to."""

    scene: Scene | SceneStack
    time: Time
    """What dates it has."""
    area: AreaOfInterest | None = None
    """Where a map is wanted, on the scene's own grid; everywhere by default."""

    @property
    def grid(self) -> Grid:
        """The scene's own grid."""
        return self.scene.grid

    def usable(self, window: Window) -> NDArray[np.bool_]:
        """Where the map may have values, `(height, width)`.

        Raises:
            DataError: The scene cannot be read there.
        """
        if isinstance(self.scene, Scene):
            usable = self._usable_of_one(self.scene, window)
        else:
            usable = self._usable_of_dates(self.scene, window)
        return usable if self.area is None else usable & self.area.mask(window)

    def _usable_of_one(self, scene: Scene, window: Window) -> NDArray[np.bool_]:
        if not scene.may_lack_values:
            return np.ones((window.height, window.width), np.bool_)
        return scene.read(window)[1]

    def _usable_of_dates(self, stack: SceneStack, window: Window) -> NDArray[np.bool_]:
        """Date by date, until no further one can change anything: a long series is large."""
        usable = stack.read_date(0, window)[1]
        for step in range(1, len(stack)):
            if usable.all() if self.time == "series" else not usable.any():
                break
            usable = usable_pixels(np.stack([usable, stack.read_date(step, window)[1]]), self.time)
        return usable


def finish_at_home(
    parts: Parts,
    home: Home,
    paths: Sequence[Path],
    tags: Callable[[int], Mapping[str, str]],
    *,
    threads: int = 1,
    documents: Callable[[Sequence[Counts]], Mapping[Path, str]] | None = None,
) -> Finished | None:
    """Make the files of a run on another grid than the scene's, on the scene's own grid.

    The values are laid back into parts of their own, in the folder of the run, and files are made of these:
    see `eoseg.geo.cog.finish_files`.

    Args:
        parts: The run, complete, on the grid that `eoseg.geo.resample.resampled_grid` gave for the scene.
        home: The scene as it is.
        paths: As for `finish_files`, and so are the other arguments.
        tags: Metadata.
        threads: Threads that compress.
        documents: Texts that belong to the files.

    Raises:
        OutputError: As `finish_files` says.
        DataError: The scene cannot be read.
    """
    with parts.only_here() as mine:
        if not mine:
            return None
        skipped = require_whole(parts)
        metadata = tags(skipped)
        own = _begin(parts, home.grid)
        with Share(own, 0) as share:
            for index in share.pending:
                share.write(index, laid_back(parts, home, own.cores.tile(index).core))
            share.finish()
        finished = finish_files(own, paths, lambda _: metadata, threads=threads, documents=documents)
        parts.remove()
        return None if finished is None else replace(finished, skipped=skipped)


def _begin(parts: Parts, grid: Grid) -> Parts:
    """Parts on the own grid, of tiles that are made of a bounded number of computed pixels."""
    smallest = min(grid.height / parts.grid.height, grid.width / parts.grid.width)
    core = max(_LEAST_CORE, int(_CORE * min(1.0, smallest)))
    cores = plan_tiles(grid.height, grid.width, core=core, halo=0, stride=1)
    return Parts(parts.target, grid, parts.layers, cores, fingerprint={}, folder=parts.folder / "own_grid")


def laid_back(parts: Parts, home: Home, window: Window) -> list[NDArray[Any]]:
    """The values of a window of the own grid, `(bands, height, width)` for each layer."""
    rows = Axis.between(parts.grid.height, home.grid.height, window.row, window.row_stop)
    cols = Axis.between(parts.grid.width, home.grid.width, window.col, window.col_stop)
    source = Window.from_stops(rows.start, cols.start, rows.stop, cols.stop)
    layers = [
        _resampled(values, rows, cols)
        if layer.dtype == "float32"
        else np.ascontiguousarray(values[:, *np.ix_(rows.nearest, cols.nearest)])
        for layer, values in zip(parts.layers, _read(parts, source), strict=True)
    ]  # (bands, height, width) each
    known = _known(parts.layers[0], layers[0])
    if known.any():
        known &= home.usable(window)
    for layer, values in zip(parts.layers, layers, strict=True):
        values[:, ~known] = layer.nodata
    return layers


def _resampled(values: NDArray[np.float32], rows: Axis, cols: Axis) -> NDArray[np.float32]:
    """A quantity on the own grid, NaN where it is not known."""
    numbers, known = resample(values, ~np.isnan(values), rows, cols)
    return np.where(known, numbers, np.float32(np.nan))


def _known(layer: Layer, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the first band of a layer has a value, `(height, width)`."""
    known: NDArray[np.bool_] = ~np.isnan(values[0]) if layer.dtype == "float32" else values[0] != layer.nodata
    return known


def _read(parts: Parts, window: Window) -> list[NDArray[Any]]:
    """What was computed in a window, from all shares, for each layer."""
    layers = [
        np.empty((len(layer.bands), window.height, window.width), layer.dtype) for layer in parts.layers
    ]
    for part, share_number in _pieces(parts, window):
        rows, cols = part.slices_in(window)
        with Share(parts, share_number, wait=True, check=False) as share:
            for number, values in enumerate(layers):
                values[:, rows, cols] = share.read(number, part)
    return layers


def _pieces(parts: Parts, window: Window) -> Iterator[tuple[Window, int]]:
    """The window cut along the shares, with the number of each."""
    for piece in parts.pieces():
        part = piece.window.intersection(window)
        if part is not None:
            yield part, piece.share
