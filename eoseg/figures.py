"""Pictures of scenes, maps and figures: arrays in, RGB arrays out.

Every function returns uint8 `(H, W, 3)`; `png_bytes` turns that into a PNG whose bytes depend on the
pixels alone. Matplotlib is imported only by the functions that draw charts.
"""

import csv
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError
from eoseg.recipe import IGNORE, Color, MapClass, Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

type Rgb = NDArray[np.uint8]
"""Red, green and blue, uint8 `(H, W, 3)`."""

type Curves = dict[str, list[tuple[int, float]]]
"""For each logged name its pairs of epoch and value."""

NO_LABEL: Color = (224, 224, 224)
"""Light grey: no label, or not mapped."""
RIGHT: Color = (158, 202, 225)
WRONG: Color = (179, 0, 0)
"""Dark red on pale blue differs in lightness too, so that colour-blind readers and printers see it."""

_INVALID: Color = (255, 255, 255)
_RGB_NAMES = (("red", "green", "blue"), ("B04", "B03", "B02"), ("B4", "B3", "B2"))
_BLUE, _SKY, _ORANGE, _GREEN, _PURPLE = "#0072B2", "#6BAED6", "#D55E00", "#009E73", "#CC79A7"
_CURVES = {
    "loss": {"train/loss": ("training", _BLUE, "-"), "val/loss": ("validation", _ORANGE, "--")},
    "validation scores": {
        "val/miou": ("mean IoU", _GREEN, "-"),
        "val/oa": ("overall accuracy", _PURPLE, "--"),
    },
}
"""For each picture the logged names, their labels, colours and line styles."""

CHART_DPI = 150
"""Pixels of a chart per inch."""


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
    return class_image(mask, (MapClass("right", (0,), RIGHT), MapClass("wrong", (1,), WRONG)))


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


def legend_image(map_classes: Sequence[MapClass], *, extra: Sequence[tuple[str, Color]] = ()) -> Rgb:
    """Draw a strip with the colour and name of each class.

    Args:
        map_classes: The classes.
        extra: Further names and colours, such as ("no label", NO_LABEL).
    """
    entries = [(entry.name, entry.color) for entry in map_classes] + list(extra)
    columns = min(len(entries), 5)
    rows = math.ceil(len(entries) / columns)
    figure, axes = _figure(2.1 * columns, 0.32 * rows + 0.1)
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    axes.axis("off")
    for number, (name, color) in enumerate(entries):
        row, column = divmod(number, columns)
        shade = [value / 255 for value in color]
        axes.add_patch(_patch(column + 0.02, row + 0.2, 0.12, 0.6, shade))
        axes.text(column + 0.18, row + 0.5, _short(name, 22), va="center", fontsize=9)
    return _render(figure)


def confusion_image(matrix: NDArray[np.int64], names: Sequence[str], *, normalize: bool = False) -> Rgb:
    """Draw a confusion matrix.

    Args:
        matrix: Int64 `(K, K)`, rows reference, columns map.
        names: The K classes.
        normalize: Give the share of each reference class (producer's accuracy on the diagonal)
            instead of pixel counts. A row without reference shows a dash.
    """
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    size = len(names)
    label = max(len(_short(name, 18)) for name in names) * 0.075
    figure, axes = _figure(
        max(0.55, 4.2 / size) * size + label + 0.6, max(0.42, 3.4 / size) * size + label + 0.7
    )
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row in range(size):
        for column in range(size):
            text = _share_text(shares[row, column]) if normalize else _count_text(int(matrix[row, column]))
            shade = "white" if shares[row, column] > 0.55 else "black"
            axes.text(
                column, row, text, ha="center", va="center", color=shade, fontsize=9 if size <= 10 else 7
            )
    short = [_short(name, 18) for name in names]
    axes.set_xticks(
        range(size), short, rotation=0 if size <= 3 else 45, ha="center" if size <= 3 else "right"
    )
    axes.set_yticks(range(size), short)
    axes.set_xlabel("map")
    axes.set_ylabel("reference")
    axes.set_title("share of each reference class, %" if normalize else "pixels", fontsize=10)
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    return _render(figure)


