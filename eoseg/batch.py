"""The one dictionary that travels from the datasets to the tasks."""

from typing import NotRequired, TypedDict

from torch import Tensor

from eoseg.recipe import IGNORE

__all__ = ["IGNORE", "Batch"]


class Batch(TypedDict):
    """A batch of chips, with torchgeo's keys.

    Images hold raw file values (times the file's scale, plus its offset). Normalisation happens in
    the model alone, which also sets invalid pixels to zero after it.
    """

    image: Tensor
    """Float32 `(B, C, H, W)`, or `(B, T, C, H, W)` for change (earlier date first) and series."""
    valid: Tensor
    """Bool `(B, H, W)`, or `(B, T, H, W)`. True where every band has a value inside the scene."""
    mask: NotRequired[Tensor]
    """Int64 `(B, H, W)`: class per pixel in 0..K-1, or `IGNORE`.

    Invalid pixels have `IGNORE`: of a pair where one date is invalid, of a series where all are.
    """
    label: NotRequired[Tensor]
    """Int64 `(B,)`: class per chip; `(B, K)` of 0 and 1 where a chip may have several."""
    value: NotRequired[Tensor]
    """Float32 `(B, H, W)`: the quantity per pixel, NaN where there is none or the pixel is invalid."""
    days: NotRequired[Tensor]
    """Float32 `(B, T)`: day of the year of each date of a series, 1 to 366."""
    counted: NotRequired[Tensor]
    """Int64 `(B,)`: pixels that a chip of an evaluation stands for, labelled or not."""
    eroded: NotRequired[Tensor]
    """Int64 `(B,)`: of these, labelled pixels at class borders that the protocol leaves out."""
    id: list[str]
    """Where each chip comes from, `scene@row,col`: the same in every run and on every process."""
