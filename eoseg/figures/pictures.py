"""Pictures from arrays of pixels, without any drawing library."""

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError
from eoseg.recipe import IGNORE, Color, MapClass, Statistics, parse_color

type Rgb = NDArray[np.uint8]
"""Red, green and blue, uint8 `(H, W, 3)`."""

NO_LABEL: Color = (224, 224, 224)
"""Light grey: no label, or not mapped."""
RIGHT: Color = (158, 202, 225)
WRONG: Color = (179, 0, 0)
"""Dark red on pale blue differs in lightness too, so that colour-blind readers and printers see it."""

ERRORS = (MapClass("right", (0,), RIGHT), MapClass("wrong", (1,), WRONG))
"""What the values of an `error_mask` mean."""

DETECTIONS = (
    MapClass("unchanged, right", (0,), RIGHT),
    MapClass("change found", (1,), (0, 92, 60)),
    MapClass("false alarm", (2,), WRONG),
    MapClass("change missed", (3,), (250, 225, 70)),
)
"""What the values of a `detection_mask` mean."""

_INVALID: Color = (255, 255, 255)
_RGB_NAMES = (("red", "green", "blue"), ("B04", "B03", "B02"), ("B4", "B3", "B2"))

# Matplotlib's viridis (CC0) and the ends and middle of ColorBrewer's RdBu, at equal steps.
_VALUE_RAMP = (
    "#440154",
    "#472D7B",
    "#3B528B",
    "#2C728E",
    "#21918C",
    "#28AE80",
    "#5EC962",
    "#ADDC30",
    "#FDE725",
)
_DIFFERENCE_RAMP = ("#053061", "#2166AC", "#92C5DE", "#F7F7F7", "#F4A582", "#B2182B", "#67001F")


def rgb_bands(names: Sequence[str]) -> list[int]:
    """Choose three bands to look at.

    Returns:
        0-based places of the bands for red, green and blue: by name (red/green/blue, B04/B03/B02 or
        B4/B3/B2, in any case), else the first three; with fewer than three bands the first, as grey.
    """
    lowered = [name.lower() for name in names]
    for wanted in _RGB_NAMES:
        if all(name.lower() in lowered for name in wanted):
            return [lowered.index(name.lower()) for name in wanted]
    return [0, 1, 2] if len(names) >= 3 else [0, 0, 0]


def rgb_image(
    image: NDArray[np.float32], statistics: Statistics, valid: NDArray[np.bool_] | None = None
) -> Rgb:
    """Show a multispectral image, stretched by the training statistics, so that all images compare.

    Args:
        image: Float `(C, H, W)`, raw values, bands in the order of the statistics.
        statistics: The stretch: `low` becomes black, `high` white.
        valid: Bool `(H, W)`; other pixels become white.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        DataError: The image has another number of bands than the statistics.
    """
    if image.ndim != 3 or image.shape[0] != len(statistics.bands):
        raise DataError(
            f"An image with the {len(statistics.bands)} bands of the statistics was expected; found an array "
            f"of shape {image.shape}. Select the bands by name first."
        )
    places = rgb_bands([band.name for band in statistics.bands])
    low = np.array([statistics.bands[place].low for place in places])[:, None, None]
    high = np.array([statistics.bands[place].high for place in places])[:, None, None]
    span = np.where(high > low, high - low, 1.0)
    shares = np.clip((image[places].astype(np.float64) - low) / span, 0, 1)  # (3, H, W)
    rgb = np.rint(np.nan_to_num(shares) * 255).astype(np.uint8).transpose(1, 2, 0)  # (H, W, 3)
    if valid is not None:
        rgb[~valid] = _INVALID
    shown: Rgb = np.ascontiguousarray(rgb)
    return shown


def class_image(classes: NDArray[Any], map_classes: Sequence[MapClass]) -> Rgb:
    """Show classes in their colours.

    Args:
        classes: Integers `(H, W)`, 0 to K-1 or `IGNORE`, which becomes light grey.
        map_classes: The K classes.

    Raises:
        DataError: A value is no class.
    """
    palette: Rgb = np.full((IGNORE + 1, 3), NO_LABEL, np.uint8)
    palette[: len(map_classes)] = np.array([entry.color for entry in map_classes], np.uint8)
    wrong = (classes != IGNORE) & ((classes < 0) | (classes >= len(map_classes)))
    if wrong.any():
        raise DataError(
            f"A class map of {len(map_classes)} classes holds 0 to {len(map_classes) - 1} and {IGNORE}; "
            f"found {int(classes[wrong][0])}."
        )
    shown: Rgb = palette[classes]
    return shown


