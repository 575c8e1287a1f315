from pathlib import Path

import pytest
from page_checker import check
from run_factory import full_run, make_recipe, make_run

from eoseg.errors import OutputError
from eoseg.recipe import Schema, parse_classes
from eoseg.report.findings import gather
from eoseg.report.page import write_report
from eoseg.report.sections import HEADINGS


def test_the_report_is_one_page_with_every_section(tmp_path: Path) -> None:
    found = gather(full_run(tmp_path))
    page = check(write_report(tmp_path / "report.html", found))
    assert page.ids == ["verdict", *HEADINGS]
    assert [link for link in page.links if link.startswith("#")] == [f"#{name}" for name in HEADINGS]
    assert list(page.images) == [f"map.tif: {what}" for what in ("image", "reference", "map", "errors")]
    assert None not in page.heads
    assert len(page.charts) == 8  # split, loss, scores, two of classes, reliability, surest, areas
    assert all(page.charts)
    assert "://" not in "".join((tmp_path / "report.html").read_text().split("base64,")[::2])


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    first, second = (write_report(tmp_path / name, gather(folder)) for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()


def test_names_of_others_are_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert('x')</script>"
    schema = Schema((nasty,), parse_classes([nasty, "b", "c"]))
    folder = make_run(tmp_path, recipe=make_recipe(schema=schema, provenance={nasty: nasty}))
    (folder / "confusion_val.csv").unlink()
    text = write_report(tmp_path / "report.html", gather(folder)).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(tmp_path / "none" / "report.html", gather(make_run(tmp_path)))
