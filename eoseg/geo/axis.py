"""Rows or columns of one grid as those of another one over the same length."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Axis:
    """Which source pixels make up each target pixel, along one axis, and with which weights.

    A target pixel that is larger than a source pixel holds the mean of what lies in it, by length; a smaller
    one is interpolated between the two centres around its own. Each is made in the same steps whatever its
    neighbours, so that a window holds the same numbers, to the last bit, as the whole. Places are those
    among the source pixels from `start` to before `stop`, which are all that is needed.
    """

    start: int
    stop: int
    nearest: NDArray[np.int64]
    """For each target pixel the source pixel in which its centre lies; of two the later one."""
    places: NDArray[np.int64]
    """`(taps, targets)`: the source pixels that make up each target pixel."""
    weights: NDArray[np.float32]
    """`(taps, targets)`, of sum 1 over the taps."""
    takes_means: bool
    """Whether target pixels are larger."""

    @classmethod
    def between(cls, source: int, target: int, start: int, stop: int) -> Self:
        """Find what some target pixels are made of.

        Args:
            source: Pixels of the source, over the whole length.
            target: Pixels of the target, over the same length.
            start: First target pixel wanted.
            stop: The one after the last.
        """
        index = np.arange(start, stop, dtype=np.int64)
        nearest = (2 * index + 1) * source // (2 * target)
        places, weights = (_means if source > target else _between)(source, target, index)
        first, last = int(places.min()), int(places.max())
        return cls(first, last + 1, nearest - first, places - first, weights, source > target)

    def sums(self, values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        """Weighted sums of an array of float32 along one of its axes."""
        shape = [1] * values.ndim
        shape[axis] = -1
        total: NDArray[np.float32] | None = None
        for places, weights in zip(self.places, self.weights, strict=True):
            part = values.take(places, axis)
            part *= weights.reshape(shape)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total

    def known(self, known: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
        """Where something is known: of a mean anything in the pixel, else what lies at its centre."""
        if not self.takes_means:
            return known.take(self.nearest, axis)
        return self.sums(known.astype(np.float32), axis) > 0


def resample(
    values: NDArray[np.float32], known: NDArray[np.bool_], rows: Axis, cols: Axis
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bring an image to another grid; what is not known counts for nothing.

    Args:
        values: `(bands, height, width)` of the source pixels that the axes need.
        known: `(bands, height, width)`, or `(1, height, width)` for all bands.
        rows: Along the height.
        cols: Along the width.

    Returns:
        Values, 0 where nothing is known, and where they are known, of the target pixels.
    """
    filled = np.where(known, values, np.float32(0))
    total = cols.sums(rows.sums(filled, 1), 2)
    is_known = cols.known(rows.known(known, 1), 2)
    if known.all():
        return total, is_known
    weight = cols.sums(rows.sums(known.astype(np.float32), 1), 2)
    result: NDArray[np.float32] = np.where(is_known, total / np.where(is_known, weight, 1), np.float32(0))
    return result, is_known


def _means(
    source: int, target: int, index: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Lengths in parts of which a source pixel has `target` and a target pixel `source`."""
    begin, end = index * source, (index + 1) * source
    first = begin // target
    taps = int(((end - 1) // target - first).max()) + 1
    places = first + np.arange(taps, dtype=np.int64)[:, None]  # (taps, targets)
    covered = np.minimum(end, (places + 1) * target) - np.maximum(begin, places * target)
    weights = (covered.clip(min=0) / source).astype(np.float32)
    return places.clip(max=source - 1), weights


def _between(
    source: int, target: int, index: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    before, rest = np.divmod((2 * index + 1) * source - target, 2 * target)
    after = (rest / (2 * target)).astype(np.float32)
    places = np.stack([before, before + 1]).clip(0, source - 1)
    return places, np.stack([1 - after, after])
