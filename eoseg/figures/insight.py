"""What a network has learned to look for, and where it looks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.figures.pictures import Rgb, enlarge, rgb_bands

_FILTER_PIXELS = 48
_GAP = 3
_HEAT = np.array([[0, 0, 131], [0, 160, 255], [125, 255, 122], [255, 200, 0], [200, 0, 0]], np.float64)


def filter_sheet(weights: NDArray[Any], bands: Sequence[str], *, most: int = 64) -> Rgb:
    """Show the filters of a first layer in rows of eight.

    Args:
        weights: `(filters, channels, height, width)`.
        bands: Names of the bands. Where each is one channel, red, green and blue are shown, each filter
            stretched around its own zero (grey); other filters are the mean over their channels.
        most: Filters that are shown, from the first on.
    """
    kept = weights[:most].astype(np.float64)
    places = rgb_bands(list(bands)) if kept.shape[1] == len(bands) else None
    shown = kept[:, places] if places else kept.mean(axis=1, keepdims=True).repeat(3, axis=1)
    largest = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
    scaled = np.rint(127.5 + 127.5 * shown / np.where(largest > 0, largest, 1)).astype(np.uint8)
    tiles = [enlarge(tile.transpose(1, 2, 0), at_least=_FILTER_PIXELS) for tile in scaled]
    height, width = tiles[0].shape[:2]
    columns = min(8, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + _GAP), column * (width + _GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def heat_image(image: Rgb, heat: NDArray[Any]) -> Rgb:
    """Lay a map of attention over a picture: blue where there is none, red where there is most.

    Args:
        image: uint8 `(H, W, 3)`.
        heat: `(H, W)`, at least 0; divided by its largest value.
    """
    largest = float(heat.max())
    shares = np.clip(heat / largest, 0, 1) if largest > 0 else np.zeros(heat.shape)
    steps = np.linspace(0, 1, len(_HEAT))
    colors = np.stack([np.interp(shares, steps, channel) for channel in _HEAT.T], axis=-1)
    grey = image.mean(axis=-1, keepdims=True)
    mixed: Rgb = np.rint(0.55 * grey + 0.45 * colors).astype(np.uint8)
    return mixed
