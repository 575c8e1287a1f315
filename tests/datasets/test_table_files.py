from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from table_factory import KINDS, arrays, table_of, write_arrays

from eoseg.datasets.table_files import Table, TableSource, read_table
from eoseg.errors import BandError, ConfigError, DataError


def read_arrays(folder: Path, *, options: dict[str, Any] | None = None, **changes: Any) -> Table:
    write_arrays(folder, **changes)
    return read_table("pixels.npz", table_of(folder, **(options or {})))


def read_text(folder: Path, text: str, **options: Any) -> Table:
    (folder / "pixels.csv").write_text(text)
    return read_table("pixels.csv", table_of(folder, "pixels.csv", **options))


def test_arrays_of_one_date(tmp_path: Path):
    table = read_arrays(tmp_path, options={"groups": "cell", "band_names": "names"})
    np.testing.assert_array_equal(table.values, arrays()["X"])
    assert table.labels[:4].tolist() == ["grass", "rock", "water", "grass"]
    assert table.bands == ("B0", "B1", "B2", "B3")
    assert table.groups is not None
    assert table.groups[:4].tolist() == ["c0", "c0", "c0", "c1"]
    assert table.dates is None
    assert len(table) == 30


def test_arrays_of_several_dates(tmp_path: Path):
    table = read_arrays(tmp_path, steps=3, options={"dates": "when"})
    np.testing.assert_array_equal(table.values, arrays(steps=3)["X"])
    assert table.dates is not None
    assert table.dates.shape == (30, 3)
    assert table.dates[7].astype(str).tolist() == ["2020-01-01", "2020-01-17", "2020-02-02"]
    assert table.bands == ("band_1", "band_2", "band_3", "band_4")


@pytest.mark.parametrize(
    "when",
    [
        np.array(["2019-12-31", "2020-02-29"]),
        np.array(["2019-12-31", "2020-02-29"], "datetime64[s]"),
        np.array([18261.0, 18321.0]),
        np.tile(np.array([18261, 18321], np.int32), (30, 1)),
    ],
)
def test_dates_may_be_written_in_several_ways(tmp_path: Path, when: np.ndarray):
    table = read_arrays(tmp_path, steps=2, when=when, options={"dates": "when"})
    assert table.dates is not None
    assert table.dates[29].astype(str).tolist() == ["2019-12-31", "2020-02-29"]


def test_other_names_and_a_choice_of_bands(tmp_path: Path):
    options = {
        "features": "values",
        "label": "kind",
        "band_names": ["red", "nir", "swir", "blue"],
        "bands": ["blue", "nir"],
    }
    kind = np.arange(30, dtype=np.float64) % 3
    table = read_arrays(tmp_path, X=None, y=None, values=arrays()["X"], kind=kind, options=options)
    assert table.bands == ("blue", "nir")
    assert table.all_bands == ("red", "nir", "swir", "blue")
    assert table.values[2].tolist() == [203, 201]
    assert table.labels[:3].tolist() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"X": None}, {}, "features: There is no array in '.*pixels.npz' 'X'.*Known: cell, names, y"),
        ({}, {"label": "label"}, "label: There is no array"),
        ({}, {"groups": "cel"}, "Did you mean 'cell'"),
        ({}, {"dates": "when"}, "dates: There is no array"),
        ({"steps": 3}, {"dates": "wen"}, "Did you mean 'when'"),
        ({"steps": 3}, {}, "each row is a series: name the array of its 'dates'"),
        ({"when": np.arange(4)}, {"dates": "when"}, "dates: when is for series"),
        ({}, {"band_names": ["a", "b"]}, "2 names for 4 features"),
        ({}, {"band_names": ["a", "b", "a", "c"]}, "named twice: a"),
    ],
)
def test_wrong_names_are_one_clear_line(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=message) as caught:
        read_arrays(tmp_path, options=options, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (
            {"y": np.array(KINDS * 9)},
            {},
            "30 rows of features but 27 values for 'label' \\(shape \\(27,\\)\\)",
        ),
        ({"cell": np.zeros(29)}, {"groups": "cell"}, "30 rows of features but 29 values for 'groups'"),
        ({"X": np.zeros(30)}, {}, "shape \\(n, F\\).*found float64 \\(30,\\)"),
        ({"X": np.array([["a"]])}, {}, "must be numbers"),
        ({"y": np.array([1, "a", None], object)}, {}, "cannot be read: Object arrays.*numpy.savez"),
        ({"steps": 3, "when": np.arange(4)}, {"dates": "when"}, "dates .* shape \\(4,\\); expected \\(3,\\)"),
        (
            {"steps": 3, "when": np.array([5, 3, 8])},
            {"dates": "when"},
            "row 0 has 1970-01-06, then 1970-01-04",
        ),
        ({"steps": 2, "when": np.array([5, 5])}, {"dates": "when"}, "do not increase.*\\(30 such rows\\)"),
        ({"steps": 2, "when": np.array(["x", "y"])}, {"dates": "when"}, "are not dates"),
        ({"steps": 2, "when": np.array([np.nan, 1.0])}, {"dates": "when"}, "no whole days"),
        (
            {"steps": 2, "when": np.array(["NaT", "2020-01-01"], "datetime64[D]")},
            {"dates": "when"},
            "do not increase",
        ),
    ],
)
def test_wrong_arrays_are_one_clear_line(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], message: str
):
    with pytest.raises(DataError, match=message) as caught:
        read_arrays(tmp_path, options=options, **changes)
    assert "\n" not in str(caught.value)


