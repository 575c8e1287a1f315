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
