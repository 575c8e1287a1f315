import json
from pathlib import Path

import pytest
from map_factory import CLASSES
from page_checker import check_part
from run_factory import write_accuracy

from eoseg.errors import DataError
from eoseg.report.area import Estimate, area_content, read_area


def test_areas_come_with_what_half_of_their_interval_is(tmp_path: Path) -> None:
    held = read_area(write_accuracy(tmp_path / "accuracy.json"))
    assert held.overall.words() == "0.947 ± 0.018"
    assert held.points == 225
    assert [entry.area.words(held.digits) for entry in held.classes] == [
        "36.9 ± 1.8",
        "32.3 ± 1.8",
        "23.0 ± 1.8",
    ]
    assert held.classes[0].producers is not None
    assert held.classes[0].producers.words() == "1.000"  # no point differs: no interval
    assert held.classes[2].producers is None


def test_an_interval_to_one_side_is_written_out() -> None:
    assert Estimate(1.0, 0.0, 0.0, (0.94, 1.0)).words() == "1.000 (0.940-1.000)"
    assert Estimate(1.0, 0.0, 0.0, None).words() == "1.000"
    assert Estimate(0.9, 0.025, 0.05, (0.85, 0.95)).words(2) == "0.90 ± 0.05"


def test_the_table_shows_estimated_and_counted_areas(tmp_path: Path) -> None:
    held = read_area(write_accuracy(tmp_path / "accuracy.json"))
    page = check_part(area_content(held, CLASSES, map_path="map.tif", out="accuracy.json"))
    for word in (
        "0.947",
        "0.929-0.965",
        "225",
        "36.9 ± 1.8",
        "Counted in the map, ha",
        "30.7",
        "undefined",
        "normal",
    ):
        assert word in page.text
    assert page.charts == ["bars: Share of the area, line: 95 % interval"]


@pytest.mark.parametrize(("area", "digits"), [(21_158.4, 0), (36.9, 1), (1.2, 3)])
def test_small_areas_have_decimals(tmp_path: Path, area: float, digits: int) -> None:
    path = write_accuracy(tmp_path / "accuracy.json")
    values = json.loads(path.read_text())
    values["classes"][0]["area"]["value"] = area * 1e4
    values["classes"] = values["classes"][:1]
    path.write_text(json.dumps(values))
    assert read_area(path).digits == digits


def test_areas_of_a_map_without_georeference_are_pixels(tmp_path: Path) -> None:
    path = write_accuracy(tmp_path / "accuracy.json")
    path.write_text(path.read_text().replace('"m2"', '"px"'))
    held = read_area(path)
    assert held.unit == "px"
    assert held.classes[0].area.words(held.digits) == "368,640 ± 18,432"


def test_without_a_sample_the_commands_are_told() -> None:
    text = check_part(area_content(None, CLASSES, map_path="a b/map.tif", out="run/accuracy.json")).text
    assert "eoseg sample 'a b/map.tif' --out sample.gpkg" in text
    assert "eoseg accuracy 'a b/map.tif' sample.gpkg --out run/accuracy.json" in text


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = write_accuracy(tmp_path / "accuracy.json")
    values = json.loads(path.read_text())
    for change in ({"overall_accuracy": None}, {"classes": [{"name": "a"}]}, {"strata": 3}):
        path.write_text(json.dumps({**values, **change}))
        with pytest.raises(DataError, match="holds no accuracy from a sample"):
            read_area(path)
    with pytest.raises(DataError, match="There is no file"):
        read_area(tmp_path / "none.json")
