"""The label of a chip: what most of its labelled pixels are."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError
from eoseg.geo.grid import Grid
from eoseg.geo.labels import RasterLabels
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE, MapClass


class ChipLabels:
    """Labels of the chips of one scene, from a raster on its grid. Use it as a context manager."""

    def __init__(self, path: str | Path, grid: Grid, *, image: str, classes: tuple[MapClass, ...]) -> None:
        """Open a label raster.

        Args:
            path: A raster with one band of integers.
            grid: The scene's grid.
            image: Its path, for messages.
            classes: What the values mean: labels are then names of classes, and other values are refused.
                Without classes labels are the values; nodata and 255 mean "no label".

        Raises:
            DataError: The file is missing, or holds no integers.
            GridError: It is on another grid.
        """
        self._names = [entry.name for entry in classes]
        self._file: RasterLabels | Scene = RasterLabels(path, classes=classes) if classes else Scene(path)
        try:
            if isinstance(self._file, Scene):
                _require_values(self._file)
            grid.require_same(self._file.grid, this=image, that=str(path))
        except BaseException:
            self.close()
            raise

    def of(self, window: Window, valid: NDArray[np.bool_]) -> str | None:
        """The most frequent label of a chip's usable pixels; of equals the first, None where there is none.

        Args:
            window: The chip, which may reach outside the scene.
            valid: Where the image is usable, `(height, width)`.

        Raises:
            DataError: A value is no class's.
        """
        if isinstance(self._file, RasterLabels):
            labels = self._file.read(window)
            known = labels[valid & (labels != IGNORE)]
            return self._names[int(np.bincount(known).argmax())] if known.size else None
        image, held = self._file.read(window)
        values, counts = np.unique(image[0][valid & held & (image[0] != IGNORE)], return_counts=True)
        return str(int(values[counts.argmax()])) if values.size else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _require_values(scene: Scene) -> None:
    if len(scene.bands) != 1 or np.dtype(scene.dtype).kind not in "iu":
        raise DataError(
            f"'{scene.path}' has {len(scene.bands)} band(s) of {scene.dtype}; labels are one band of "
            "integers. Give a raster of class values."
        )
