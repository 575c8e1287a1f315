"""A stratified random sample of the pixels of a map of any size, in two passes over it.

The first pass counts the pixels of each stratum, strip by strip; then the ranks of the drawn pixels among
those of their stratum are known, and the second pass reads only the strips that hold some of them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from eoseg.errors import DataError
from eoseg.geo.grid import Grid
from eoseg.geo.labels import RasterLabels
from eoseg.geo.pixel_area import PixelArea
from eoseg.geo.scene import gdal_message, open_dataset
from eoseg.geo.settings import gdal_settings
from eoseg.geo.window import Window
from eoseg.progress import Progress
from eoseg.recipe import IGNORE, MapClass

MOST_STRATA = 1000
"""A raster with more values is none of strata."""

_STRIP_PIXELS = 2**22
_STRIP_ROWS = (64, 1024)
"""Least and most rows of a strip."""
_NONE = -(2**31) - 1
"""Stands for "no stratum": no value of a raster of up to 32 bits is as low."""


@dataclass(frozen=True, eq=False)
class StratumCounts:
    """How many pixels each stratum has, and where."""

    values: tuple[int, ...]
    """What stands for each of the H strata: class index, or value of the raster of strata. In order."""
    pixels: NDArray[np.int64]
    """`(H,)`."""
    areas: NDArray[np.float64]
    """`(H,)`, in m2, or in pixels without a CRS."""
    strips: NDArray[np.int64]
    """`(S, H)`: pixels of each strip."""
    unmapped: int
    """Pixels where the map has no class."""
    uncovered: int
    """Pixels with a class where the raster of strata has no value."""


@dataclass(frozen=True, eq=False)
class DrawnPixels:
    """The n pixels of a sample, in random order."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    strata: NDArray[np.int64]
    """`(n,)`: place of the stratum in `StratumCounts.values`."""
    classes: NDArray[np.int64]
    """`(n,)`: class index in the map."""


