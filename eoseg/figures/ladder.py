"""The picture of a ladder: each method's figures as dots with their ranges."""

from collections.abc import Sequence

from eoseg.figures.charts import new_chart, render, shorten
from eoseg.figures.pictures import png_bytes

type Interval = tuple[float, float, float] | None
"""Mean, smallest and largest value, or None where a figure is not defined."""

_COLORS = ("#0072B2", "#D55E00")
_MARKERS = ("o", "s")


def ladder_chart(name: str, rows: Sequence[tuple[str, Sequence[Interval]]], figures: Sequence[str]) -> bytes:
    """Draw one line per method, in the order of the table.

    Args:
        name: Name of the ladder, the title.
        rows: Name of each method, and one interval for each figure.
        figures: What the figures are called, at most two.

    Returns:
        A PNG.
    """
    chart, axes = new_chart(8.0, 0.34 * len(rows) + 1.1)
    for place, (_, intervals) in enumerate(rows):
        for number, interval in enumerate(intervals):
            if interval is None:
                continue
            mean, low, high = interval
            height = place + 0.16 * (number - 0.5 * (len(figures) - 1))
            axes.plot(
                [low, high], [height, height], color=_COLORS[number], linewidth=2, solid_capstyle="butt"
            )
            label = figures[number] if place == _first_with(rows, number) else None
            axes.plot(mean, height, _MARKERS[number], color=_COLORS[number], markersize=6, label=label)
    axes.set_yticks(range(len(rows)), [shorten(method, 44) for method, _ in rows])
    axes.invert_yaxis()
    axes.set_title(shorten(name, 80), fontsize=11, loc="left")
    axes.grid(axis="x", color="#DDDDDD")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if axes.get_legend_handles_labels()[0]:
        chart.legend(loc="outside lower center", ncols=len(figures), frameon=False)
    return png_bytes(render(chart))


def _first_with(rows: Sequence[tuple[str, Sequence[Interval]]], number: int) -> int:
    return next((place for place, (_, held) in enumerate(rows) if held[number] is not None), -1)
