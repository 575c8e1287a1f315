"""The two kinds of numbers that eoseg's rasters hold, and a tally of them in whatever order they come.

Two tallies are equal where the same numbers were added: that is how a finished file is compared with what
was written to it, without keeping either in memory.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import OutputError
from eoseg.recipe import IGNORE


@dataclass(eq=False)
class ByteTally:
    """Integers from 0 to 255, of which 255 is nodata."""

    dtype: ClassVar[str] = "uint8"
    nodata: ClassVar[float] = IGNORE
    predictor: ClassVar[str] = "NO"
    """Of the compression of the finished file: classes gain nothing by one."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    """How often each value was added."""

    def store(self, values: NDArray[Any], path: object, window: object) -> NDArray[np.uint8]:
        """Values as uint8, but never other values than were given; path and window are for the message.

        Raises:
            OutputError: They are no integers from 0 to 255.
        """
        if values.dtype == np.uint8:
            return values
        low, high = values.min(), values.max()
        if values.dtype.kind not in "iu" or low < 0 or high > 255:
            raise OutputError(
                f"'{path}' holds integers from 0 to 255; found {values.dtype} values from {low} to {high} "
                f"at {window}. Convert them before writing."
            )
        return values.astype(np.uint8)

    def add(self, stored: NDArray[np.uint8]) -> None:
        """Count values."""
        self.counts += np.bincount(stored.ravel(), minlength=256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteTally) and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]


@dataclass
class FloatTally:
    """Finite float32 numbers, with NaN as nodata.

    NaN rather than a number such as -9999: no estimate can be taken for it, and a program that does not
    know of nodata gets NaN instead of a mean that looks plausible.
    """

    dtype: ClassVar[str] = "float32"
    nodata: ClassVar[float] = float("nan")
    predictor: ClassVar[str] = "YES"

    pixels: int = 0
    known: int = 0
    """Of these, with a number."""
    bits: int = 0
    """Sum of all numbers read as 32-bit integers, so that not one bit may differ."""

    def store(self, values: NDArray[Any], path: object, window: object) -> NDArray[np.float32]:
        """Values as float32; path and window are for the message.

        Raises:
            OutputError: One is infinite.
        """
        stored = values.astype(np.float32)
        if np.isinf(stored).any():
            raise OutputError(
                f"'{path}' holds finite numbers and NaN; found an infinite one at {window}. The network may "
                "have diverged: train again with a smaller learning rate."
            )
        return stored

    def add(self, stored: NDArray[np.float32]) -> None:
        """Add numbers."""
        known = ~np.isnan(stored)
        self.pixels += stored.size
        self.known += int(known.sum())
        # NaN has many patterns of bits, which software may exchange.
        self.bits += int(stored[known].view(np.uint32).sum(dtype=np.uint64))