class StratifiedMap:
    """A map of classes whose pixels lie in strata: its classes, or the values of another raster.

    Use it as a context manager, in one thread.
    """

    def __init__(self, path: str, classes: Sequence[MapClass], *, strata: str | None = None) -> None:
        """Open a map.

        Args:
            path: A raster with one band of class values.
            classes: What its values mean (`MapClass.values`); their order gives the class indices.
            strata: A raster of whole numbers on the map's grid; None: the classes are the strata.

        Raises:
            DataError: A file is missing or is no such raster.
            GridError: The raster of strata is on another grid.
        """
        with ExitStack() as stack:
            self._map = RasterLabels(path, classes=classes)
            stack.callback(self._map.close)
            self.grid: Grid = self._map.grid
            self.area = PixelArea(self.grid)
            self._strata = None
            if strata is not None:
                self._strata = stack.enter_context(_WholeNumbers(strata))
                self.grid.require_same(self._strata.grid, this=path, that=strata)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def count(self, progress: Callable[[Progress], None] | None = None) -> StratumCounts:
        """Count the pixels of each stratum: the first pass.

        Raises:
            DataError: A file cannot be read, holds values that are no classes, or too many strata.
        """
        found: list[dict[int, tuple[int, float]]] = []
        known: set[int] = set()
        unmapped = uncovered = 0
        with gdal_settings():
            for window in self._windows():
                classes, codes = self._read(window)
                held = self._tally(codes, window)
                nothing = int((classes == IGNORE).sum())
                unmapped += nothing
                uncovered += classes.size - nothing - sum(count for count, _ in held.values())
                found.append(held)
                known |= set(held)
                self._require_few(len(known))
                if progress is not None:
                    progress(Progress(window.row_stop * self.grid.width, self.grid.height * self.grid.width))
        values = sorted(known)
        strips = np.array([[held.get(v, (0, 0.0))[0] for v in values] for held in found], np.int64)
        areas = [sum(held[value][1] for held in found if value in held) for value in values]
        strips = strips.reshape(len(found), len(values))
        return StratumCounts(
            tuple(values), strips.sum(axis=0), np.array(areas, np.float64), strips, unmapped, uncovered
        )

    def draw(self, counts: StratumCounts, points: Sequence[int], *, seed: int) -> DrawnPixels:
        """Draw pixels without replacement, each pixel of a stratum with the same probability.

        The same map, numbers and seed give the same pixels, whatever the layout of the file.

        Args:
            counts: What `count` gave.
            points: How many pixels of each stratum; no more than it has.
            seed: Of the choice.

        Raises:
            DataError: A file cannot be read.
        """
        generator = np.random.default_rng(seed)
        ranks = [
            np.sort(generator.choice(int(held), number, replace=False, shuffle=False))
            for held, number in zip(counts.pixels, points, strict=True)
        ]
        before = np.cumsum(counts.strips, axis=0) - counts.strips  # (S, H): pixels in the strips above
        pieces: list[NDArray[np.int64]] = []
        with gdal_settings():
            for number, window in enumerate(self._windows()):
                here = [
                    held[np.searchsorted(held, low) : np.searchsorted(held, low + size)] - low
                    for held, low, size in zip(ranks, before[number], counts.strips[number], strict=True)
                ]
                if any(len(chosen) for chosen in here):
                    pieces.append(self._find(window, counts.values, here))
        found = np.concatenate(pieces, axis=1)  # (4, n)
        found = found[:, np.lexsort(found[:3][::-1])]  # as it would be without strips ...
        rows, cols, strata, classes = found[:, generator.permutation(found.shape[1])]  # ... and then mixed
        return DrawnPixels(rows, cols, strata, classes)

    def classes_at(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.int64]:
        """Class indices of some pixels of the map, `IGNORE` where it has no class.

        Raises:
            DataError: The map cannot be read.
        """
        return values_at(self._map.read, rows, cols)

    def areas_at(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float64]:
        """Areas of some pixels."""
        if self.area.constant is not None:
            return np.full(len(rows), self.area.constant)
        places = zip(rows.tolist(), cols.tolist(), strict=True)
        return np.array([self.area.of_rows(row, 1)[0, col] for row, col in places], np.float64)

    def _find(
        self, window: Window, values: Sequence[int], ranks: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        """Row, column, stratum and class `(4, n)` of pixels, by their ranks in this strip."""
        classes, codes = self._read(window)
        found = []
        for number, (value, chosen) in enumerate(zip(values, ranks, strict=True)):
            if len(chosen):
                flat = np.flatnonzero(codes.reshape(-1) == value)[chosen]
                rows, cols = np.divmod(flat, window.width)
                own = classes.reshape(-1)[flat].astype(np.int64)
                found.append(np.stack([rows + window.row, cols, np.full_like(rows, number), own]))
        return np.concatenate(found, axis=1)

    def _windows(self) -> Iterator[Window]:
        least, most = _STRIP_ROWS
        step = min(max(_STRIP_PIXELS // self.grid.width, least), most)
        for row in range(0, self.grid.height, step):
            yield Window(row, 0, min(step, self.grid.height - row), self.grid.width)

    def _read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Class indices, and what stands for the stratum; both say where there is none."""
        classes = self._map.read(window)
        if self._strata is None:
            return classes, classes
        codes = self._strata.read(window)
        codes[classes == IGNORE] = _NONE
        return classes, codes

    def _tally(self, codes: NDArray[Any], window: Window) -> dict[int, tuple[int, float]]:
        """Pixels and area of each stratum in a strip."""
        if self._strata is None:
            values, places, none = np.arange(256), codes.reshape(-1), IGNORE
        else:
            values, places = np.unique(codes, return_inverse=True)
            places, none = places.reshape(-1), _NONE
        counts = np.bincount(places, minlength=len(values))
        if self.area.constant is None:
            each = self.area.of_rows(window.row, window.height).reshape(-1)
            areas = np.bincount(places, each, minlength=len(values)).tolist()
        else:
            areas = [self.area.constant * count for count in counts.tolist()]
        return {
            value: (count, area)
            for value, count, area in zip(values.tolist(), counts.tolist(), areas, strict=True)
            if count and value != none
        }

    def _require_few(self, found: int) -> None:
        if self._strata is not None and found > MOST_STRATA:
            raise DataError(
                f"'{self._strata.path}' holds {found} values or more; expected at most {MOST_STRATA} strata. "
                "Give a raster of regions or classes."
            )


class _WholeNumbers:
    """A raster whose single band holds whole numbers of up to 32 bits."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._dataset = open_dataset(path)
        kind = np.dtype(self._dataset.dtypes[0])
        if self._dataset.count != 1 or kind.kind not in "iu" or kind.itemsize > 4:
            self._dataset.close()
            raise DataError(
                f"'{path}' has {self._dataset.count} band(s) of {kind}; strata are one band of whole numbers "
                "of up to 32 bits. Convert it: gdal_translate -b 1 -ot Int32."
            )
        dataset = self._dataset
        self.grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)

    def read(self, window: Window) -> NDArray[np.int64]:
        """Values `(height, width)`, `_NONE` where there is none."""
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            values: NDArray[np.int64] = self._dataset.read(1, window=area).astype(np.int64)
            values[self._dataset.read_masks(1, window=area) == 0] = _NONE
        except RasterioError as error:
            raise DataError(
                f"'{self.path}' cannot be read at rows {window.row} to {window.row_stop - 1}: "
                f"{gdal_message(error)}. The file may be truncated: copy it or make it again."
            ) from error
        return values

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dataset.close()


def values_at(
    read: Callable[[Window], NDArray[np.uint8]], rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Values of single pixels, read in the order in which they lie in the file.

    Args:
        read: Gives the values of a window `(height, width)`.
        rows: `(n,)`.
        cols: `(n,)`.
    """
    found = np.empty(len(rows), np.int64)
    with gdal_settings():
        for place in np.lexsort((cols, rows)).tolist():
            found[place] = read(Window(int(rows[place]), int(cols[place]), 1, 1))[0, 0]
    return found