def test_unknown_bands_and_broken_files(tmp_path: Path):
    with pytest.raises(BandError, match="'B9' is needed"):
        read_arrays(tmp_path, options={"bands": ["B9"]})
    with pytest.raises(DataError, match="There is no file .*gone.npz"):
        read_table("gone.npz", table_of(tmp_path, "gone.npz"))
    (tmp_path / "pixels.npz").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="cannot be read"):
        read_table("pixels.npz", table_of(tmp_path))


CSV = 'red,"nir, narrow",y,plot\n1,2.5,grass,p1\n3,,rock,p1\nNA,6,"water",p2\n'


def test_text_with_names(tmp_path: Path):
    table = read_text(tmp_path, CSV, groups="plot")
    assert table.bands == ("red", "nir, narrow")
    np.testing.assert_array_equal(table.values, np.array([[1, 2.5], [3, np.nan], [np.nan, 6]], np.float32))
    assert table.labels.tolist() == ["grass", "rock", "water"]
    assert table.groups is not None
    assert table.groups.tolist() == ["p1", "p1", "p2"]


@pytest.mark.parametrize("mark", [",", ";", "\t", " "])
def test_text_may_be_divided_in_four_ways(tmp_path: Path, mark: str):
    text = "red,nir,y\n1,2.5,grass\n3,nan,rock\n"
    table = read_text(tmp_path, text.replace(",", mark))
    assert table.bands == ("red", "nir")
    np.testing.assert_array_equal(table.values, np.array([[1, 2.5], [3, np.nan]], np.float32))
    assert table.labels.tolist() == ["grass", "rock"]


def test_columns_by_place(tmp_path: Path):
    text = "1 2 3 1\n4 5 6 2\n"
    table = read_text(tmp_path, text, first_line="data", label=-1)
    np.testing.assert_array_equal(table.values, [[1, 2, 3], [4, 5, 6]])
    assert table.labels.tolist() == ["1", "2"]
    assert table.bands == ("band_1", "band_2", "band_3")
    assert len(read_text(tmp_path, text, first_line="skip", label=-1)) == 1
    table = read_text(tmp_path, text, first_line="data", label=3, features=[2, 0], band_names=["x", "y"])
    np.testing.assert_array_equal(table.values, [[3, 1], [6, 4]])
    assert table.bands == ("x", "y")


