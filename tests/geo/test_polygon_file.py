"""Files of polygons as other programs read them, and what a failure leaves."""

import sqlite3
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from eoseg.errors import ConfigError, DataError, OutputError
from eoseg.geo import whole_file
from eoseg.geo.polygon_file import PolygonRows, PolygonSchema, qgis_style, require_suffix, write_polygons
from eoseg.recipe import parse_classes

CLASSES = parse_classes({"sea & lakes": {"value": 1, "color": "#0000FF"}, "wood": 2})
SCHEMA = PolygonSchema(CLASSES, CRS.from_epsg(32632), "area_m2", has_probability=True)
BOTH = pytest.mark.parametrize("name", ["a.gpkg", "a.parquet"])


def rows(first: int = 0) -> PolygonRows:
    shapes = shapely.box([first, first + 5], [0, 0], [first + 2, first + 9], [3, 3])
    return PolygonRows(shapes, np.array([1, 0]), np.array([6.0, 12.0]), np.array([0.75, np.nan]))


def read(path: Path) -> geopandas.GeoDataFrame:
    return (
        geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path, layer="map")
    )


@BOTH
def test_batches_become_one_layer(tmp_path: Path, name: str) -> None:
    write_polygons(tmp_path / name, "map", SCHEMA, iter([rows(), rows(100)]))
    frame = read(tmp_path / name)
    assert frame.columns.tolist() == ["class", "name", "area_m2", "probability", "geometry"]
    assert frame["class"].tolist() == [1, 0, 1, 0]
    assert frame["name"].tolist() == ["wood", "sea & lakes"] * 2
    assert frame["area_m2"].tolist() == [6.0, 12.0] * 2
    assert frame["probability"].isna().tolist() == [False, True] * 2
    assert frame.crs.to_epsg() == 32632
    assert frame.total_bounds.tolist() == [0, 0, 109, 3]
    assert frame.geometry[2].equals(shapely.box(100, 0, 102, 3))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@BOTH
def test_no_polygons_and_no_crs_are_an_empty_layer(tmp_path: Path, name: str) -> None:
    schema = PolygonSchema(CLASSES, None, "area_px", has_probability=False)
    write_polygons(tmp_path / name, "map", schema, iter([]))
    frame = read(tmp_path / name)
    assert frame.columns.tolist() == ["class", "name", "area_px", "geometry"]
    assert (len(frame), frame.crs) == (0, None)


def test_a_geopackage_is_whole_and_has_a_spatial_index(tmp_path: Path) -> None:
    write_polygons(tmp_path / "a.gpkg", "map", SCHEMA, iter([rows()]))
    info = pyogrio.read_info(tmp_path / "a.gpkg", layer="map")
    assert info["geometry_type"] == "Polygon"
    assert info["capabilities"]["fast_spatial_filter"]
    with sqlite3.connect(tmp_path / "a.gpkg") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_qgis_finds_the_style_of_the_layer(tmp_path: Path) -> None:
    write_polygons(tmp_path / "a.gpkg", "map", SCHEMA, iter([rows()]))
    # What QGIS asks: provider OGR, loadStyle.
    with sqlite3.connect(tmp_path / "a.gpkg") as database:
        column = database.execute("SELECT column_name FROM gpkg_geometry_columns").fetchone()[0]
        query = "SELECT styleQML, useAsDefault FROM layer_styles WHERE f_table_schema = '' "
        where = "AND f_table_name = 'map' AND f_geometry_column = ?"
        ((style, is_default),) = database.execute(query + where, (column,)).fetchall()
    assert (style, is_default) == (qgis_style(CLASSES), 1)
    listed = pyogrio.list_layers(tmp_path / "a.gpkg").tolist()
    assert listed == [["map", "Polygon"], ["layer_styles", None]]


def test_the_style_gives_each_class_its_colour() -> None:
    renderer = ElementTree.fromstring(qgis_style(CLASSES)).find("renderer-v2")
    assert renderer is not None
    assert renderer.get("attr") == "class"
    labels = {entry.get("value"): entry.get("label") for entry in renderer.iter("category")}
    assert labels == {"0": "sea & lakes", "1": "wood"}
    colors = {
        symbol.get("name"): option.get("value")
        for symbol in renderer.iter("symbol")
        for option in symbol.iter("Option")
        if option.get("name") == "color"
    }
    assert colors["0"] == "0,0,255,255"
    assert set(colors) == {entry.get("symbol") for entry in renderer.iter("category")}


@BOTH
@pytest.mark.parametrize("failure", [DataError("the map is truncated"), KeyboardInterrupt()])
def test_what_the_rows_raise_is_raised_and_leaves_nothing(
    tmp_path: Path, name: str, failure: BaseException
) -> None:
    (tmp_path / name).write_text("older")

    def failing() -> Iterator[PolygonRows]:
        yield rows()
        raise failure

    with pytest.raises(type(failure)) as caught:
        write_polygons(tmp_path / name, "map", SCHEMA, failing())
    assert caught.value is failure
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "older"


@BOTH
def test_what_the_disk_refuses_is_one_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fsync", full)
    with pytest.raises(OutputError, match="cannot be written: .*No space left.* Check the folder"):
        write_polygons(tmp_path / name, "map", SCHEMA, iter([rows()]))
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_polygons(tmp_path / "absent" / name, "map", SCHEMA, iter([rows()]))


def test_other_suffixes_are_refused() -> None:
    require_suffix(Path("A.GPKG"))
    with pytest.raises(ConfigError, match=r"\.gpkg .* or \.parquet .*; found 'a.shp'"):
        require_suffix(Path("a.shp"))
