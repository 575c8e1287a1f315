"""The pages in a real browser: at the width of a phone and of a desktop, in light and dark."""

from pathlib import Path

import numpy as np
import pytest
from browser import Seen, find_chromium, look_at
from conftest import write_scene
from map_factory import label_values, write_map
from run_factory import full_run, make_recipe, make_run

from eoseg.cli import main
from eoseg.evaluate.html import document
from eoseg.recipe import Schema, parse_classes
from eoseg.report.findings import gather
from eoseg.report.page import write_report
from eoseg.report.sections import HEADINGS

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="needs Chromium (Debian and Ubuntu: apt install chromium)"
)

PHONE, DESKTOP = 360, 1280


def require_sound(seen: Seen, width: int) -> None:
    assert seen.values["width"] == width
    assert seen.values["scrollWidth"] <= width, seen.values["wide"]  # nothing to scroll sideways
    assert seen.values["wide"] == []
    assert seen.values["broken"] == []
    assert seen.values["empty"] == []
    assert seen.values["requests"] == []
    assert seen.console == []


@pytest.mark.parametrize(("width", "dark"), [(PHONE, True), (DESKTOP, False)], ids=["phone", "desktop"])
def test_a_full_report_is_sound(tmp_path: Path, width: int, dark: bool) -> None:
    page = write_report(tmp_path / "report.html", gather(full_run(tmp_path)))
    seen = look_at(page, tmp_path, width=width, dark=dark)
    require_sound(seen, width)
    assert seen.values["ids"] == ["verdict", *HEADINGS]
    assert seen.values["ground"] == ("rgb(16, 23, 29)" if dark else "rgb(245, 247, 249)")


def test_a_phone_shows_many_classes_with_long_names_and_long_paths(tmp_path: Path) -> None:
    names = [f"a_class_with_a_rather_long_name_{number}" for number in range(24)]
    recipe = make_recipe(schema=Schema(("red", "nir"), parse_classes(names)))
    folder = make_run(tmp_path / ("x" * 60), recipe=recipe)
    rows = [f"{name},{','.join('123456' for _ in names)}" for name in names]
    (folder / "confusion_val.csv").write_text("\n".join([f"reference \\ map,{','.join(names)}", *rows]))
    require_sound(look_at(write_report(tmp_path / "a.html", gather(folder)), tmp_path, width=PHONE), PHONE)


def test_the_page_of_a_map_is_sound_too(tmp_path: Path) -> None:
    truth = np.kron(np.arange(3, dtype=np.uint8), np.ones((96, 32), np.uint8))
    mapped, page = write_map(tmp_path / "map.tif", truth), tmp_path / "page.html"
    reference = write_scene(tmp_path / "reference.tif", label_values(truth))
    main(["evaluate", str(mapped), str(reference), "--page", str(page), "--block-size", "16"])
    require_sound(look_at(page, tmp_path, width=PHONE), PHONE)


def test_a_page_that_is_not_sound_is_found(tmp_path: Path) -> None:
    # Else the tests above would prove nothing.
    path = tmp_path / "bad.html"
    wide = '<div style="width:700px">wide</div>'
    lost = '<img alt="lost" src="https://example.org/a.png"><script>console.error("oh"); nothing()</script>'
    path.write_text(document("bad", [wide, lost]))
    seen = look_at(path, tmp_path, width=PHONE)
    assert seen.values["scrollWidth"] == 710  # with the padding of the page
    assert any("wide" in element for element in seen.values["wide"])
    assert seen.values["broken"] == ["lost"]
    text = " ".join(seen.console)
    for word in ("oh", "nothing is not defined", "Content Security Policy"):
        assert word in text
