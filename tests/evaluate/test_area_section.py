"""The section of a page, and the picture in it."""

from pathlib import Path

import numpy as np
from map_factory import write_map
from sample_factory import answers_of, draw, fill, land

from eoseg.evaluate.area_section import area_picture, area_section
from eoseg.evaluate.map_accuracy import assess_map
from eoseg.recipe import parse_classes

NAMES = parse_classes({"<forest>": "#1B5E20", "clearing": "#D55E00", "water": "#0072B2"})


def test_the_section_holds_figures_tables_and_picture(tmp_path: Path) -> None:
    truth, mapped = land()
    drawn = draw(write_map(tmp_path / "map.tif", mapped, names=NAMES), tmp_path / "s.gpkg")
    fill(drawn.path, ["<forest>" if name == "forest" else name for name in answers_of(drawn, truth)])
    found = assess_map(tmp_path / "map.tif", drawn.path)
    text = area_section(found, "<img alt=chart>")
    assert text.startswith("<section>")
    assert text.endswith("</section>")
    assert text.count("<table>") == text.count("</table>") == 3
    assert "<img alt=chart>" in text
    assert "&lt;forest&gt;" in text
    assert "<forest>" not in text
    assert f"{found.estimates.overall.value:.3f}" in text
    low, high = found.estimates.overall.interval
    assert f"95 %: {low:.3f}-{high:.3f}" in text
    picture = area_picture(found)
    assert picture.dtype == np.uint8
    for entry in NAMES:
        assert (picture == entry.color).all(axis=2).sum() > 500  # a bar in its colour
