"""Charts as SVG text, to stand inside an HTML page: sharp on any screen, and in the page's own colours.

Colours are the page's CSS variables (`--ink`, `--soft`, `--line`, `--c1` to `--c4`, `--train`, `--val`,
`--test`), so that a chart follows its light or dark theme. No library draws, and the same figures give the
same text.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 340
"""Width of a chart in its own units; about the pixels that a phone has for it."""

_TEXT = 12
_LETTER = 6.4
"""About the mean width of a letter of that size."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a chart."""

    label: str
    points: Sequence[tuple[float, float]]
    color: str = "--c1"
    """A CSS variable."""
    dash: str = ""
    """As in SVG's stroke-dasharray; tells lines apart without colour."""
    marks: bool = False
    """Whether each point is a dot."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure of a class, with its interval."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A polygon in any plane, y upwards."""

    points: Sequence[tuple[float, float]]
    color: str | None
    """A CSS variable; None for an outline alone."""
    title: str = ""


def line_chart(
    lines: Sequence[Line],
    *,
    label: str,
    x_title: str,
    y_title: str = "",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Draw curves with axes and a legend.

    Args:
        lines: At least one, with at least one point each.
        label: What the picture shows, for those who do not see it.
        x_title: Below the horizontal axis.
        y_title: Above the vertical axis.
        x_range: Ends of the axis; by default those of the points.
        y_range: Ends of the axis; by default round numbers around the points.
    """
    points = [point for line in lines for point in line.points]
    x_low, x_high = x_range or _spread([x for x, _ in points])
    low, high = y_range or _spread([y for _, y in points])
    y_ticks = _ticks(low, high)
    if y_range is None:
        low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])
    left, right, top, bottom = 44.0, WIDTH - 10.0, 26.0, 206.0

    def x_of(x: float) -> float:
        return left + (x - x_low) / (x_high - x_low) * (right - left)

    def y_of(y: float) -> float:
        return bottom - (min(max(y, low), high) - low) / (high - low) * (bottom - top)

    parts = [_label(left, 14, y_title, "start")] if y_title else []
    for tick in y_ticks:
        parts.append(_rule(left, y_of(tick), right, y_of(tick)))
        parts.append(_label(left - 6, y_of(tick) + 4, _number(tick), "end"))
    across = _ticks(x_low, x_high, whole=x_range is None)
    parts += [_label(x_of(tick), bottom + 17, _number(tick), "middle") for tick in across]
    parts.append(_label((left + right) / 2, bottom + 35, x_title, "middle"))
    row, x = bottom + 55, left
    for line in lines:
        parts += _drawn(line, [(x_of(px), y_of(py)) for px, py in line.points])
        width = 30 + _LETTER * len(line.label)
        if x > left and x + width > right:
            row, x = row + 18, left
        parts.append(_stroke([(x, row - 4), (x + 20, row - 4)], line.color, line.dash))
        parts.append(_label(x + 25, row, line.label, "start"))
        x += width + 8
    return _svg("".join(parts), label, row + 8)


def bar_chart(bars: Sequence[Bar], *, label: str, highest: float = 1.0) -> str:
    """Draw a bar for each class, and a line over it for its interval; what is undefined is written.

    Args:
        bars: At least one; values from 0.
        label: What the picture shows, for those who do not see it.
        highest: The value at the right end.
    """
    longest = max(len(_cut(bar.name, 20)) for bar in bars)
    left = min(150.0, 12 + 1.15 * _LETTER * longest)  # names are often of wide letters
    right = WIDTH - 62.0
    height = 24
    parts = []
    for number, bar in enumerate(bars):
        y = 4 + height * number
        ends = [bar.value or 0.0, *(bar.interval or ())]
        parts.append(_label(left - 6, y + 15, _cut(bar.name, 20), "end"))
        parts.append(_rule(left, y, left, y + height))
        if bar.value is not None:
            width = (right - left) * min(bar.value, highest) / highest
            parts.append(
                f'<rect x="{left:.1f}" y="{y + 5}" width="{width:.1f}" height="14" '
                'style="fill:var(--c1);fill-opacity:.45"/>'
            )
        if bar.interval is not None:
            low, high = (left + (right - left) * min(max(end, 0), highest) / highest for end in bar.interval)
            middle = y + 12
            whisker = [(low, middle - 4), (low, middle + 4), (low, middle), (high, middle)]
            parts.append(_stroke([*whisker, (high, middle - 4), (high, middle + 4)], "--ink", ""))
        x = left + (right - left) * min(max(ends), highest) / highest + 6
        parts.append(_label(x, y + 16, "undefined" if bar.value is None else f"{bar.value:.3f}", "start"))
    return _svg("".join(parts), label, 8 + height * len(bars))


def plane_chart(shapes: Sequence[Shape], *, label: str, width: int = 2 * WIDTH, most: int = WIDTH) -> str:
    """Draw polygons of one plane, in one scale for both axes.

    Args:
        shapes: At least one; later ones lie over earlier ones.
        label: What the picture shows, for those who do not see it.
        width: Width of the picture in its own units.
        most: Its greatest height.
    """
    xs = [x for shape in shapes for x, _ in shape.points]
    ys = [y for shape in shapes for _, y in shape.points]
    wide, high = max(xs) - min(xs) or 1.0, max(ys) - min(ys) or 1.0
    scale = min((width - 4) / wide, (most - 4) / high)
    parts = []
    for shape in shapes:
        corners = " ".join(
            f"{2 + (x - min(xs)) * scale:.1f},{2 + (max(ys) - y) * scale:.1f}" for x, y in shape.points
        )
        fill = "none" if shape.color is None else f"var({shape.color})"
        title = f"<title>{_escape(shape.title)}</title>" if shape.title else ""
        parts.append(
            f'<polygon points="{corners}" style="fill:{fill};stroke:var(--ink);stroke-width:.7">'
            f"{title}</polygon>"
        )
    return _svg("".join(parts), label, high * scale + 4, width=round(wide * scale) + 4)


def _svg(content: str, label: str, height: float, *, width: int = WIDTH) -> str:
    return (
        f'<svg class="chart" role="img" aria-label="{_escape(label)}" viewBox="0 0 {width} {height:.0f}" '
        f'width="{width}" height="{height:.0f}">{content}</svg>'
    )


def _drawn(line: Line, places: Sequence[tuple[float, float]]) -> list[str]:
    parts = [_stroke(places, line.color, line.dash)] if len(places) > 1 else []
    if line.marks or len(places) == 1:
        style = f"fill:var({line.color})"
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" style="{style}"/>' for x, y in places]
    return parts


def _stroke(places: Sequence[tuple[float, float]], color: str, dash: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashed = f";stroke-dasharray:{dash}" if dash else ""
    return f'<polyline points="{points}" style="fill:none;stroke:var({color});stroke-width:1.8{dashed}"/>'


def _rule(x: float, y: float, x_to: float, y_to: float) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x_to:.1f}" y2="{y_to:.1f}" '
        'style="stroke:var(--line);stroke-width:1"/>'
    )


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{_TEXT}" '
        f'style="fill:var(--soft)">{_escape(text)}</text>'
    )


def _spread(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Three to six round numbers that cover a range from below its low end, or inside it for whole ones."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    if whole:
        step = max(1.0, step)
        first, last = math.ceil(low / step), math.floor(high / step)
    else:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"  # + 0.0: no "-0"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
