"""Label rasters that hold a quantity, such as canopy height: one number per pixel."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError, DataError
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window


class ValueLabels:
    """An open raster of numbers, with NaN where there is no label. Use it in one thread."""

    def __init__(self, path: str | Path, *, ignore: Sequence[int | str] = ()) -> None:
        """Open a raster.

        Args:
            path: A raster with one band of integers or floats; its nodata, NaN and infinite pixels have
                no label. Values are the file's times its scale plus its offset.
            ignore: Further values that mean "no label", before scale and offset.

        Raises:
            DataError: The file is missing, is no raster or has several bands.
            ConfigError: `ignore` lists what is no number.
        """
        self.path = str(path)
        text = [value for value in ignore if not isinstance(value, int)]
        if text:
            raise ConfigError(
                f"'ignore' lists '{text[0]}', but labels of a quantity are numbers. List numbers, or leave "
                "it out."
            )
        # Each value to leave out is a nodata value of its own: one open file for each.
        own = Scene(self.path)
        if len(own.bands) != 1:
            own.close()
            raise DataError(
                f"'{self.path}' has {len(own.bands)} bands; labels of a quantity have one. Take it out "
                "(rio convert -b 1), or name classes instead of a quantity."
            )
        self._scenes = [own, *(Scene(self.path, nodata=float(value)) for value in ignore)]
        self.grid, self.block_shape = own.grid, own.block_shape

    def read(self, window: Window) -> NDArray[np.float32]:
        """Values of a window, `(height, width)`; NaN where there is no label and outside the raster.

        Raises:
            DataError: The file cannot be read there.
        """
        image, known = self._scenes[0].read(window)
        for scene in self._scenes[1:]:
            known &= scene.read(window)[1]
        values: NDArray[np.float32] = image[0]
        values[~known] = np.nan
        return values

    def close(self) -> None:
        """Close the file."""
        for scene in self._scenes:
            scene.close()
