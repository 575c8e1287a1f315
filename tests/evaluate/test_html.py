import numpy as np
from page_checker import check_part, check_text

from eoseg import __version__
from eoseg.evaluate import html


def test_a_page_has_a_table_of_contents_whose_links_lead_somewhere() -> None:
    parts = ["<header>top</header>", "", html.section("Two words", "content", name="two")]
    page = check_text(html.document("A & B", parts, contents={"two": "Two words"}))
    assert page.links == ["#two"]
    assert page.ids == ["two"]
    assert page.text.index("top") < page.text.index("Two words")
    assert __version__ in page.text
    assert "<nav" not in html.document("title", parts)


def test_tables_name_their_rows_and_columns_for_readers_who_do_not_see_them() -> None:
    page = check_part(html.table(["Class", "IoU"], [("wood", ["0.5"])], caption="Figures"))
    assert page.heads == ["col", "col", "row"]
    assert "Figures" in page.text
    assert check_part(html.record({"a": 1})).heads == ["row"]


def test_a_cell_is_shaded_by_its_share() -> None:
    content = html.table(["a", "b"], [("x", [html.shaded("7", 0.35)])])
    assert '<td class="shade" style="--share:35%">7</td>' in content
    assert "<td><td" not in content


def test_records_say_all_kinds_of_values_and_leave_empty_ones_out() -> None:
    values = {"n": 1_234_567, "ok": True, "no": False, "list": [1, "two"], "inner": {"a": 1}, "none": None}
    text = check_part(html.record({**values, "empty": [], "nothing": ""})).text
    for word in ("1,234,567", "yes", "no", "1, two", "a: 1"):
        assert word in text
    assert "none" not in text
    assert "empty" not in text


def test_small_pictures_are_enlarged_and_have_a_text() -> None:
    page = check_part(html.shots([("map", "north: map", np.full((1, 4, 3), 9, np.uint8))]))
    assert page.images["north: map"].shape == (128, 512, 3)
    assert "map" in page.text


def test_what_is_missing_is_one_line_with_its_command() -> None:
    content = html.missing("No test yet:", "eoseg test 'a run'")
    assert check_part(content).text.split() == ["No", "test", "yet:", "eoseg", "test", "'a", "run'"]
    assert "<code>" not in html.missing("Nothing to show.")


def test_empty_lists_are_nothing() -> None:
    assert html.bullets([]) == ""
    assert check_part(html.bullets(["a", "b"])).text.split() == ["a", "b"]


def test_figures_that_are_not_defined_are_said_to_be() -> None:
    assert html.figure(None) == "undefined"
    assert html.figure(0.12345) == "0.123"
    assert html.figure(0.12345, 1) == "0.1"


def test_all_text_is_escaped() -> None:
    nasty = "<script>alert('x')</script> & \"more\""
    rgb = np.zeros((1, 1, 3), np.uint8)
    for content in (
        html.section(nasty, name="a"),
        html.missing(nasty, nasty),
        html.paragraph(nasty),
        html.bullets([nasty]),
        html.cards([(nasty, nasty, nasty)]),
        html.table([nasty], [("a", [])], caption=nasty),
        html.shaded(nasty, 0.1),
        html.record({nasty: nasty, "inner": {nasty: [nasty]}}),
        html.code(nasty),
        html.fold(nasty, ""),
        html.legend([(nasty, (1, 2, 3))]),
        html.shots([(nasty, nasty, rgb)]),
        html.charts([(nasty, "")]),
        html.document(nasty, ["a"], contents={"a": nasty}),
    ):
        assert "<script>alert" not in content
        assert "&lt;script&gt;" in content
