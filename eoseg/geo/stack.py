"""Several dates of one place, read as one scene."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import BandError, DataError
from eoseg.geo.dates import day_of_year
from eoseg.geo.grid import Grid
from eoseg.geo.resample import open_scene
from eoseg.geo.scene import NodataPolicy, Scene
from eoseg.geo.window import Window
from eoseg.recipe import Time

_OPEN_FILES = 96
"""Files that one stack keeps open: systems allow 256 to 1024 per process."""


class SceneStack:
    """Open rasters of one place and of several dates. Use it as a context manager, in one thread.

    It has the interface of `Scene`; `read` gives one more axis, the dates in the order of the files.
    All files have one grid and the same bands by name. Nodata, scale and offset are each file's own.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        dates: Sequence[date] | None = None,
        bands: Sequence[str] | None = None,
        band_names: Sequence[str] | None = None,
        nodata: float | None = None,
        nodata_policy: NodataPolicy = "any",
        fill: Sequence[float] | None = None,
        open_files: int = _OPEN_FILES,
        onto: Grid | None = None,
    ) -> None:
        """Open a stack.

        Args:
            paths: One raster per date, earliest first.
            dates: Their dates, each later than the one before; None where they are not known.
            bands: Names of the bands to read, in this order; all bands by default.
            band_names: Names for all bands of each file, in file order, instead of its own.
            nodata: Value that means "no value", instead of the files' own.
            nodata_policy: Whether a pixel needs all bands or one; see `Scene`.
            fill: For each band its value where a valid pixel has none; see `Scene`.
            open_files: Files that stay open; the others are opened for each read.
            onto: What `eoseg.geo.resample.resampled_grid` gave for the files, to read them at another pixel
                size.

        Raises:
            DataError: A file cannot be opened, or the dates are not in order.
            GridError: The files are on different grids; the message has the command that repairs it.
            BandError: The files have different bands, or a band is not there.
        """
        self.paths = [str(path) for path in paths]
        self.dates = _check_dates(self.paths, dates)
        self._options = {
            "bands": bands,
            "band_names": band_names,
            "nodata": nodata,
            "nodata_policy": nodata_policy,
            "fill": fill,
        }
        self._onto = onto
        self._open: dict[int, Scene] = {}
        self._open_files = max(1, open_files)
        try:
            self._describe()
        except BaseException:
            self.close()
            raise

    def _describe(self) -> None:
        first = self._scene(0)
        self.path = first.path
        """The first date's file."""
        self.grid = first.grid
        self.bands, self.all_bands = first.bands, first.all_bands
        self.has_band_names = first.has_band_names
        self.nodata, self.block_shape = first.nodata, first.block_shape
        self.pixel_bytes = first.pixel_bytes * len(self)
        """Of a pixel of all dates in the bands that are decoded together."""
        kinds = [np.dtype(first.dtype)]
        for step in range(1, len(self)):
            scene = self._scene(step)
            self.grid.require_same(scene.grid, this=self.path, that=scene.path)
            if scene.all_bands != self.all_bands:
                raise BandError(
                    f"All dates must have the same bands: '{self.path}' has {', '.join(self.all_bands)}, "
                    f"'{scene.path}' has {', '.join(scene.all_bands)}. Write the same bands into both."
                )
            kinds.append(np.dtype(scene.dtype))
            self._release(step)
        self.dtype = str(np.result_type(*kinds))

    def __len__(self) -> int:
        """T, the number of dates."""
        return len(self.paths)

    @property
    def days(self) -> NDArray[np.float32]:
        """Day of the year of each date, `(T,)`, 1 to 366.

        Raises:
            DataError: The dates are not known.
        """
        if self.dates is None:
            raise DataError(f"The dates of the stack of '{self.path}' are not known: name the files by date.")
        return np.array([day_of_year(day) for day in self.dates], np.float32)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window of all dates, which may reach outside the scene.

        Returns:
            `image`: float32 `(T, C, height, width)`. `valid`: bool `(T, height, width)`. Each date is
            as `Scene.read` gives it.

        Raises:
            DataError: A file cannot be read there.
        """
        shape = (window.height, window.width)
        image = np.empty((len(self), len(self.bands), *shape), np.float32)
        valid = np.empty((len(self), *shape), np.bool_)
        for step in range(len(self)):
            image[step], valid[step] = self.read_date(step, window)
        return image, valid

    def read_date(self, step: int, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window of one date, as `Scene.read` does.

        Args:
            step: Place of the date, from 0.
            window: Which pixels.
        """
        pixels = self._scene(step).read(window)
        self._release(step)
        return pixels

    def _scene(self, step: int) -> Scene:
        if step not in self._open:
            self._open[step] = open_scene(self.paths[step], onto=self._onto, **self._options)
        return self._open[step]

    def _release(self, step: int) -> None:
        # Dates are read in turn: where only some fit, the first ones stay. To keep the latest instead
        # would have every file opened anew for every window.
        if len(self._open) > self._open_files:
            self._open.pop(step).close()

    def close(self) -> None:
        """Close all files."""
        for scene in self._open.values():
            scene.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def usable_pixels(valid: NDArray[np.bool_], time: Time) -> NDArray[np.bool_]:
    """Where a scene says enough for a label to be learned, or a map to hold a value.

    Args:
        valid: `(h, w)` of a single date, `(T, h, w)` of a pair or a series.
        time: Which of them it is.

    Returns:
        `(h, w)`: for a pair where both dates are valid, for a series where at least one is.
    """
    if time == "single":
        return valid
    return np.asarray(valid.all(axis=0) if time == "pair" else valid.any(axis=0))


def _check_dates(paths: Sequence[str], dates: Sequence[date] | None) -> tuple[date, ...] | None:
    if not paths:
        raise DataError("A stack of dates needs at least one file; found none.")
    if dates is None:
        return None
    if len(dates) != len(paths):
        raise DataError(f"A stack has one date per file; found {len(dates)} dates for {len(paths)} files.")
    for step in range(1, len(dates)):
        if dates[step] <= dates[step - 1]:
            raise DataError(
                f"'{paths[step]}' ({dates[step]}) comes after '{paths[step - 1]}' ({dates[step - 1]}) but is "
                "not later. Give the dates in their order, each once."
            )
    return tuple(dates)
