"""The eight symmetries of the square, under which a scene seen from above stays one.

A tile that is turned or mirrored lies on the lattice of the network's stride as before: its read begins and
ends at multiples of it, and so does the whole extent, which is filled up to one. A network with enough halo
therefore gives for the turned tile what it gives for the turned scene, and the map of the mean is exact too.
"""

from dataclasses import dataclass

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
