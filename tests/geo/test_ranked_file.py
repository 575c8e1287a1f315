"""Lists for QGIS: the columns, their order, the style."""

import sqlite3
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from eoseg.errors import ConfigError, OutputError
from eoseg.geo.ranked_file import require_geopackage, write_ranked
from eoseg.recipe import parse_classes

SHAPES = np.array([shapely.box(n, 0, n + 1, 1) for n in range(3)], object)
COLUMNS = {"class": [1, 0, 1], "score": [0.5, 0.2, 0.1]}


def style(path: Path) -> str:
    with sqlite3.connect(path) as database:
        (text,) = database.execute("SELECT styleQML FROM layer_styles").fetchone()
    return str(text)


def test_rows_keep_their_order_and_get_their_rank(tmp_path: Path):
    path = tmp_path / "a.gpkg"
    write_ranked(path, "next", COLUMNS, shapes=SHAPES, crs=CRS.from_epsg(32632))
    frame = geopandas.read_file(path, layer="next")
    assert list(frame.columns) == ["rank", "class", "score", "geometry"]
    assert list(frame["rank"]) == [1, 2, 3]
    assert list(frame["score"]) == COLUMNS["score"]
    assert frame.crs.to_epsg() == 32632
    assert [round(x) for x in frame.geometry.bounds["minx"]] == [0, 1, 2]
    assert 'fieldName="rank"' in style(path)
    assert [name.name for name in tmp_path.iterdir()] == ["a.gpkg"]


def test_classes_give_the_colours(tmp_path: Path):
    path = tmp_path / "a.gpkg"
    write_ranked(
        path,
        "suspects",
        COLUMNS,
        shapes=SHAPES,
        crs=None,
        classes=parse_classes({"x": "#112233", "y": "#445566"}),
    )
    assert "17,34,51,255" in style(path)


def test_rows_without_a_place_are_a_table(tmp_path: Path):
    path = tmp_path / "a.gpkg"
    write_ranked(path, "suspects", {"name": ["p", "q"]}, shapes=None, crs=None)
    assert list(pyogrio.read_dataframe(path)["name"]) == ["p", "q"]
    assert pyogrio.read_info(path)["geometry_type"] is None


def test_no_row_is_an_empty_layer(tmp_path: Path):
    path = tmp_path / "a.gpkg"
    write_ranked(path, "suspects", {"name": []}, shapes=np.empty(0, object), crs=CRS.from_epsg(32632))
    assert len(geopandas.read_file(path, layer="suspects")) == 0


def test_what_cannot_be_written_is_refused_early(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"written as .gpkg"):
        require_geopackage(tmp_path / "a.shp", overwrite=False)
    (tmp_path / "a.gpkg").touch()
    with pytest.raises(OutputError, match="exists already"):
        require_geopackage(tmp_path / "a.gpkg", overwrite=False)
    require_geopackage(tmp_path / "a.gpkg", overwrite=True)
    with pytest.raises(OutputError, match="there is no folder"):
        require_geopackage(tmp_path / "no" / "a.gpkg", overwrite=False)
    with pytest.raises(OutputError, match="cannot be written"):
        write_ranked(tmp_path / "no" / "a.gpkg", "x", COLUMNS, shapes=SHAPES, crs=None)
