"""From a map and a filled sample to figures, and what is refused on the way."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from conftest import write_scene
from map_factory import GEO, write_map
from sample_factory import LAND, answers_of, draw, fill, land

from eoseg.errors import ConfigError, DataError, GridError
from eoseg.evaluate.area import Points, estimate
from eoseg.evaluate.map_accuracy import LabelSource, accuracy_notes, assess_map
from eoseg.evaluate.sampling import Drawn
from eoseg.recipe import parse_classes


@pytest.fixture
def filled(tmp_path: Path) -> Drawn:
    truth, mapped = land()
    drawn = draw(write_map(tmp_path / "map.tif", mapped, names=LAND), tmp_path / "s.gpkg")
    fill(drawn.path, answers_of(drawn, truth))
    return drawn


def test_figures_are_those_of_the_points(filled: Drawn) -> None:
    truth, mapped = land()
    design = filled.design
    found = assess_map(design.map, filled.path)
    rows, cols, strata = np.array(design.points).T
    points = Points(
        strata, mapped[rows, cols].astype(int), truth[rows, cols].astype(int), np.full(150, 100.0)
    )
    expected = estimate(points, design.strata, classes=3)
    assert np.array_equal(found.estimates.matrix, expected.matrix)
    assert found.estimates.overall == expected.overall
    assert found.estimates.users == expected.users
    assert found.estimates.areas == expected.areas
    assert found.mapped_areas == tuple(100.0 * (mapped == k).sum() for k in range(3))
    value, margin, ends = found.area(0)
    assert value == pytest.approx(expected.areas[0].value * design.area)
    assert ends == (pytest.approx(value - margin), pytest.approx(value + margin))
    assert found.answered == design.drawn


def test_intervals_of_drawn_samples_hold_the_known_areas(tmp_path: Path) -> None:
    truth, mapped = land()
    path = write_map(tmp_path / "map.tif", mapped, names=LAND)
    labels = LabelSource(write_scene(tmp_path / "truth.tif", truth))
    known = [100.0 * ((truth == k) & (mapped != 255)).sum() for k in range(3)]
    held = 0
    for seed in range(10):
        drawn = draw(path, tmp_path / f"{seed}.gpkg", points=400, seed=seed)
        found = assess_map(path, drawn.path, reference=labels)
        for k in range(3):
            _, _, ends = found.area(k)
            held += ends[0] <= known[k] <= ends[1]
    assert held >= 26  # of 30; 28.5 are expected
    assert found.mapped_areas[2] > 1.15 * known[2]  # counting the pixels of the map does not give them


def test_labels_stand_for_answers(filled: Drawn, tmp_path: Path) -> None:
    answered = assess_map(filled.design.map, filled.path)
    empty = draw(Path(filled.design.map), tmp_path / "empty.gpkg")
    truth = land()[0]
    raster = LabelSource(write_scene(tmp_path / "truth.tif", truth))
    by_raster = assess_map(filled.design.map, empty.path, reference=raster)
    assert np.array_equal(by_raster.estimates.matrix, answered.estimates.matrix)
    boxes = [
        shapely.box(*(GEO @ (c, r + 10)), *(GEO @ (c + 10, r)))
        for r in range(0, 120, 10)
        for c in range(0, 150, 10)
    ]
    covers = [LAND[truth[r, c]].name for r in range(0, 120, 10) for c in range(0, 150, 10)]
    frame = geopandas.GeoDataFrame({"cover": covers}, geometry=boxes, crs="EPSG:32632")
    frame.to_file(tmp_path / "truth.gpkg")
    polygons = LabelSource(tmp_path / "truth.gpkg", attribute="cover")
    by_polygons = assess_map(filled.design.map, empty.path, reference=polygons)
    assert np.array_equal(by_polygons.estimates.matrix, answered.estimates.matrix)
    with pytest.raises(ConfigError, match="150 points of .* are answered, and .* would stand for"):
        assess_map(filled.design.map, filled.path, reference=raster)
    truth[60:] = 255
    part = LabelSource(write_scene(tmp_path / "part.tif", truth))
    with pytest.raises(DataError, match="points of .* have no label in"):
        assess_map(filled.design.map, empty.path, reference=part)
    ignored = LabelSource(raster.path, ignore=[9])
    assert np.array_equal(
        assess_map(filled.design.map, empty.path, reference=ignored).estimates.matrix,
        by_raster.estimates.matrix,
    )


def test_another_map_is_judged_by_the_same_sample(filled: Drawn, tmp_path: Path) -> None:
    truth, _ = land()
    better = write_map(tmp_path / "better.tif", land(wrong=0.05)[1], names=LAND)
    first, second = (assess_map(path, filled.path) for path in (filled.design.map, better))
    assert second.estimates.overall.value > first.estimates.overall.value
    for one, other in zip(first.estimates.areas, second.estimates.areas, strict=True):
        assert one == other  # what is on the ground does not depend on the map
    assert any("its strata are not the classes of this map" in line for line in accuracy_notes(second))
    assert not any("its strata" in line for line in accuracy_notes(first))
    whole = write_map(tmp_path / "whole.tif", truth, names=LAND)
    assert any(
        "17,100" in line and "18,000" in line for line in accuracy_notes(assess_map(whole, filled.path))
    )


def test_strata_of_another_raster_are_estimated_as_such(tmp_path: Path) -> None:
    truth, mapped = land()
    path = write_map(tmp_path / "map.tif", mapped, names=LAND)
    regions = np.where(np.arange(150) < 100, 4, 9)[None].repeat(120, axis=0).astype(np.uint8)
    drawn = draw(path, tmp_path / "s.gpkg", strata=write_scene(tmp_path / "regions.tif", regions))
    fill(drawn.path, answers_of(drawn, truth))
    found = assess_map(path, drawn.path)
    rows, cols, strata = np.array(drawn.design.points).T
    points = Points(
        strata, mapped[rows, cols].astype(int), truth[rows, cols].astype(int), np.full(150, 100.0)
    )
    assert found.estimates.users == estimate(points, drawn.design.strata, classes=3).users
    assert found.protocol["strata"] == str(tmp_path / "regions.tif")


def test_a_change_map_gets_areas_of_change(tmp_path: Path) -> None:
    names = parse_classes({"no change": "#999999", "deforestation": "#D55E00", "regrowth": "#009E73"})
    truth, mapped = land()
    path = write_map(tmp_path / "change.tif", mapped, names=names)
    drawn = draw(path, tmp_path / "s.gpkg", points=600)
    found = assess_map(path, drawn.path, reference=LabelSource(write_scene(tmp_path / "t.tif", truth)))
    entry = found.to_dict()["classes"][1]
    assert entry["name"] == "deforestation"
    low, high = entry["area"]["interval_95"]
    assert low <= 100 * ((truth == 1) & (mapped != 255)).sum() <= high


def test_unanswered_points_are_left_out_only_if_told(filled: Drawn) -> None:
    answers: list[str | None] = [*answers_of(filled, land()[0])]
    answers[:5] = [None] * 5
    fill(filled.path, answers)
    with pytest.raises(DataError, match=r"5 of 150 points .* are not answered \(numbers 1, 2, 3, 4, 5\)"):
        assess_map(filled.design.map, filled.path)
    found = assess_map(filled.design.map, filled.path, skip_unanswered=True)
    assert sum(found.answered) == 145
    assert found.protocol["unanswered_points"] == 5
    assert any(line.startswith("5 points without an answer are left out") for line in accuracy_notes(found))


def test_a_stratum_with_one_answer_is_refused(filled: Drawn) -> None:
    answers: list[str | None] = [*answers_of(filled, land()[0])]
    of_water = [number for number, (_, _, stratum) in enumerate(filled.design.points) if stratum == 2]
    for number in of_water[1:]:
        answers[number] = None
    fill(filled.path, answers)
    with pytest.raises(DataError, match="stratum 'water' .* has 1 point"):
        assess_map(filled.design.map, filled.path, skip_unanswered=True)


def test_answers_of_no_class_are_refused(filled: Drawn) -> None:
    fill(filled.path, ["swamp"] * 150)
    with pytest.raises(
        DataError, match="150 points .* answered 'swamp'. There is no class in the map 'swamp'"
    ):
        assess_map(filled.design.map, filled.path)


def test_a_map_elsewhere_or_on_another_grid_is_refused(filled: Drawn, tmp_path: Path) -> None:
    mapped = land()[1]
    far = write_map(tmp_path / "far.tif", mapped, names=LAND, transform=Affine(10, 0, 0, 0, -10, 0))
    with pytest.raises(DataError, match=r"150 of 150 points .* lie outside .*far\.tif"):
        assess_map(far, filled.path)
    coarse = Affine(20, 0, GEO.c, 0, -20, GEO.f)
    with pytest.raises(GridError, match=r"coarse\.tif' is not on the grid"):
        assess_map(
            write_map(tmp_path / "coarse.tif", mapped[:60, :75], names=LAND, transform=coarse), filled.path
        )


def test_a_map_without_class_at_a_point_is_refused(filled: Drawn, tmp_path: Path) -> None:
    mapped = land()[1]
    mapped[40:60] = 255
    holed = write_map(tmp_path / "holed.tif", mapped, names=LAND)
    with pytest.raises(DataError, match=r"no class at \d+ of 150 points of the sample"):
        assess_map(holed, filled.path)


def test_a_map_without_class_names_is_refused_unless_they_are_given(filled: Drawn, tmp_path: Path) -> None:
    bare = write_scene(tmp_path / "bare.tif", land()[1], nodata=255)
    with pytest.raises(DataError, match="does not name its classes"):
        assess_map(bare, filled.path)
    named = assess_map(bare, filled.path, classes={"forest": 0, "clearing": 1, "water": 2})
    assert named.estimates.overall == assess_map(filled.design.map, filled.path).estimates.overall


def test_everything_is_plain_and_says_how_it_was_measured(filled: Drawn) -> None:
    found = assess_map(filled.design.map, filled.path)
    values = json.loads(json.dumps(found.to_dict()))
    assert values["error_matrix"]["rows"] == "reference"
    assert np.sum(values["error_matrix"]["shares"]) == pytest.approx(1)
    assert np.sum(values["error_matrix"]["points"]) == 150
    low, high = values["overall_accuracy"]["interval_95"]
    assert low <= values["overall_accuracy"]["value"] <= high
    assert values["area_unit"] == "m2"
    assert sum(entry["area"]["value"] for entry in values["classes"]) == pytest.approx(filled.design.area)
    assert values["strata"][0]["drawn"] == filled.design.drawn[0]
    protocol = values["protocol"]
    assert protocol["map_sha256"] == protocol["drawn_from_sha256"] == filled.design.map_sha256
    assert protocol["drawn_from_this_map"] is True
    assert protocol["answers"] == "of the sample"
    assert protocol["drawn_with"]["seed"] == 0


def test_a_figure_without_any_error_says_what_that_means(filled: Drawn) -> None:
    mapped = land()[1]
    fill(filled.path, answers_of(filled, mapped))
    found = assess_map(filled.design.map, filled.path)
    # One point of the stratum whose points stand for most.
    strata = zip(found.design.strata, found.answered, strict=True)
    of_a_point = max(held.area / found.design.area / count for held, count in strata)
    assert found.to_dict()["overall_accuracy"] == {
        "value": pytest.approx(1),
        "standard_error": 0,
        "margin_95": 0,
        "interval_95": [pytest.approx(1 - 3.69 * of_a_point, abs=2e-3), 1],
    }
    notes = "\n".join(accuracy_notes(found))
    assert "No error was seen in forest (user's)" in notes
    assert "rule of three" in notes
