"""Parts that pages about accuracy have in common: figures, classes, confusion matrix, curves, maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError
from eoseg.evaluate.accuracy import OVERALL_TITLES
from eoseg.evaluate.html import (
    cards,
    charts,
    figure,
    legend,
    missing,
    shaded,
    shots,
    swatch,
    table,
    text,
)
from eoseg.evaluate.panel import MapPanel
from eoseg.figures import NO_LABEL, RIGHT, WRONG, class_image, error_image, error_mask, read_curves
from eoseg.figures.svg import Bar, Line, bar_chart, line_chart
from eoseg.metrics import Scores
from eoseg.recipe import MapClass

type Ends = Mapping[str, tuple[float, float] | None]
"""95 % intervals by the names of figures, such as `mean_iou` or `iou/water`; None where there is none."""

CLASS_WORDS = (
    "User's accuracy: share of what the map shows that is right. Producer's accuracy: share of the reference "
    "that the map found."
)
MATRIX_WORDS = "Rows are the reference, columns the map; right answers lie on the diagonal."

_CURVES = {
    "Loss": {"train/loss": ("training", "--c1", ""), "val/loss": ("validation", "--c2", "6 3")},
    "Validation scores": {
        "val/miou": ("mean IoU", "--c3", ""),
        "val/oa": ("overall accuracy", "--c4", "6 3"),
        "val/change_f1": ("F1 of change", "--c2", "2 3"),
        "val/micro_f1": ("F1 over all labels", "--c1", ""),
    },
    "Validation errors": {"val/rmse": ("RMSE", "--c2", ""), "val/mae": ("MAE", "--c1", "6 3")},
}
"""For each chart the logged names, their labels, colours and dashes."""

_UPRIGHT = 4
"""With more classes, the heads of a confusion matrix stand upright."""


def figure_cards(scores: Scores, ends: Ends) -> str:
    """The overall figures in large letters, with their intervals."""
    return cards(
        [
            (title, figure(getattr(scores, name)), f"95 %: {interval_text(ends, name) or 'no interval'}")
            for name, title in OVERALL_TITLES.items()
        ]
    )


def class_table(scores: Scores, classes: Sequence[MapClass], ends: Ends, *, unit: str = "px") -> str:
    """Figures of each class with the intervals that are known, and bars of its IoU.

    Args:
        scores: The figures.
        classes: The classes, in the same order.
        ends: Intervals; a column for those of the IoU, and one for F1 where there are any.
        unit: What was counted.
    """
    kinds = {"iou": "IoU", "f1": "F1"}
    known = [
        kind for kind in kinds if any(name.startswith(f"{kind}/") and held for name, held in ends.items())
    ]
    head = ["Class"]
    for kind, title in kinds.items():
        head += [title, f"95 % of {title}"] if kind in known else [title]
    head += ["User's", "Producer's", f"Reference {unit}", f"Map {unit}"]
    rows = []
    for held, entry in zip(scores.classes, classes, strict=True):
        cells = []
        for kind in kinds:
            cells.append(figure(getattr(held, kind)))
            if kind in known:
                cells.append(interval_text(ends, f"{kind}/{held.name}") or "none")
        cells += [figure(held.users_accuracy), figure(held.producers_accuracy)]
        cells += [f"{held.reference_pixels:,}", f"{held.mapped_pixels:,}"]
        rows.append((swatch(entry.color) + text(entry.name), cells))
    bars = [Bar(held.name, held.iou, ends.get(f"iou/{held.name}")) for held in scores.classes]
    caption = "IoU per class" + (", line: 95 % interval" if "iou" in known else "")
    return charts(
        [
            ("Figures per class", table(head, rows)),
            (caption, bar_chart(bars, label=f"bars: {caption}")),
        ]
    )


def interval_text(ends: Ends, name: str) -> str:
    """An interval as text, such as "0.912-0.934", or "" where there is none."""
    found = ends.get(name)
    return "" if found is None else f"{found[0]:.3f}-{found[1]:.3f}"


def matrix_tables(matrix: NDArray[np.int64], names: Sequence[str], *, unit: str = "pixels") -> str:
    """A confusion matrix as counts, and as shares of each reference class.

    Args:
        matrix: Int64 `(K, K)`, rows reference, columns map.
        names: The K classes.
        unit: What was counted.
    """
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    counts, percents = [], []
    for name, row, row_shares, total in zip(
        names, matrix.tolist(), shares.tolist(), totals[:, 0], strict=True
    ):
        both = list(zip(row, row_shares, strict=True))
        counts.append((text(name), [shaded(_count(number), share) for number, share in both]))
        percents.append((text(name), [shaded(_percent(share) if total else "-", share) for _, share in both]))
    css = "matrix many" if len(names) > _UPRIGHT else "matrix"
    head = ["reference \\ map", *names]
    return charts(
        [
            (f"In {unit}", table(head, counts, css=css)),
            ("In % of each reference class", table(head, percents, css=css)),
        ]
    )


def curve_charts(path: Path) -> str:
    """Losses, validation scores and validation errors over the epochs, a chart each.

    Args:
        path: metrics.csv of a run.

    Raises:
        DataError: The file is missing, is no such table, or logged none of these.
    """
    curves = read_curves(path)
    drawn = []
    for title, known in _CURVES.items():
        lines = [
            Line(label, curves[name], color, dash, marks=len(curves[name]) <= 30)
            for name, (label, color, dash) in known.items()
            if curves.get(name)
        ]
        if lines:
            y_range = (0.0, 1.0) if title == "Validation scores" else None
            said = f"curves: {title.lower()} over the epochs"
            drawn.append((title, line_chart(lines, label=said, x_title="epoch", y_range=y_range)))
    if not drawn:
        raise DataError(f"'{path}' has no curve to draw: neither losses nor validation scores were logged.")
    return charts(drawn)


def map_pictures(panel: MapPanel, classes: Sequence[MapClass]) -> str:
    """A scene beside its reference, its map and the errors, as far as they are known."""
    pictures = [] if panel.image is None else [("image", panel.image)]
    entries = [(entry.name, entry.color) for entry in classes]
    entries.append(("no label or not mapped", NO_LABEL))
    pictures.append(("map", class_image(panel.map, classes)))
    if panel.truth is not None:
        pictures.insert(-1, ("reference", class_image(panel.truth, classes)))
        pictures.append(("errors", error_image(error_mask(panel.truth, panel.map))))
        entries += [("right", RIGHT), ("wrong", WRONG)]
    without = (
        "" if panel.image is not None else missing("The scene is not shown; name it with --scene SCENE.")
    )
    return shots([(what, f"{panel.name}: {what}", rgb) for what, rgb in pictures]) + legend(entries) + without


def _count(number: int) -> str:
    if number >= 10_000_000:
        return f"{number / 1e6:.0f}M"
    return f"{number / 1e6:.2f}M" if number >= 1_000_000 else f"{number:,}"


def _percent(share: float) -> str:
    """Percent without decimals; what is not quite 0 or 100 does not look like it."""
    if share == 0:
        return "0"
    if share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"
