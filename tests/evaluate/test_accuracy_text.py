"""Tables say what the figures are."""

from pathlib import Path

import numpy as np
import pytest
from map_factory import write_map
from sample_factory import LAND, answers_of, draw, fill, land

from eoseg.evaluate.accuracy_text import (
    area_text,
    class_table,
    figure_text,
    matrix_table,
    strata_table,
    to_markdown,
)
from eoseg.evaluate.area import Figure
from eoseg.evaluate.map_accuracy import MapAccuracy, assess_map
from eoseg.recipe import parse_classes


def assessed(tmp_path: Path, *, crs: str | None = "EPSG:32632", pixels: int = 1) -> MapAccuracy:
    truth, mapped = land()
    path = write_map(
        tmp_path / "map.tif", np.kron(mapped, np.ones((pixels, pixels), np.uint8)), names=LAND, crs=crs
    )
    drawn = draw(path, tmp_path / "s.gpkg")
    fill(drawn.path, answers_of(drawn, np.kron(truth, np.ones((pixels, pixels), np.uint8))))
    return assess_map(path, drawn.path)


@pytest.fixture
def found(tmp_path: Path) -> MapAccuracy:
    return assessed(tmp_path)


def test_the_table_of_classes_has_areas_in_hectares(found: MapAccuracy) -> None:
    head, forest, *_ = class_table(found)
    assert head[1:3] == ["mapped, ha", "on the ground, ha"]
    value, margin, ends = found.area(0)
    assert forest[0] == "forest"
    assert forest[1] == f"{found.mapped_areas[0] / 1e4:.0f}"
    assert forest[2] == f"{value / 1e4:.0f} ± {margin / 1e4:.0f}"
    assert forest[3] == f"{ends[0] / 1e4:.0f} - {ends[1] / 1e4:.0f}"
    users = found.estimates.users[0]
    assert users is not None
    assert forest[4] == f"{users.value:.3f} ± {users.margin:.3f}"
    counts = found.estimates.counts
    assert forest[6:] == [str(counts[:, 0].sum()), str(counts[0].sum())]


def test_pixels_are_the_unit_without_a_crs(tmp_path: Path) -> None:
    found = assessed(tmp_path, crs=None)
    assert class_table(found)[0][1] == "mapped, px"
    assert area_text(12345.6, found) == "12,346"


def test_small_and_large_areas_have_the_digits_they_deserve(found: MapAccuracy, tmp_path: Path) -> None:
    assert area_text(123_456.0, found) == "12"  # of 171 ha
    (tmp_path / "small").mkdir()
    small = assess_small(tmp_path / "small")
    assert area_text(123_456.0, small) == "12.35"


def assess_small(folder: Path) -> MapAccuracy:
    truth, mapped = land(height=60, width=70)
    drawn = draw(write_map(folder / "map.tif", mapped, names=LAND), folder / "s.gpkg")
    fill(drawn.path, answers_of(drawn, truth))
    return assess_map(folder / "map.tif", drawn.path)


def test_figures_without_value_or_spread_are_words() -> None:
    assert figure_text(None) == "undefined"
    assert figure_text(Figure(1.0, 0.0, (0.95, 1.0))) == "1.000 (0.950-1.000)"
    assert figure_text(Figure(0.88, 0.0378)) == "0.880 ± 0.074"


def test_the_matrix_has_its_sums(found: MapAccuracy) -> None:
    table = matrix_table(found)
    assert table[0] == ["reference \\ map", "forest", "clearing", "water", "sum"]
    assert table[1][1] == f"{found.estimates.matrix[0, 0]:.4f}"
    assert table[1][-1] == f"{found.estimates.areas[0].value:.4f}"
    assert table[-1][-1] == "1.0000"


def test_the_strata_are_listed_with_their_points(found: MapAccuracy) -> None:
    assert strata_table(found)[1][0] == "forest"
    assert [int(row[3]) for row in strata_table(found)[1:]] == list(found.design.drawn)


def test_markdown_holds_all_tables_and_notes(tmp_path: Path) -> None:
    truth, mapped = land()
    names = parse_classes({"wood | old": 0, "clearing": 1, "water": 2})
    drawn = draw(write_map(tmp_path / "map.tif", mapped, names=names), tmp_path / "s.gpkg")
    fill(drawn.path, [names[truth[row, col]].name for row, col, _ in drawn.design.points])
    text = to_markdown(assess_map(tmp_path / "map.tif", drawn.path), title="Map of things")
    assert text.startswith("# Map of things\n")
    assert "| wood \\| old |" in text
    assert "## Error matrix" in text
    assert "- 150 points, stratified random sample of pixels" in text
    tables = [block for block in text.split("\n\n") if block.lstrip().startswith("|")]
    for block in tables:
        lines = [line for line in block.strip().splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
