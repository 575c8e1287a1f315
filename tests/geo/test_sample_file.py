"""The file of a sample as GIS programs read it, and as it comes back."""

import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
from affine import Affine
from rasterio.crs import CRS
from sample_factory import LAND, change, fill

from eoseg.errors import DataError, OutputError
from eoseg.geo import sample_file
from eoseg.geo.grid import Grid
from eoseg.geo.sample_file import SamplePixels, read_sample, write_sample

GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -20, 5_400_000), 50, 60)
PIXELS = SamplePixels(np.array([0, 49, 7]), np.array([0, 59, 3]))
DESIGN = {"method": "any", "strata": [1, 2]}
STRATA = {"stratum": ["forest", "water"], "pixels": [7, 8]}


def write(path: Path, pixels: SamplePixels = PIXELS, grid: Grid = GRID, *, overwrite: bool = False) -> Path:
    write_sample(path, pixels, grid, LAND, design=DESIGN, strata=STRATA, overwrite=overwrite)
    return path


def test_points_are_the_centres_of_pixels_and_squares_their_outlines(tmp_path: Path) -> None:
    path = write(tmp_path / "s.gpkg")
    points = geopandas.read_file(path, layer="points")
    assert points.columns.tolist() == ["id", "reference", "confidence", "note", "lon", "lat", "geometry"]
    assert points["id"].tolist() == [1, 2, 3]
    assert [(p.x, p.y) for p in points.geometry] == [
        (500_005, 5_399_990),
        (500_595, 5_399_010),
        (500_035, 5_399_850),
    ]
    assert points["reference"].isna().all()
    degrees = points.geometry.to_crs("EPSG:4326")
    assert np.allclose(points["lon"], degrees.x, atol=1e-6)
    assert np.allclose(points["lat"], degrees.y, atol=1e-6)
    squares = geopandas.read_file(path, layer="pixels")
    assert squares["id"].tolist() == [1, 2, 3]
    assert squares.geometry[1].bounds == (500_590, 5_399_000, 500_600, 5_399_020)
    assert squares.geometry.contains(points.geometry).all()
    assert squares.crs == points.crs == "EPSG:32632"
    assert [p.name for p in tmp_path.iterdir()] == ["s.gpkg"]


def test_stratum_and_class_are_there_only_where_they_are_given(tmp_path: Path) -> None:
    shown = SamplePixels(PIXELS.rows, PIXELS.cols, ["a", "b", "a"], ["forest", "water", "water"])
    points = geopandas.read_file(write(tmp_path / "s.gpkg", shown), layer="points")
    assert points["stratum"].tolist() == ["a", "b", "a"]
    assert points["map_class"].tolist() == ["forest", "water", "water"]


def test_the_file_is_a_whole_geopackage_with_the_strata_as_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "s.gpkg")
    kinds = {str(name): kind for name, kind in pyogrio.list_layers(path)}
    assert {"points": "Point", "pixels": "Polygon", "sampling_design": None}.items() <= kinds.items()
    assert pyogrio.read_dataframe(path, layer="sampling_design").to_dict("list") == STRATA
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        styles = dict(database.execute("SELECT f_table_name, styleQML FROM layer_styles").fetchall())
    assert '<editWidget type="ValueMap">' in styles["points"]
    assert 'value="clearing"' in styles["points"]
    assert "SimpleFill" in styles["pixels"]
    for name in ("id", "lon", "lat"):
        assert f'<field name="{name}" editable="0"/>' in styles["points"]
    assert '<field name="reference" editable="0"/>' not in styles["points"]


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = write(tmp_path / "s.gpkg")
    assert read_sample(path).answers == [None, None, None]
    fill(path, ["forest", None, " water "])
    change(path, "UPDATE points SET note = 'under clouds', confidence = 'low' WHERE id = 3")
    found = read_sample(path)
    assert found.answers == ["forest", None, "water"]
    assert found.ids.tolist() == [1, 2, 3]
    assert found.xs.tolist() == [500_005, 500_595, 500_035]
    assert found.ys.tolist() == [5_399_990, 5_399_010, 5_399_850]
    assert found.design == DESIGN


def test_a_map_without_crs_has_points_in_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "s.gpkg", grid=Grid(None, Affine.identity(), 50, 60))
    points = geopandas.read_file(path, layer="points")
    assert "lon" not in points.columns
    assert (points.geometry[1].x, points.geometry[1].y) == (59.5, 49.5)


def test_a_sample_of_points_alone_is_no_probability_sample(tmp_path: Path) -> None:
    points = geopandas.read_file(write(tmp_path / "s.gpkg"), layer="points")
    for name in ("convenient.gpkg", "convenient.geojson"):
        points.to_file(tmp_path / name)
        with pytest.raises(DataError, match="does not say how its points were drawn.*eoseg sample"):
            read_sample(tmp_path / name)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file .*none\.gpkg"):
        read_sample(tmp_path / "none.gpkg")
    (tmp_path / "text.gpkg").write_text("no database")
    with pytest.raises(DataError, match="not a vector file"):
        read_sample(tmp_path / "text.gpkg")
    path = write(tmp_path / "s.gpkg")
    change(path, "ALTER TABLE points RENAME COLUMN reference TO answer")
    with pytest.raises(DataError, match="no column 'reference' any more"):
        read_sample(path)
    change(path, "DELETE FROM gpkg_contents WHERE table_name = 'points'", "DROP TABLE points")
    with pytest.raises(DataError, match="no layer 'points' any more"):
        read_sample(path)


def test_an_existing_file_is_kept_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "s.gpkg")
    fill(path, ["forest", "forest", "forest"])
    with pytest.raises(OutputError, match="exists already"):
        write(path)

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(sample_file, "add_layer_styles", full)
        with pytest.raises(OutputError, match="cannot be written: database or disk is full"):
            write(path, overwrite=True)
    assert read_sample(path).answers == ["forest"] * 3
    assert [p.name for p in tmp_path.iterdir()] == ["s.gpkg"]
    assert read_sample(write(path, overwrite=True)).answers == [None] * 3


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="A sample is a GeoPackage, .gpkg"):
        write(tmp_path / "s.geojson")
