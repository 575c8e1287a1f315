"""A sample and the record of how it was drawn."""

import hashlib
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from conftest import write_scene
from map_factory import write_map
from raster_factory import write_layer
from rasterio.crs import CRS
from sample_factory import LAND, draw, land

from eoseg.errors import ConfigError, DataError, GridError, OutputError
from eoseg.evaluate.design import SampleSize
from eoseg.evaluate.sampling import Design, design_notes, draw_sample, map_classes
from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import label_layer
from eoseg.geo.sample_file import read_sample


@pytest.fixture
def map_path(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", land()[1], names=LAND)


def test_the_design_says_what_was_drawn_from_what(map_path: Path, tmp_path: Path) -> None:
    drawn = draw(map_path, tmp_path / "s.gpkg", points=200, seed=5)
    design, mapped = drawn.design, land()[1]
    assert [held.name for held in design.strata] == ["forest", "clearing", "water"]
    assert [held.pixels for held in design.strata] == [int((mapped == k).sum()) for k in range(3)]
    assert [held.area for held in design.strata] == [100.0 * (mapped == k).sum() for k in range(3)]
    assert design.drawn == drawn.plan.points
    assert sum(design.drawn) == len(design.points) == 200
    for row, col, stratum in design.points:
        assert mapped[row, col] == stratum
    assert design.map_sha256 == hashlib.sha256(map_path.read_bytes()).hexdigest()
    assert design.unmapped == 6 * 150
    assert (design.unit, design.record["seed"]) == ("m2", 5)
    assert design.area == pytest.approx(100 * (mapped != 255).sum())


def test_the_file_holds_the_design(map_path: Path, tmp_path: Path) -> None:
    drawn = draw(map_path, tmp_path / "s.gpkg")
    stored = read_sample(tmp_path / "s.gpkg").design
    assert Design.from_dict(stored, path="s.gpkg") == drawn.design
    with pytest.raises(DataError, match="a sample of another kind: grid of points"):
        Design.from_dict({**stored, "method": "grid of points"}, path="s.gpkg")
    del stored["strata"]
    with pytest.raises(DataError, match=r"design in 's.gpkg' is not one that this eoseg reads \('strata'\)"):
        Design.from_dict(stored, path="s.gpkg")


def test_the_interpreter_sees_the_map_only_if_wanted(map_path: Path, tmp_path: Path) -> None:
    blind, shown = tmp_path / "blind.gpkg", tmp_path / "shown.gpkg"
    draw(map_path, blind)
    drawn = draw(map_path, shown, shown=True)
    assert {"stratum", "map_class"}.isdisjoint(geopandas.read_file(blind, layer="points").columns)
    points = geopandas.read_file(shown, layer="points")
    names = [LAND[stratum].name for _, _, stratum in drawn.design.points]
    assert points["map_class"].tolist() == points["stratum"].tolist() == names
    assert drawn.design.record["map_class_shown"] is True


def test_a_seed_gives_the_same_points_again(map_path: Path, tmp_path: Path) -> None:
    found = [
        draw(map_path, tmp_path / f"{n}.gpkg", seed=seed).design.points for n, seed in enumerate((0, 0, 1))
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_strata_of_another_raster_have_the_names_of_its_values(map_path: Path, tmp_path: Path) -> None:
    regions = np.where(np.arange(150) < 100, 4, 9)[None].repeat(120, axis=0).astype(np.uint8)
    strata = write_scene(tmp_path / "regions.tif", regions)
    drawn = draw(map_path, tmp_path / "s.gpkg", strata=strata, shown=True)
    assert [held.name for held in drawn.design.strata] == ["4", "9"]
    assert [regions[row, col] for row, col, _ in drawn.design.points] == [
        (4, 9)[stratum] for _, _, stratum in drawn.design.points
    ]
    points = geopandas.read_file(tmp_path / "s.gpkg", layer="points")
    mapped = land()[1]
    assert points["map_class"].tolist() == [
        LAND[mapped[row, col]].name for row, col, _ in drawn.design.points
    ]
    assert "values of" in design_notes(drawn.design)[0]
    with pytest.raises(ConfigError, match="target 'area:4' is for strata that are the classes"):
        draw_sample(map_path, tmp_path / "t.gpkg", size=SampleSize(points=99, target="area:4"), strata=strata)


def test_strata_of_another_map_have_its_classes(map_path: Path, tmp_path: Path) -> None:
    older = write_map(tmp_path / "older.tif", np.roll(land()[1], 3, axis=1), names=LAND[::-1])
    drawn = draw(map_path, tmp_path / "s.gpkg", strata=older)
    assert [held.name for held in drawn.design.strata] == ["water", "clearing", "forest"]


def test_pixels_without_a_stratum_are_refused(map_path: Path, tmp_path: Path) -> None:
    regions = np.ones((120, 150), np.uint8)
    regions[100:, :50] = 0
    strata = write_scene(tmp_path / "regions.tif", regions, nodata=0)
    with pytest.raises(DataError, match="no value at 1,000 pixels where .* has a class"):
        draw(map_path, tmp_path / "s.gpkg", strata=strata)


def test_a_map_of_another_program_needs_names_for_its_values(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "foreign.tif", np.where(land()[1] == 1, 7, 3).astype(np.uint8))
    with pytest.raises(DataError, match="does not name its classes.*--classes water=1,forest=2"):
        draw(path, tmp_path / "s.gpkg")
    drawn = draw(path, tmp_path / "s.gpkg", classes={"wood": 3, "bare": 7})
    assert [held.name for held in drawn.design.strata] == ["wood", "bare"]
    with pytest.raises(DataError, match="label value 7"):
        draw(path, tmp_path / "t.gpkg", classes={"wood": 3})


def test_what_is_no_map_of_one_class_per_pixel_is_refused(map_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names its classes itself"):
        map_classes(map_path, {"wood": 1})
    several = tmp_path / "several.tif"
    grid = Grid(CRS.from_epsg(32632), Affine(10, 0, 0, 0, -10, 0), 40, 50)
    write_layer(several, grid, label_layer(LAND), np.zeros((3, 40, 50), np.uint8))
    with pytest.raises(DataError, match="holds labels; expected a map with one class per pixel"):
        map_classes(several, None)
    empty = write_map(tmp_path / "empty.tif", np.full((40, 50), 255, np.uint8), names=LAND)
    with pytest.raises(DataError, match="no pixel with a class"):
        draw(empty, tmp_path / "s.gpkg")


def test_areas_that_mean_little_are_refused_and_others_noted(tmp_path: Path) -> None:
    def far(y: float) -> Path:
        path = tmp_path / f"{y:.0f}.tif"
        return write_map(path, land()[1], names=LAND, crs="EPSG:3857", transform=Affine(10, 0, 0, 0, -10, y))

    with pytest.raises(GridError, match="equal-area CRS"):
        draw(far(6e6), tmp_path / "s.gpkg")
    assert not (tmp_path / "s.gpkg").exists()
    design = draw(far(9e5), tmp_path / "s.gpkg").design
    assert 0.01 < design.areal_error < 0.03  # 8 degrees north
    told = f"areas are up to {design.areal_error:.1%} away from those on the ground"
    assert any(told in line for line in design_notes(design))


def test_degrees_give_areas_on_the_ellipsoid(tmp_path: Path) -> None:
    transform = Affine(0.01, 0, 10, 0, -0.01, 60)
    path = write_map(tmp_path / "map.tif", land()[1], names=LAND, crs="EPSG:4326", transform=transform)
    design = draw(path, tmp_path / "s.gpkg").design
    # 1.14 x 1.5 degrees about 59.4 degrees north
    assert design.area == pytest.approx(1.14 * 111_300 * 1.5 * 111_320 * np.cos(np.radians(59.37)), rel=0.01)
    assert design.areal_error == 0


def test_an_existing_file_is_kept(map_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.gpkg"
    out.write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        draw(map_path, out)
    assert out.read_text() == "old"
    draw(map_path, out, overwrite=True)
    assert len(read_sample(out).answers) == 150
