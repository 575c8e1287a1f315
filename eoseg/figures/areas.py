"""The areas of the classes of a map as they are mapped and as they are, and how accurate it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eoseg.figures.charts import new_chart, render, shorten
from eoseg.figures.pictures import Rgb
from eoseg.recipe import Color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator

type Interval = tuple[float, float] | None

_INK, _BLUE, _ORANGE = "#222222", "#0072B2", "#D55E00"
_ROW_INCHES = 0.44


@dataclass(frozen=True, slots=True)
class AreaRow:
    """What is drawn of one class."""

    name: str
    color: Color
    mapped: float
    """Area in the map."""
    area: float
    """Estimated area on the ground."""
    area_interval: Interval
    users: tuple[float, Interval] | None
    """User's accuracy and its interval; None where it is not defined."""
    producers: tuple[float, Interval] | None


def area_chart(rows: Sequence[AreaRow], *, unit: str) -> Rgb:
    """Draw areas on the left and accuracies on the right, a line per class.

    Args:
        rows: The classes, from the top.
        unit: Of the areas.
    """
    figure, whole = new_chart(9.2, _ROW_INCHES * len(rows) + 1.35)
    whole.remove()
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, row in enumerate(rows):
        shade = tuple(value / 255 for value in row.color)
        left.barh(place, row.mapped, color=shade, height=0.62, edgecolor="#666666", linewidth=0.5)
        _dot(left, place, row.area, row.area_interval, _INK, "o")
        for figure_of_row, color, marker, shift in (
            (row.users, _BLUE, "o", -0.14),
            (row.producers, _ORANGE, "s", 0.14),
        ):
            if figure_of_row is not None:
                _dot(right, place + shift, *figure_of_row, color, marker)
    left.set_yticks(range(len(rows)), [shorten(row.name, 26) for row in rows], fontsize=9)
    left.set(ylim=(len(rows) - 0.45, -0.55))
    left.set_xlim(left=0)
    left.set_title(f"area, {unit}: bar mapped, dot on the ground", fontsize=9, loc="left")
    right.set(xlim=(0, 1.02))
    right.set_title("accuracy", fontsize=9, loc="left")
    for marker, color, name in (("o", _BLUE, "user's"), ("s", _ORANGE, "producer's")):
        right.plot([], [], marker, color=color, label=name, markersize=5)
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(_few_ticks())
    left.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")
    return render(figure)


def _dot(axes: "Axes", place: float, value: float, ends: Interval, color: str, marker: str) -> None:
    if ends is not None:
        # On white, so that it is seen on a bar of any colour.
        axes.plot(ends, (place, place), color="white", linewidth=3.6)
        axes.plot(ends, (place, place), color=color, linewidth=1.6, marker="|", markersize=7)
    axes.plot(value, place, marker, color=color, markersize=6, markeredgecolor="white", markeredgewidth=0.8)


def _few_ticks() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)