def error_mask(reference: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.uint8]:
    """Say where a map is wrong.

    Args:
        reference: Integers `(H, W)` with `IGNORE`.
        predicted: Integers `(H, W)` with `IGNORE`.

    Returns:
        uint8 `(H, W)`: 0 right, 1 wrong, `IGNORE` where there is no reference or no map.
    """
    mask: NDArray[np.uint8] = (reference != predicted).astype(np.uint8)
    mask[(reference == IGNORE) | (predicted == IGNORE)] = IGNORE
    return mask


def error_image(mask: NDArray[np.uint8]) -> Rgb:
    """Show an `error_mask`: right pale blue, wrong dark red, the rest light grey."""
    return class_image(mask, ERRORS)


def detection_mask(reference: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.uint8]:
    """Say how a map of change differs from the reference.

    Args:
        reference: Integers `(H, W)`: 0 unchanged, 1 changed, or `IGNORE`.
        predicted: The same for the map.

    Returns:
        uint8 `(H, W)`: a place in `DETECTIONS` (true negative, true positive, false positive, false
        negative), or `IGNORE` where there is no reference or no map.
    """
    kinds = np.array([[0, 2], [3, 1]], np.uint8)
    mask: NDArray[np.uint8] = kinds[(reference == 1).astype(int), (predicted == 1).astype(int)]
    mask[(reference == IGNORE) | (predicted == IGNORE)] = IGNORE
    return mask


def value_image(values: NDArray[Any], low: float, high: float) -> Rgb:
    """Show a quantity from dark blue (`low` and less) over green to yellow (`high` and more).

    Args:
        values: `(H, W)`; NaN becomes light grey.
        low: The value of the darkest colour.
        high: The value of the lightest one.
    """
    return _ramp_image(values, low, high, _VALUE_RAMP)


def difference_image(differences: NDArray[Any], limit: float) -> Rgb:
    """Show differences from blue (`-limit` and less) over white (0) to red (`limit` and more).

    Args:
        differences: `(H, W)`; NaN becomes light grey.
        limit: The absolute difference of the darkest colours.
    """
    return _ramp_image(differences, -limit, limit, _DIFFERENCE_RAMP)


def side_by_side(images: Sequence[Rgb], *, gap: int = 4) -> Rgb:
    """Join pictures of one height from left to right, white between them."""
    white = np.full((images[0].shape[0], gap, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, white)][:-1]
    return np.concatenate(parts, axis=1)


def enlarge(image: Rgb, *, at_least: int) -> Rgb:
    """Repeat each pixel so that the longer side has at least that many; larger pictures stay."""
    factor = max(1, math.ceil(at_least / max(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def png_bytes(rgb: Rgb) -> bytes:
    """Encode a picture as PNG; the same pixels give the same bytes.

    Written here in a few lines because the encoders of other libraries add their version and time.
    https://www.w3.org/TR/png-3/

    Args:
        rgb: uint8 `(H, W, 3)`.

    Raises:
        DataError: The array is no such picture.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise DataError(f"A picture is uint8 (H, W, 3); found {rgb.dtype} {rgb.shape}.")
    height, width = rgb.shape[:2]
    # Each row is stored as its difference to the row above (filter 2): half the bytes of filter 0.
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2
    flat = rgb.reshape(height, 3 * width)
    rows[0, 1:] = flat[0]
    rows[1:, 1:] = flat[1:] - flat[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _ramp_image(values: NDArray[Any], low: float, high: float, ramp: Sequence[str]) -> Rgb:
    shares = (values.astype(np.float64) - low) / (high - low if high > low else 1.0)
    steps = np.linspace(0, 1, len(ramp))
    colors = np.array([parse_color(text) for text in ramp], np.float64)
    shown = np.stack([np.interp(np.nan_to_num(shares), steps, channel) for channel in colors.T], axis=-1)
    rgb: Rgb = np.rint(shown).astype(np.uint8)
    rgb[np.isnan(values)] = NO_LABEL
    return rgb
