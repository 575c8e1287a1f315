import re
from xml.etree import ElementTree

import pytest

from eoseg.figures.svg import Bar, Line, Shape, bar_chart, line_chart, plane_chart


def parse(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter("text")]


def points(root: ElementTree.Element, tag: str) -> list[list[tuple[float, float]]]:
    found = []
    for element in root.iter(tag):
        pairs = [pair.split(",") for pair in (element.get("points") or "").split()]
        found.append([(float(x), float(y)) for x, y in pairs])
    return found


def test_a_curve_goes_where_its_values_are() -> None:
    line = Line("loss", [(0, 1.0), (5, 0.5), (10, 0.0)], "--c2", "6 3")
    root = parse(line_chart([line], label="curve", x_title="epoch", y_range=(0, 1)))
    drawn, _legend = points(root, "polyline")
    (left, top), (middle, half), (right, bottom) = drawn
    assert middle == pytest.approx((left + right) / 2)
    assert half == pytest.approx((top + bottom) / 2)
    assert top < bottom  # SVG counts downwards
    assert {"loss", "epoch", "0", "1", "0.5", "10"} <= set(texts(root))
    assert "stroke-dasharray:6 3" in line_chart([line], label="curve", x_title="epoch")


def test_one_point_alone_is_a_dot_and_values_of_one_height_are_drawn() -> None:
    alone = parse(line_chart([Line("a", [(3, 0.2)])], label="x", x_title="epoch"))
    assert len(list(alone.iter("circle"))) == 1
    flat = parse(line_chart([Line("a", [(0, 2.0), (1, 2.0)])], label="x", x_title="epoch"))
    drawn, _legend = points(flat, "polyline")
    assert all(26 < y < 206 for _, y in drawn)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.37, 0.02), (1234.0, 98765.0), (0.00012, 0.00013)])
def test_the_ticks_of_a_curve_hold_all_of_it(low: float, high: float) -> None:
    root = parse(line_chart([Line("a", [(0, low), (1, high)])], label="x", x_title="epoch"))
    ticks = [float(text.replace(",", "")) for text in texts(root) if re.fullmatch(r"-?[\d.,e-]+", text)]
    assert min(ticks) <= low
    assert max(ticks) >= high
    assert "-0" not in texts(root)


def test_epochs_are_whole_numbers() -> None:
    root = parse(line_chart([Line("a", [(0, 1), (1, 2)])], label="x", x_title="epoch", y_range=(5, 9)))
    below = [element.text for element in root.iter("text") if element.get("text-anchor") == "middle"]
    assert below == ["0", "1", "epoch"]


def test_bars_are_as_long_as_their_figures_and_undefined_ones_are_written() -> None:
    bars = [Bar("wood", 0.8, (0.7, 0.9)), Bar("water", 0.4), Bar("a class without reference", None)]
    root = parse(bar_chart(bars, label="IoU"))
    long, short = (float(element.get("width") or 0) for element in root.iter("rect"))
    assert long == pytest.approx(2 * short, abs=0.2)
    assert {"0.800", "0.400", "undefined", "a class without ref…"} <= set(texts(root))
    (whisker,) = points(root, "polyline")
    assert whisker[-1][0] - whisker[0][0] == pytest.approx(0.25 * long, abs=0.2)  # 0.2 of 0.8


def test_values_above_the_end_stop_there() -> None:
    root = parse(bar_chart([Bar("a", 5.0), Bar("b", 1.0)], label="x"))
    one, other = (float(element.get("width") or 0) for element in root.iter("rect"))
    assert one == other


def test_a_plane_has_one_scale_for_both_axes_and_north_up() -> None:
    low = Shape([(0, 0), (20, 0), (20, 10), (0, 10)], "--train", "south")
    high = Shape([(0, 20), (20, 20), (20, 30), (0, 30)], None)
    root = parse(plane_chart([low, high], label="map"))
    south, north = points(root, "polygon")
    assert max(y for _, y in north) < min(y for _, y in south)
    wide = max(x for x, _ in south) - min(x for x, _ in south)
    tall = max(y for _, y in south) - min(y for _, y in south)
    assert wide == pytest.approx(2 * tall, abs=0.2)
    assert root.find("polygon/title").text == "south"  # type: ignore[union-attr]
    colors = [element.get("style") or "" for element in root.iter("polygon")]
    assert "fill:var(--train)" in colors[0]
    assert "fill:none" in colors[1]


def test_text_of_others_is_escaped() -> None:
    nasty = '<script>"&'
    for svg in (
        line_chart([Line(nasty, [(0, 1)])], label=nasty, x_title=nasty, y_title=nasty),
        bar_chart([Bar(nasty, 1.0)], label=nasty),
        plane_chart([Shape([(0, 0), (1, 0), (1, 1)], None, nasty)], label=nasty),
    ):
        assert "<script" not in svg
        assert parse(svg).get("aria-label") == nasty


def test_long_legends_take_another_line() -> None:
    many = [Line(f"a rather long name {number}", [(0, 1), (1, 2)]) for number in range(3)]
    few = parse(line_chart(many[:1], label="x", x_title="epoch"))
    all_of_them = parse(line_chart(many, label="x", x_title="epoch"))
    assert float(all_of_them.get("height") or 0) == float(few.get("height") or 0) + 36
