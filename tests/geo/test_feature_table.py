"""Tables of features: what another program reads of them, and what is refused."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import shapely
from affine import Affine
from pyarrow import parquet
from rasterio.crs import CRS

from eoseg.errors import ConfigError, DataError, OutputError
from eoseg.geo.feature_table import (
    FeatureRows,
    FeatureWriter,
    common_crs,
    footprints_in,
    read_feature_table,
)
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window

UTM = CRS.from_epsg(32632)
GRID = Grid(UTM, Affine(10, 0, 500_000, 0, -10, 5_400_000), 50, 70)
WINDOWS = [Window(0, 0, 32, 32), Window(32, 32, 32, 32), Window(32, 64, 32, 32)]


def rows_of(features: np.ndarray, labels: list[str | None] | None = None, scene: str = "a") -> FeatureRows:
    windows = WINDOWS[: len(features)]
    footprints = footprints_in(GRID, windows, UTM)
    return FeatureRows(scene, windows, footprints, [1.0] * len(windows), features.astype(np.float32), labels)


def write(path: Path, *tables: FeatureRows, features: int = 2, **options: object) -> Path:
    settings = {"crs": UTM, "labelled": False, **options}
    with FeatureWriter(path, features=features, **settings) as writer:  # type: ignore[arg-type]
        for rows in tables:
            writer.write(rows)
        writer.publish({"version": "x"})
    return path


def test_geopandas_reads_what_was_written(tmp_path: Path):
    values = np.array([[1.5, -2], [3, 4], [5, 6]])
    path = write(tmp_path / "t.parquet", rows_of(values, ["wood", None, "town"]), labelled=True)
    frame = geopandas.read_parquet(path)
    assert list(frame.columns) == ["scene", "row", "col", "valid", "label", "f000", "f001", "geometry"]
    np.testing.assert_array_equal(frame[["f000", "f001"]], values)
    assert frame["f000"].dtype == np.float32
    assert frame.crs.to_epsg() == 32632
    assert [(row, col) for row, col in zip(frame.row, frame.col, strict=True)] == [(0, 0), (32, 32), (32, 64)]
    assert frame.label[0] == "wood"
    assert pandas.isna(frame.label[1])
    # The last chip reaches beyond 50 rows and 70 columns, its footprint does not.
    assert frame.geometry[0].bounds == (500_000, 5_399_680, 500_320, 5_400_000)
    assert frame.geometry[2].bounds == (500_640, 5_399_500, 500_700, 5_399_680)


def test_metadata_say_the_version_the_bounds_and_how_the_table_came_about(tmp_path: Path):
    path = write(tmp_path / "t.parquet", rows_of(np.ones((1, 2))), rows_of(np.ones((3, 2))))
    held = parquet.ParquetFile(path).metadata.metadata
    geo = json.loads(held[b"geo"])
    assert geo["version"] == "1.0.0"
    assert geo["columns"]["geometry"]["bbox"] == [500_000, 5_399_500, 500_700, 5_400_000]
    assert json.loads(held[b"eoseg"]) == {"version": "x"}


def test_rows_leave_the_memory_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("eoseg.geo.feature_table._ROWS", 4)
    path = write(tmp_path / "t.parquet", *(rows_of(np.full((3, 2), n)) for n in range(3)))
    file = parquet.ParquetFile(path)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [6, 3]
    assert geopandas.read_parquet(path).f000.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_many_features_have_names_of_one_length(tmp_path: Path):
    path = write(tmp_path / "t.parquet", rows_of(np.ones((1, 1001))), features=1001)
    names = [name for name in parquet.ParquetFile(path).schema_arrow.names if name.startswith("f0")]
    assert (names[0], names[-1]) == ("f0000", "f0999")


def test_the_same_rows_give_the_same_bytes(tmp_path: Path):
    first, second = (write(tmp_path / name, rows_of(np.ones((3, 2)))) for name in ("a.parquet", "b.parquet"))
    assert first.read_bytes() == second.read_bytes()


def test_nothing_remains_of_a_table_that_was_not_published(tmp_path: Path):
    with FeatureWriter(tmp_path / "t.parquet", features=2, crs=UTM, labelled=False) as writer:
        writer.write(rows_of(np.ones((3, 2))))
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_replaced_only_where_that_is_allowed(tmp_path: Path):
    path = write(tmp_path / "t.parquet", rows_of(np.ones((1, 2))))
    with pytest.raises(OutputError, match="exists already"):
        write(path, rows_of(np.zeros((1, 2))))
    write(path, rows_of(np.zeros((1, 2))), overwrite=True)
    assert geopandas.read_parquet(path).f000.tolist() == [0]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "t.parquet.part").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        FeatureWriter(tmp_path / "t.parquet", features=2, crs=UTM, labelled=False)


def test_footprints_without_crs_are_in_pixels(tmp_path: Path):
    grid = Grid(None, Affine.identity(), 50, 70)
    path = tmp_path / "t.parquet"
    with FeatureWriter(path, features=2, crs=None, labelled=False) as writer:
        shapes = footprints_in(grid, WINDOWS[:1], None)
        writer.write(FeatureRows("a", WINDOWS[:1], shapes, [1.0], np.ones((1, 2), np.float32)))
        assert writer.crs_name == "none (pixels)"
        writer.publish({})
    frame = geopandas.read_parquet(path)
    assert frame.crs is None
    assert frame.geometry[0].bounds == (0, 0, 32, 32)


def test_footprints_of_several_crs_come_to_longitudes_and_latitudes():
    other = Grid(CRS.from_epsg(32633), GRID.transform, 50, 70)
    crs = common_crs({"a": GRID, "b": other})
    assert crs == CRS.from_epsg(4326)
    # x 500 000 is the central meridian of a zone: 9 degrees east in zone 32, 15 in zone 33.
    for grid, longitude in ((GRID, 9.0), (other, 15.0)):
        west, _, east, north = footprints_in(grid, WINDOWS[:1], crs)[0].bounds
        assert west == pytest.approx(longitude, abs=1e-9)
        assert east == pytest.approx(longitude + 0.0044, abs=1e-4)
        assert north == pytest.approx(48.75, abs=0.01)


def test_the_crs_is_the_scenes_where_it_is_one():
    assert common_crs({"a": GRID, "b": GRID.crop(Window(0, 0, 9, 9))}) == UTM
    assert common_crs({"a": Grid(None, Affine.identity(), 5, 5)}) is None


def test_scenes_with_and_without_crs_do_not_go_into_one_table():
    with pytest.raises(DataError, match="'a' has a CRS, 'b' has none"):
        common_crs({"a": GRID, "b": Grid(None, Affine.identity(), 5, 5)})


def test_a_rotated_grid_has_rotated_footprints():
    grid = Grid(UTM, Affine.rotation(90), 50, 70)
    shape = footprints_in(grid, [Window(0, 10, 20, 30)], UTM)[0]
    assert shape.normalize().equals_exact(shapely.box(-20, 10, 0, 40).normalize(), 1e-9)


def test_features_labels_and_groups_are_read_again(tmp_path: Path):
    values = np.array([[1.5, -2], [3, 4], [5, 6]])
    path = write(tmp_path / "t.parquet", rows_of(values, ["wood", None, "town"]), labelled=True)
    table = read_feature_table(path, label="label")
    np.testing.assert_array_equal(table.values, values)
    assert table.names == ("f000", "f001")
    assert table.labels == ["wood", "", "town"]
    assert table.groups == ["a", "a", "a"]


def test_any_columns_of_another_program_may_be_named(tmp_path: Path):
    frame = pandas.DataFrame(
        {"ndvi": [0.5, None, 0.25], "count": [1, 2, 3], "kind": [2.0, 7.0, None], "field": [4, 4, 5]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_feature_table(
        tmp_path / "t.parquet", label="kind", features=["count", "ndvi"], groups="field"
    )
    np.testing.assert_array_equal(table.values, np.array([[1, 0.5], [2, np.nan], [3, 0.25]], np.float32))
    assert table.labels == ["2", "7", ""]
    assert table.groups == ["4", "4", "5"]


def test_what_cannot_be_read_is_one_line(tmp_path: Path):
    pandas.DataFrame({"ndvi": [0.5], "kind": ["a"]}).to_parquet(tmp_path / "t.parquet")
    path = tmp_path / "t.parquet"
    with pytest.raises(ConfigError, match="no columns f000, f001 and so on.*ndvi, kind"):
        read_feature_table(path, label="kind")
    with pytest.raises(ConfigError, match="label: There is no column in .* 'kidn'. Did you mean 'kind'"):
        read_feature_table(path, label="kidn", features=["ndvi"])
    with pytest.raises(ConfigError, match="features: There is no column"):
        read_feature_table(path, label="kind", features=["evi"])
    with pytest.raises(ConfigError, match="groups: There is no column"):
        read_feature_table(path, label="kind", features=["ndvi"], groups="field")
    with pytest.raises(DataError, match="feature 'kind' .* expected numbers"):
        read_feature_table(path, label="kind", features=["kind"])
    (tmp_path / "broken.parquet").write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="is not a Parquet file that can be read"):
        read_feature_table(tmp_path / "broken.parquet", label="kind")
