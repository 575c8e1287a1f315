"""Class borders left out of a reference, as the ISPRS benchmarks do: nobody draws a border to the pixel.

ISPRS 2D Semantic Labeling (Vaihingen, Potsdam) publishes figures for the full reference, and for one in which
each class was eroded by a disc of 3 px radius; what is eroded is ignored. The two differ by many points, so a
figure says which it is.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.labels import LabelReader
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

type Border = Literal["isprs-full", "isprs-eroded"]
"""Whether all labels count, or those near a class border are left out."""

RADIUS = 3
"""Of the disc in pixels."""


def near_border(labels: NDArray[np.uint8], *, radius: int = RADIUS) -> NDArray[np.bool_]:
    """Labelled pixels that another class comes near to.

    Args:
        labels: Class indices `(h, w)`, or `IGNORE`, which is no class: beside it there is no border.
        radius: How near, in pixels between centres.

    Returns:
        `(h, w)`; those at the edge know only what is inside.
    """
    known = labels != IGNORE
    near = np.zeros(labels.shape, np.bool_)
    held = labels[known]
    if not held.size or (held == held[0]).all():
        return near
    padded = np.pad(labels, radius, constant_values=IGNORE)
    height, width = labels.shape
    for down in range(-radius, radius + 1):
        for across in range(-radius, radius + 1):
            if 0 < down**2 + across**2 <= radius**2:
                other = padded[radius + down :, radius + across :][:height, :width]
                near |= (other != labels) & (other != IGNORE)
    return np.asarray(near & known)


class ErodedLabels:
    """Labels of a scene without those near a class border, the same whatever windows are read."""

    def __init__(self, labels: LabelReader, *, radius: int = RADIUS) -> None:
        """Erode labels, which are closed with this.

        Args:
            labels: All labels of the scene.
            radius: See `near_border`.
        """
        self.path = labels.path
        self._labels = labels
        self._radius = radius

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class indices or `IGNORE`, `(height, width)`."""
        around = window.grow(self._radius)
        labels = self._labels.read(around)
        eroded = np.where(near_border(labels, radius=self._radius), np.uint8(IGNORE), labels)
        return eroded[window.slices_in(around)]

    def close(self) -> None:
        """Close the labels."""
        self._labels.close()
