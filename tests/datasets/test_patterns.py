from pathlib import Path

import pytest

from eoseg.datasets.patterns import find_files
from eoseg.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "Tile 1/images/part_1.jpg",
        "Tile 2/images/part_1.jpg",
        "Tile 1/masks/part_1.png",
        "flat/7_sat.tif",
        "flat/7_mask.tif",
        "flat/7_sat.tif.aux.xml",
        "deep/a/b/x.tif",
        "deep/y.tif",
        "2.5m/v1.2_a.tif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "nothing").mkdir()
    return tmp_path


def found(folder: Path, *patterns: str) -> list[tuple[tuple[str, ...], str]]:
    return [(match.key, match.id) for match in find_files(list(patterns), str(folder), option="images")]


@pytest.mark.parametrize(
    ("pattern", "key", "name"),
    [
        ("Tile */images/*.jpg", ("1", "part_1"), "Tile 1/part_1"),
        ("Tile */masks/*.png", ("1", "part_1"), "Tile 1/part_1"),
        ("Tile ?/images/*.*", ("1", "part_1"), "Tile 1/part_1"),
        ("Tile [12]/images/*.[jJ]*", ("1", "part_1"), "Tile 1/part_1"),
        ("Tile */images/*", ("1", "part_1"), "Tile 1/part_1"),
        ("flat/*_sat.tif", ("7",), "7_sat"),
        ("flat/*_mask.tif", ("7",), "7_mask"),
        ("2.5m/*.tif", ("v1.2_a",), "v1.2_a"),
        ("flat/7_sat.tif", ("7_sat",), "7_sat"),
    ],
)
def test_the_key_is_what_the_wildcards_matched(folder: Path, pattern: str, key: tuple[str, ...], name: str):
    assert found(folder, pattern)[0] == (key, name)


def test_two_stars_match_any_number_of_folders(folder: Path):
    assert found(folder, "deep/**/*.tif") == [(("a/b/", "x"), "deep/a/b/x"), (("", "y"), "deep/y")]


def test_sidecar_files_are_no_scenes(folder: Path):
    assert len(found(folder, "flat/*")) == 2


def test_a_file_that_two_patterns_match_is_found_once(folder: Path):
    assert len(found(folder, "flat/*_sat.tif", "flat/7*.tif")) == 2


def test_remote_files_are_taken_as_they_are():
    (match,) = find_files(["https://example.org/a/b.tif"], "root", option="images")
    assert (match.path, match.key, match.id) == ("https://example.org/a/b.tif", ("b",), "b")


def test_absolute_patterns_ignore_the_root(folder: Path):
    (match,) = find_files([f"{folder}/flat/*_sat.tif"], "elsewhere", option="images")
    assert (match.key, match.id) == (("7",), "7_sat")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("flat", "is a folder; say which files, such as 'flat/\\*.tif'"),
        ("nothing", "the folder '.*nothing' is empty"),
        ("nothing/*.tif", "nothing matches '.*'; '.*nothing' exists, but it is empty"),
        ("flat/*.jp2", "exists, but it holds 7_mask.tif, 7_sat.tif, 7_sat.tif.aux.xml"),
        ("no/*.tif", "because there is no folder '.*no'"),
        ("flat/none.tif", "there is no file '.*none.tif'"),
    ],
)
def test_a_pattern_without_a_match_says_what_is_there(folder: Path, pattern: str, message: str):
    with pytest.raises(DataError, match=f"'images': .*{message}"):
        found(folder, pattern)


DATED = (
    *(
        "site_1/S2_20200101.tif",
        "site_1/S2_2020-06-01.tif",
        "site_2/S2_2020_01_01.tif",
        "site_1/S2_label.tif",
    ),
    *("cube/CB_022_2019-06-10_2019-06-25_EVI.tif", "cube/CB_022_2019-07-10_2019-07-25_EVI.tif"),
    *("folders/2020-01-01/a.tif", "folders/2020-01-01/b.tif", "alone/2020-01-01.tif", "2020-02-03.tif"),
)


@pytest.fixture
def dated(tmp_path: Path) -> Path:
    for name in DATED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "key", "name", "days"),
    [
        ("site_*/S2_{date}.tif", ("1",), "site_1/S2", ["2020-06-01", "2020-01-01"]),
        ("site_1/*_{date}.tif", ("S2",), "S2", ["2020-06-01", "2020-01-01"]),
        ("site_2/S2_{date}.tif", ("site_2/S2",), "S2", ["2020-01-01"]),
        ("site_1/S2_{date}", ("site_1/S2",), "S2", ["2020-06-01", "2020-01-01"]),
        ("cube/CB_*_{date}_{any}_EVI.tif", ("022",), "CB_022_EVI", ["2019-06-10", "2019-07-10"]),
        ("cube/CB_*_{any}_{date}*.tif", ("022", "_EVI"), "CB_022_EVI", ["2019-06-25", "2019-07-25"]),
        ("cube/{any}_{date}_{any}.tif", ("cube",), "", ["2019-06-10", "2019-07-10"]),
        ("folders/{date}/*.tif", ("a",), "a", ["2020-01-01", "2020-01-01"]),
        ("folders/{date}/{any}*.tif", ("a",), "a", ["2020-01-01", "2020-01-01"]),
        ("alone/{date}.tif", ("alone",), "", ["2020-01-01"]),
    ],
)
def test_a_date_belongs_to_no_key_and_no_id(
    dated: Path, pattern: str, key: tuple[str, ...], name: str, days: list[str]
):
    matches = find_files([pattern], str(dated), option="images")
    own = [
        match
        for match in matches
        if match.path.startswith(str(dated / pattern.split("/")[0].replace("*", "1")))
    ]
    assert (own[0].key, own[0].id) == (key, name)
    assert [str(match.day) for match in own] == days


def test_text_that_says_nothing_is_left_out_without_dates_too(dated: Path):
    matches = find_files(["site_*/S2_{any}l.tif"], str(dated), option="labels")
    assert [(match.key, match.id, match.day) for match in matches] == [(("1",), "site_1/S2_l", None)]


@pytest.mark.parametrize("name", ["S2_20201301.tif", "S2_2020.tif", "S2_120200101.tif"])
def test_a_file_with_a_number_that_is_no_date_is_refused(dated: Path, name: str):
    (dated / "site_2" / name).touch()
    with pytest.raises(
        DataError, match=f"'.*{name}' has no date where 'site_.*' expects one, written YYYY-MM-DD"
    ):
        find_files(["site_*/S2_{date}.tif"], str(dated), option="images")


def test_a_pattern_that_finds_no_date_says_how_dates_are_written(folder: Path):
    with pytest.raises(DataError, match=r"nothing matches .*but it holds .*\{date\} stands for YYYY-MM-DD"):
        find_files(["deep/{date}.tif"], str(folder), option="images")


def test_remote_files_cannot_be_found_by_date():
    with pytest.raises(DataError, match="is remote, where files cannot be listed"):
        find_files(["https://example.org/a/{date}.tif"], None, option="images")