def class_bars(
    scores: Mapping[str, float | None],
    *,
    title: str,
    intervals: Mapping[str, tuple[float, float] | None] | None = None,
) -> Rgb:
    """Draw one bar per class; an undefined figure is written, not drawn as 0.

    Args:
        scores: Class name and its figure, 0 to 1 or None.
        title: What the figures are.
        intervals: Low and high end of a line over each bar, by class name.
    """
    names = list(scores)
    figure, axes = _figure(5.2, 0.34 * len(names) + 0.8)
    for row, name in enumerate(names):
        value = scores[name]
        ends = (intervals or {}).get(name)
        text = "undefined" if value is None else f"{value:.3f}"
        if value is not None:
            axes.barh(row, value, color=_SKY, height=0.65)
        if ends is not None:
            axes.plot(ends, (row, row), color="#222222", linewidth=1.4, marker="|", markersize=6)
        axes.text(max(value or 0.0, ends[1] if ends else 0.0) + 0.015, row, text, va="center", fontsize=9)
    axes.set_yticks(range(len(names)), [_short(name, 22) for name in names], fontsize=9)
    axes.set(xlim=(0, 1.15), ylim=(len(names) - 0.4, -0.6))
    axes.set_title(title, fontsize=10)
    _plain_axes(axes)
    return _render(figure)


def read_curves(path: Path) -> Curves:
    """Read what Lightning's CSV logger wrote.

    A name that was logged several times in an epoch counts with its last value; a name that was also
    logged as `<name>_epoch` counts with that one, without its suffix.

    Raises:
        DataError: The file is missing or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            if table.fieldnames is None or "epoch" not in table.fieldnames:
                raise DataError(f"'{path}' has no column 'epoch'; expected the metrics.csv of a run.")
            rows = list(table)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read ({error}); expected the metrics.csv of a run.") from error
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if not row["epoch"]:
            continue
        for name, text in row.items():
            if text and name not in ("epoch", "step") and not name.endswith("_step"):
                found.setdefault(name.removesuffix("_epoch"), {})[int(float(row["epoch"]))] = float(text)
    return {name: sorted(values.items()) for name, values in found.items()}


def curve_images(curves: Curves) -> dict[str, Rgb]:
    """Draw losses and validation scores over the epochs, a picture each.

    Args:
        curves: From `read_curves`; drawn are train/loss and val/loss, val/miou and val/oa, where present.

    Returns:
        Up to two pictures by their titles, "loss" and "validation scores".

    Raises:
        DataError: None of these was logged.
    """
    pictures = {}
    for title, lines in _CURVES.items():
        shown = {name: style for name, style in lines.items() if curves.get(name)}
        if not shown:
            continue
        figure, axes = _figure(4.6, 3.0)
        for name, (label, color, style) in shown.items():
            epochs, values = zip(*curves[name], strict=True)
            axes.plot(epochs, values, style, color=color, label=label, marker="o", markersize=2.5)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch", fontsize=9)
        axes.locator_params(axis="x", integer=True)
        if title != "loss":
            axes.set_ylim(0, 1)
        axes.legend(fontsize=8, frameon=False)
        _plain_axes(axes)
        pictures[title] = _render(figure)
    if not pictures:
        raise DataError(
            "There is no learning curve to draw: neither losses nor validation scores were logged."
        )
    return pictures


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    """A figure in inches that no window system and no global state of matplotlib knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=CHART_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _render(figure: "Figure") -> Rgb:
    canvas: Any = figure.canvas  # matplotlib leaves these two methods untyped
    canvas.draw()
    pixels: Rgb = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    return pixels


def _patch(x: float, y: float, width: float, height: float, color: Sequence[float]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=tuple(color), edgecolor="#666666", linewidth=0.5)


def _plain_axes(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _short(text: str, length: int) -> str:
    # A dollar sign would start a formula.
    cut = text if len(text) <= length else text[: length - 1] + "…"
    return cut.replace("$", r"\$")


def _share_text(share: float) -> str:
    """Percent without decimals; what is not quite 0 or 100 does not look like it."""
    if math.isnan(share):
        return "–"  # noqa: RUF001
    if share == 0:
        return ""
    if share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"


def _count_text(count: int) -> str:
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if count >= factor:
            value = count / (1e3 if unit == "k" else factor)
            return f"{value:.3g}{unit}" if value < 1000 else f"{value:.0f}{unit}"
    return str(count) if count else ""
