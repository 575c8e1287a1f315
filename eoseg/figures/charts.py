"""Charts, drawn with matplotlib, which only the functions import."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError
from eoseg.figures.pictures import WRONG, Rgb, difference_image, value_image
from eoseg.recipe import Color, MapClass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

type Curves = dict[str, list[tuple[int, float]]]
"""For each logged name its pairs of epoch and value."""

CHART_DPI = 150
"""Pixels of a chart per inch."""

_SHEET_COLUMNS = 4


def legend_image(
    map_classes: Sequence[MapClass], *, extra: Sequence[tuple[str, Color]] = (), title: str = ""
) -> Rgb:
    """Draw a strip with the colour and name of each class.

    Args:
        map_classes: The classes.
        extra: Further names and colours, such as ("no label", NO_LABEL).
        title: A line above them.
    """
    entries = [(entry.name, entry.color) for entry in map_classes] + list(extra)
    columns = min(len(entries), 5)
    rows = math.ceil(len(entries) / columns)
    width = max(2.1 * columns, 0.075 * len(title))
    figure, axes = new_chart(width, 0.32 * rows + (0.4 if title else 0.1))
    axes.set(xlim=(0, width / 2.1), ylim=(rows, 0))
    axes.axis("off")
    if title:
        axes.set_title(shorten(title, 200), fontsize=9, loc="left")
    for number, (name, color) in enumerate(entries):
        row, column = divmod(number, columns)
        shade = [value / 255 for value in color]
        axes.add_patch(_patch(column + 0.02, row + 0.2, 0.12, 0.6, shade))
        axes.text(column + 0.18, row + 0.5, shorten(name, 22), va="center", fontsize=9)
    return render(figure)


def scale_image(low: float, high: float, limit: float, *, label: str, title: str = "") -> Rgb:
    """Draw the colour scales of `value_image` and `difference_image`.

    Args:
        low: Value of the darkest colour.
        high: Value of the lightest colour.
        limit: Absolute difference of the darkest colours.
        label: What the values are, with their unit.
        title: A line above them.
    """
    figure, axes = new_chart(5.6, 1.5)
    steps = np.linspace(0, 1, 256)[None].repeat(16, axis=0)  # (16, 256)
    axes.axis("off")
    axes.set_title(shorten(title, 200), fontsize=9, loc="left")
    for place, picture, ends, name in (
        (0.62, value_image(low + steps * (high - low), low, high), (low, high), label),
        (0.02, difference_image((2 * steps - 1) * limit, limit), (-limit, limit), f"error: {label}"),
    ):
        bar = axes.inset_axes((0.0, place + 0.14, 1.0, 0.18))
        bar.imshow(picture, aspect="auto", extent=(*ends, 0, 1))
        bar.set_yticks([])
        bar.tick_params(labelsize=8)
        bar.set_title(shorten(name, 60), fontsize=8, pad=2)
    return render(figure)


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
    label = max(len(shorten(name, 18)) for name in names) * 0.075
    figure, axes = new_chart(
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
    short = [shorten(name, 18) for name in names]
    axes.set_xticks(
        range(size), short, rotation=0 if size <= 3 else 45, ha="center" if size <= 3 else "right"
    )
    axes.set_yticks(range(size), short)
    axes.set_xlabel("map")
    axes.set_ylabel("reference")
    axes.set_title("share of each reference class, %" if normalize else "pixels", fontsize=10)
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    return render(figure)


def contact_sheet(chips: Sequence[Rgb], answers: Sequence[tuple[str, str]]) -> Rgb:
    """Draw chips in rows, with what each is and what the network takes it for.

    Args:
        chips: Pictures of any size.
        answers: For each chip its reference and the network's answer. Where the two differ both are
            written, the answer in red; a chip without reference has "" there.
    """
    columns = min(_SHEET_COLUMNS, len(chips))
    rows = math.ceil(len(chips) / columns)
    figure, axes = new_chart(2.0 * columns, 2.4 * rows)
    axes.axis("off")
    for number, (chip, (reference, answer)) in enumerate(zip(chips, answers, strict=True)):
        row, column = divmod(number, columns)
        place = axes.inset_axes(
            ((column + 0.03) / columns, 1 - (row + 0.8) / rows, 0.94 / columns, 0.78 / rows)
        )
        place.imshow(chip, interpolation="nearest")
        place.set_xticks([])
        place.set_yticks([])
        right = reference == answer
        place.set_xlabel(shorten(reference or "no label", 30), fontsize=8, labelpad=2)
        if not right:
            color = tuple(value / 255 for value in WRONG)
            place.text(
                *(0.5, -0.11, shorten(answer or "none", 30)),
                transform=place.transAxes,
                ha="center",
                va="top",
                fontsize=8,
                color=color if reference else "#666666",
            )
    return render(figure)


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


def new_chart(width: float, height: float) -> tuple["Figure", "Axes"]:
    """A figure in inches that no window system and no global state of matplotlib knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=CHART_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def render(figure: "Figure") -> Rgb:
    """The pixels of a chart."""
    canvas: Any = figure.canvas  # matplotlib leaves these two methods untyped
    canvas.draw()
    pixels: Rgb = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    return pixels


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


def _patch(x: float, y: float, width: float, height: float, color: Sequence[float]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=tuple(color), edgecolor="#666666", linewidth=0.5)


def shorten(text: str, length: int) -> str:
    """Cut a text to so many letters, and keep matplotlib from reading a dollar sign as a formula.

    Args:
        text: Any text.
        length: The most letters, an ellipsis among them.
    """
    cut = text if len(text) <= length else text[: length - 1] + "…"
    return cut.replace("$", r"\$")
