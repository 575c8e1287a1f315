"""A bounded sample of a stream of unknown length."""

import math

import numpy as np
from numpy.typing import NDArray

type _Part = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.generic]]


class Reservoir:
    """Keeps rows so that each row of the stream is kept with the same probability.

    Each row draws a random number, and those with the smallest numbers stay. The draws follow the stream
    row by row, so the sample does not depend on how the stream is cut into batches. At most twice the
    capacity is held at a time.
    """

    def __init__(self, capacity: int, *, seed: int) -> None:
        """Make an empty sample.

        Args:
            capacity: Number of rows to keep.
            seed: The same seed and stream give the same sample.
        """
        self.capacity = capacity
        self.seed = seed
        self.seen = 0
        """Rows of the stream so far."""
        self._parts: list[_Part] = []
        self._forget()

    def draw(self, count: int) -> NDArray[np.bool_]:
        """Let the next rows of the stream draw; `add` then takes those that are still in.

        Returns:
            Which of them are in, `(count,)`.
        """
        keys = self._generator.random(count)
        chosen: NDArray[np.bool_] = keys < self._limit
        self._drawn = keys[chosen]
        self.seen += count
        return chosen

    def add(self, rows: NDArray[np.float32], targets: NDArray[np.generic]) -> None:
        """Keep the rows that `draw` chose, in their order."""
        if len(rows) != len(self._drawn) or len(targets) != len(self._drawn):
            raise ValueError(
                f"{len(self._drawn)} rows were drawn, {len(rows)} rows and {len(targets)} targets given"
            )
        self._parts.append((self._drawn, rows, targets))
        self._held += len(rows)
        if self._held > 2 * self.capacity:
            self._shrink()

    def take(self) -> tuple[NDArray[np.float32], NDArray[np.generic]] | None:
        """The sample, in random order; it is forgotten, and the next stream starts afresh.

        Returns:
            Rows `(n, F)` and their targets, or None where the stream was empty.
        """
        if not self._held:
            return None
        self._shrink()
        _, rows, targets = self._parts[0]
        self._forget()
        return rows, targets

    def _shrink(self) -> None:
        keys, rows, targets = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        order = np.argsort(keys, kind="stable")[: self.capacity]
        self._parts = [(keys[order], rows[order], targets[order])]
        self._held = len(order)
        if self._held == self.capacity:
            self._limit = float(keys[order[-1]])  # a larger number cannot get in any more

    def _forget(self) -> None:
        self.seen = 0
        self._generator = np.random.default_rng(self.seed)
        self._limit = math.inf
        self._held = 0
        self._drawn = np.zeros(0)
        self._parts.clear()
