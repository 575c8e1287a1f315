"""The eight symmetries of the square, under which a scene seen from above stays one.

A tile that is turned or mirrored lies on the lattice of the network's stride as before: its read begins and
ends at multiples of it, and so does the whole extent, which is filled up to one. A network with enough halo
therefore gives for the turned tile what it gives for the turned scene, and the map of the mean is exact too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Symmetry:
    """A transposition or none, then flips."""

    transposed: bool
    flipped: tuple[int, ...]
    """Axes, counted from the last."""

    def apply(self, image: Tensor) -> Tensor:
        """Turn and mirror images `(..., height, width)`."""
        turned = image.transpose(-2, -1) if self.transposed else image
        return (turned.flip(self.flipped) if self.flipped else turned).contiguous()

    def undo(self, result: Tensor) -> Tensor:
        """Bring what was computed of such images back in place."""
        straight = result.flip(self.flipped) if self.flipped else result
        return straight.transpose(-2, -1) if self.transposed else straight


SYMMETRIES = tuple(
    Symmetry(transposed, flipped) for transposed in (False, True) for flipped in ((), (-2,), (-1,), (-2, -1))
)
"""All eight; the first changes nothing."""


def mean_and_deviation(results: Iterable[Tensor], *, deviation: bool) -> tuple[Tensor, Tensor | None]:
    """Mean and standard deviation of several results, of which no more than one is kept at a time.

    The deviation is that of these results themselves (divided by their number), added up as Welford 1962
    does (https://doi.org/10.1080/00401706.1962.10490022): equal results have exactly none.

    Args:
        results: Of one shape; at least one.
        deviation: Whether to compute it.
    """
    mean = squares = torch.empty(0)
    count = 0
    for result in results:
        count += 1
        if count == 1:
            mean, squares = result.clone(), torch.zeros_like(result)
            continue
        difference = result - mean
        mean += difference / count
        if deviation:
            squares += difference * (result - mean)
    return mean, (squares / count).sqrt() if deviation else None
