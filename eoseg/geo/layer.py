"""What the values of one file of a prediction mean, whatever the file is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.recipe import IGNORE, Color


@dataclass(frozen=True, slots=True)
class Layer:
    """Bands of one type of numbers, and how programs should show them."""

    bands: tuple[str, ...]
    """Descriptions of the bands."""
    overviews: Literal["MODE", "AVERAGE"]
    """How overviews are made: MODE for classes, AVERAGE for quantities."""
    dtype: Literal["uint8", "float32"] = "uint8"
    """uint8 with 255 as nodata, or float32 with NaN: no estimate can be taken for it, and a program that
    does not know of nodata gets NaN instead of a mean that looks plausible."""
    highest: int = IGNORE - 1
    """Of uint8: the largest value that means something."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Metadata that says what the values are."""
    colors: tuple[Color, ...] | None = None
    """Colour of each value from 0 on; None for no colour table."""
    categories: tuple[str, ...] | None = None
    """Name of each value from 0 on, for QGIS and GDAL, which keep them beside the file."""
    scale: float | None = None
    """What a stored value is multiplied with to get its meaning."""
    unit: str | None = None
    """Of the values, such as "m"."""
    unitless: tuple[str, ...] = ()
    """Bands whose values have no unit, beside others that have one."""

    @property
    def nodata(self) -> float:
        """What a pixel without value holds."""
        return IGNORE if self.dtype == "uint8" else float("nan")

    @property
    def item_bytes(self) -> int:
        """Bytes of one value."""
        return np.dtype(self.dtype).itemsize

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each band, "" where it has none."""
        return tuple("" if band in self.unitless else self.unit or "" for band in self.bands)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel, over all bands, before compression."""
        return len(self.bands) * self.item_bytes


@dataclass(slots=True)
class Counts:
    """What the pixels of a file hold, added up window by window."""

    known: int = 0
    """Pixels whose first band has a value."""
    values: NDArray[np.int64] | None = None
    """Of uint8: how often each value is there, `(bands, 256)`."""
    total: float = 0.0
    """Of float32: the sum of all values of the first band."""
    least: float = np.inf
    most: float = -np.inf
    beyond: list["Counts"] = field(default_factory=list)
    """Of float32: the same of each band behind the first."""

    def of_band(self, number: int) -> "Counts":
        """What one band of float32 holds."""
        return self.beyond[number - 1] if number else self

    def add(self, stored: NDArray[np.uint8] | NDArray[np.float32]) -> None:
        """Add a window `(bands, height, width)`."""
        if stored.dtype == np.uint8:
            found = np.stack([_histogram(band) for band in stored])
            self.values = found if self.values is None else self.values + found
            self.known += stored[0].size - int(found[0, IGNORE])
            return
        numbers = stored[0][~np.isnan(stored[0])]
        self.known += numbers.size
        if numbers.size:
            self.total += float(numbers.sum(dtype=np.float64))
            self.least = min(self.least, float(numbers.min()))
            self.most = max(self.most, float(numbers.max()))
        self.beyond = self.beyond or [Counts() for _ in stored[1:]]
        for counts, band in zip(self.beyond, stored[1:], strict=True):
            counts.add(band[None])


def _histogram(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each of the 256 values is there. Counted in pairs, since a count costs more than a sum."""
    flat = np.ascontiguousarray(values).reshape(-1)
    even = flat.size // 2 * 2
    pairs = np.bincount(flat[:even].view(np.uint16), minlength=2**16).reshape(256, 256)
    counts = pairs.sum(axis=0) + pairs.sum(axis=1)
    if even < flat.size:
        counts[flat[-1]] += 1
    return counts
