"""Numbers from 0 to 1 as whole numbers of one byte."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.geo.mapfile import PROBABILITY_STEPS
from eoseg.recipe import IGNORE


def quantise(shares: Tensor, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Store probabilities, and other numbers from 0 to 1, as uint8.

    Args:
        shares: `(bands, height, width)`, on any device: a byte for each is all that leaves it.
        valid: `(height, width)`.

    Returns:
        `(bands, height, width)`: 0 to 250, `IGNORE` where not valid. Larger probabilities never get
        smaller values, so the class of a pixel is among its largest values.
    """
    steps = (shares * PROBABILITY_STEPS).round().to(torch.uint8).cpu().numpy()
    return np.where(valid, steps, np.uint8(IGNORE))
