"""The map of a split: where training, validation and test data lie, and what two of them share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eoseg.figures.charts import new_chart, render, shorten
from eoseg.figures.pictures import Rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

type Ring = Sequence[tuple[float, float]]

_COLORS = {"train": "#0072B2", "val": "#E69F00", "test": "#009E73"}
"""Of Okabe and Ito, which colour-blind readers tell apart."""

_SHARED, _CUT = "#B30000", "#CC79A7"

_MOST_PANELS = 12
"""Places that are drawn side by side; of more, one map shows all."""

_APART = 3.0
"""Sides of the largest outline between places that are drawn side by side."""

_SMALL = 60
"""A shared place that is narrower than this part of its panel is marked with a circle too."""


def split_map_image(
    outlines: Sequence[tuple[str, Ring]],
    *,
    unit: str,
    shared: Sequence[Ring] = (),
    cut: Sequence[Ring] = (),
    title: str = "",
) -> Rgb:
    """Draw where the splits lie.

    Places far apart are drawn side by side, all at one scale.

    Args:
        outlines: Split ("train", "val" or "test") and corners of each part.
        unit: Of the coordinates.
        shared: Ground that two splits share.
        cut: Label polygons that lie in two splits.
        title: A line above.
    """
    rings = [np.asarray(ring, float) for _, ring in outlines]
    boxes = np.array([[*ring.min(axis=0), *ring.max(axis=0)] for ring in rings])  # (n, 4)
    panels = _panels(boxes)
    extents = [_extent(boxes[panel]) for panel in panels]
    side = max(max(right - left, top - bottom) for left, bottom, right, top in extents)
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    size = {1: 6.0, 2: 4.2, 3: 3.4}.get(columns, 2.8)
    figure, axes = new_chart(size * columns + 0.4, size * rows + 0.8)
    axes.remove()
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, panel, extent in zip(places, panels, extents, strict=False):
        _frame(place, extent, side, unit)
        for number in panel:
            place.fill(*rings[number].T, facecolor=_COLORS[outlines[number][0]], alpha=0.55, linewidth=0)
            place.plot(*_closed(rings[number]).T, color=_COLORS[outlines[number][0]], linewidth=0.7)
        _mark(place, cut, extent, side, color=_CUT, hatch=None)
        _mark(place, shared, extent, side, color=_SHARED, hatch="////")
    for place in places[len(panels) :]:
        place.remove()
    if title:
        figure.suptitle(shorten(title, 110), fontsize=10, x=0.01, ha="left")
    _legend(
        figure, sorted({split for split, _ in outlines}, key=list(_COLORS).index), bool(shared), bool(cut)
    )
    return render(figure)


def _panels(boxes: np.ndarray) -> list[list[int]]:
    """Numbers of the outlines of each place; one place where there would be too many."""
    reach = _APART * float(
        max(np.ptp(boxes[:, [0, 2]], axis=1).max(), np.ptp(boxes[:, [1, 3]], axis=1).max())
    )
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    cells: dict[tuple[int, int], list[int]] = {}
    for number, (col, row) in enumerate(np.floor(middle / max(reach, 1e-12)).astype(int).tolist()):
        cells.setdefault((col, row), []).append(number)
    found = []
    while cells:
        waiting, held = [next(iter(cells))], []
        while waiting:
            col, row = waiting.pop()
            if (col, row) in cells:
                held += cells.pop((col, row))
                waiting += [(col + x, row + y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
        found.append(sorted(held))
    return sorted(found) if len(found) <= _MOST_PANELS else [list(range(len(boxes)))]


def _extent(boxes: np.ndarray) -> tuple[float, float, float, float]:
    """Left, bottom, right, top."""
    (left, bottom), (right, top) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return float(left), float(bottom), float(right), float(top)


def _frame(place: "Axes", extent: tuple[float, float, float, float], side: float, unit: str) -> None:
    left, bottom, right, top = extent
    x, y, half = (left + right) / 2, (bottom + top) / 2, 0.53 * side
    place.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    place.set_xticks([])
    place.set_yticks([])
    length = _round(0.25 * side)
    start, low = x - half + 0.05 * side, y - half + 0.035 * side
    place.plot(
        [start, start + length], [low, low], color="black", linewidth=2, solid_capstyle="butt", zorder=6
    )
    text = f"{length / 1000:g} km" if unit == "m" and length >= 1000 else f"{length:g} {unit}"
    place.text(start, low + 0.012 * side, text, fontsize=7, va="bottom", zorder=6)


def _round(length: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not longer."""
    power = 10.0 ** np.floor(np.log10(max(length, 1e-9)))
    return float(max(factor * power for factor in (1, 2, 5) if factor * power <= length * 1.0001))


def _mark(
    place: "Axes",
    shapes: Sequence[Ring],
    extent: tuple[float, float, float, float],
    side: float,
    *,
    color: str,
    hatch: str | None,
) -> None:
    """Draw shapes over the splits; a circle shows where one is too small to see."""
    left, bottom, right, top = extent
    for shape in shapes:
        ring = _closed(np.asarray(shape, float))
        x, y = ring.mean(axis=0)
        if not (left <= x <= right and bottom <= y <= top):
            continue
        place.fill(
            *ring.T, facecolor="none" if hatch else color, edgecolor=color, hatch=hatch, linewidth=1, zorder=4
        )
        if hatch and min(np.ptp(ring, axis=0)) < side / _SMALL:
            place.plot(
                x, y, "o", markersize=13, markerfacecolor="none", color=color, markeredgewidth=1.6, zorder=5
            )


def _closed(ring: np.ndarray) -> np.ndarray:
    return ring if (ring[0] == ring[-1]).all() else np.concatenate([ring, ring[:1]])


def _legend(figure: "Figure", splits: Sequence[str], has_shared: bool, has_cut: bool) -> None:
    from matplotlib.patches import Patch

    entries = [Patch(facecolor=_COLORS[split], alpha=0.55, label=split) for split in splits]
    if has_shared:
        entries.append(Patch(facecolor="none", edgecolor=_SHARED, hatch="////", label="in two splits"))
    if has_cut:
        entries.append(Patch(facecolor=_CUT, label="label polygon in two splits"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=8)