def test_columns_by_name(tmp_path: Path):
    table = read_text(tmp_path, "id,red,nir,y\n7,1,2,grass\n", features=["nir", "red"])
    assert table.bands == ("nir", "red")
    assert table.values.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        (CSV, {"label": "kind"}, ConfigError, "label: There is no column in .*'kind'"),
        (CSV, {"features": ["rde"]}, ConfigError, "features: .*Did you mean 'red'"),
        (CSV, {"groups": 9}, ConfigError, "has 4 columns, numbered from 0 to 3; found 9"),
        (CSV, {"first_line": "data"}, ConfigError, "'y' is a name, but first_line says"),
        ("a,a,y\n1,2,grass\n", {}, ConfigError, "Features are named twice: a"),
        ("a,a,y\n1,2,grass\n", {"features": ["a"]}, ConfigError, "2 columns named 'a'. Give a place"),
        (CSV, {}, DataError, "cannot be read: could not convert string 'p1'"),
        ("a,y\n1,grass\n1,2,3,4\n2\n", {}, DataError, "cannot be read: .*row 3"),
        ("a,y\n", {}, DataError, "has no rows"),
    ],
)
def test_wrong_text_is_one_clear_line(
    tmp_path: Path, text: str, options: dict[str, Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message) as caught:
        read_text(tmp_path, text, **options)
    assert "\n" not in str(caught.value)


def test_a_picture_is_no_table(tmp_path: Path):
    (tmp_path / "pixels.csv").write_bytes(b"\xff\xfe\x00\x89PNG")
    with pytest.raises(DataError, match="not a table of text in UTF-8"):
        read_table("pixels.csv", table_of(tmp_path, "pixels.csv"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "'path' names no file"),
        ({"path": []}, "'path' names no file"),
        ({"path": ["a.npz", "b.csv"]}, "mixes .npz, .parquet or text"),
        ({"classes": ["one"]}, "at least two classes"),
        ({"label": -1}, "holds arrays by name; found label: -1"),
        ({"groups": 3}, "holds arrays by name; found groups: 3"),
        ({"features": ["a", "b"]}, "holds arrays by name; found features"),
        ({"first_line": "skip"}, "first_line is for text"),
        ({"path": "a.csv", "features": "red"}, "Write features: \\[red\\]"),
        ({"path": "a.csv", "band_names": "names"}, "names an array, but the table is text"),
        ({"path": "a.csv", "dates": "when"}, "dates: when is for series"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        TableSource(**{"path": "a.npz", "classes": KINDS, **options})
    assert "\n" not in str(caught.value)


def columns(folder: Path, **changes: Any) -> Path:
    """A table as 'eoseg embed' writes it: one row without a label."""
    held = {
        "scene": ["a", "a", "b", "b"],
        "row": [0, 8, 0, 8],
        "label": ["grass", "rock", None, "water"],
        "f000": np.arange(4, dtype=np.float32),
        "f001": np.arange(4, dtype=np.float32) * 10,
    }
    pandas.DataFrame({**held, **changes}).to_parquet(folder / "chips.parquet")
    return folder / "chips.parquet"


def test_columns_of_a_parquet_file_have_the_names_that_embed_gives_them(tmp_path: Path):
    columns(tmp_path)
    table = read_table("chips.parquet", table_of(tmp_path, "chips.parquet"))
    np.testing.assert_array_equal(table.values, [[0, 0], [1, 10], [2, 20], [3, 30]])
    assert (table.bands, table.dtype) == (("f000", "f001"), "float32")
    assert table.labels.tolist() == ["grass", "rock", "", "water"]
    assert table.groups is not None
    assert table.groups.tolist() == ["a", "a", "b", "b"]


def test_other_columns_of_a_parquet_file_may_be_named(tmp_path: Path):
    columns(tmp_path, kind=[1, 2, 3, 1])
    options = {"label": "kind", "features": ["f001", "row"], "groups": "row", "bands": ["row"]}
    table = read_table("chips.parquet", table_of(tmp_path, "chips.parquet", **options))
    np.testing.assert_array_equal(table.values, [[0], [8], [0], [8]])
    assert table.labels.tolist() == ["1", "2", "3", "1"]
    assert table.groups is not None
    assert table.groups.tolist() == ["0", "8", "0", "8"]
    renamed = table_of(tmp_path, "chips.parquet", band_names=["x", "y"])
    assert read_table("chips.parquet", renamed).bands == ("x", "y")


def test_an_empty_label_means_no_label_in_a_parquet_file_alone(tmp_path: Path):
    assert table_of(tmp_path, "chips.parquet", ignore=["rock"]).unlabelled == ["rock", ""]
    assert table_of(tmp_path, "pixels.csv", ignore=["rock"]).unlabelled == ["rock"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": -1}, "holds columns by name; found -1"),
        ({"groups": 2}, "holds columns by name; found 2"),
        ({"features": [3]}, "holds columns by name; found 3"),
        ({"features": "f000"}, "features of a parquet table are a list"),
        ({"first_line": "skip"}, "first_line is for text, but the table is .parquet"),
        ({"dates": "when"}, "table is parquet. Leave it out"),
        ({"path": ["a.parquet", "b.csv"]}, "mixes .npz, .parquet or text"),
    ],
)
def test_options_that_a_parquet_file_cannot_have_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        TableSource(**{"path": "a.parquet", "classes": KINDS, **options})
