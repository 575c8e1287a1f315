from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chip_factory import KINDS, chips_of, make_folders

from eoseg.datasets.chip_list import ChipFileSource, find_chips
from eoseg.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chips")
    make_folders(path, {"crop": 2, "lake": 2, "town": 1})
    return path


def with_table(folder: Path, tmp_path: Path, text: str, **options: Any) -> ChipFileSource:
    """The chips of `folder` with a label table of their own."""
    table = tmp_path / "labels.csv"
    table.write_text(text)
    return chips_of(folder, labels=str(table), **options)


FILES = ["crop/crop_0.png", "crop/crop_1.png", "lake/lake_0.png", "lake/lake_1.png", "town/town_0.png"]


def test_the_folder_is_the_class(folder: Path):
    found = find_chips(chips_of(folder))
    assert list(found.files) == FILES
    assert found.labels.tolist() == [0, 0, 1, 1, 2]
    assert found.groups is None


def test_the_folder_is_known_without_a_root_and_from_within(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder / "lake")
    found = find_chips(ChipFileSource("*.png", KINDS))
    assert found.labels.tolist() == [1, 1]


def test_a_class_may_have_another_name_than_its_folder(folder: Path):
    classes = {"Town": "town", "Open land": {"value": ["crop", "lake"], "color": "#00FF00"}}
    assert find_chips(chips_of(folder, classes=classes)).labels.tolist() == [1, 1, 1, 1, 0]


def test_an_unknown_folder_is_one_clear_line(folder: Path):
    with pytest.raises(DataError, match="folders are the classes.* no class: 'town'"):
        find_chips(chips_of(folder, classes=["crop", "lake"]))


@pytest.mark.parametrize("name", ["{0}/{0}_{1}.png", "{0}_{1}.png", "{0}_{1}"])
def test_a_table_may_name_paths_names_or_stems(folder: Path, tmp_path: Path, name: str):
    rows = [f"town,{name.format(kind, number)}" for kind, number in
            (("town", 0), ("lake", 0), ("lake", 1), ("crop", 0))]  # fmt: skip
    text = "\n".join(["label,file", *rows, f"lake,{name.format('crop', 1)}", ""])
    assert find_chips(with_table(folder, tmp_path, text)).labels.tolist() == [2, 1, 2, 2, 2]


def test_several_labels_are_divided_by_semicolon_or_bar(folder: Path, tmp_path: Path):
    text = "file,label\ncrop_0,crop;lake\ncrop_1,lake | town\nlake_0,\nlake_1,lake\ntown_0,crop|lake|town\n"
    found = find_chips(with_table(folder, tmp_path, text, multilabel=True))
    np.testing.assert_array_equal(found.labels, [[1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])


COLUMNS = "file,town,crop,lake\ncrop_0,0,1,0\ncrop_1,0,1,0\nlake_0,0,0,1\nlake_1,0,0,1\ntown_0,1,0,0\n"


def test_a_column_for_each_class(folder: Path, tmp_path: Path):
    found = find_chips(with_table(folder, tmp_path, COLUMNS))
    assert found.labels.tolist() == [0, 0, 1, 1, 2]
    several = find_chips(with_table(folder, tmp_path, COLUMNS.replace("1,0,0", "1,1,0"), multilabel=True))
    assert several.labels[4].tolist() == [1, 0, 1]


def test_groups_come_from_the_path_or_from_a_column(folder: Path, tmp_path: Path):
    assert find_chips(chips_of(folder, groups="_([0-9])")).groups == ("0", "1", "0", "1", "0")
    assert find_chips(chips_of(folder, groups="^[a-z]+")).groups == ("crop", "crop", "lake", "lake", "town")
    rows = "\n".join(f"{Path(file).stem},crop,s{number % 2}" for number, file in enumerate(FILES))
    found = find_chips(with_table(folder, tmp_path, f"file,label,scene\n{rows}\n", groups="scene"))
    assert found.groups == ("s0", "s1", "s0", "s1", "s0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\ncrop_0,crop\n", "needs a column 'file' .*; found name, label"),
        ("", "found no rows"),
        ("file,label\ncrop_0,crop\n", "no row for 4 of 5 chips \\(first: 'crop/crop_1.png'\\)"),
        ("file,label\ncrop_0,crop\ncrop_0,lake\n", "2 rows for 'crop_0'"),
        (
            "file,label\ncrop_0,crop\ncrop_1,\nlake_0,lake\nlake_1,lake\ntown_0,town\n",
            "no label for 1 chips .*crop_1",
        ),
        (
            "file,label\ncrop_0,crop;lake\ncrop_1,crop\nlake_0,lake\nlake_1,lake\ntown_0,town\n",
            "multilabel: true",
        ),
        (
            "file,label\ncrop_0,crops\ncrop_1,crop\nlake_0,lake\nlake_1,lake\ntown_0,town\n",
            "Did you mean 'crop'",
        ),
        (COLUMNS.replace("town", "twn", 1), "a column 'label', or one for each class; 'town' is not"),
        (COLUMNS.replace("town_0,1", "town_0,2"), "has '2' in the column 'town'; expected 0 or 1"),
        (COLUMNS.replace("town_0,1", "town_0,0"), "gives 'town/town_0.png' 0 classes; expected one"),
    ],
)
def test_a_wrong_table_is_one_clear_line(folder: Path, tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError, match=message) as caught:
        find_chips(with_table(folder, tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_name_that_stands_for_two_files_is_refused(tmp_path: Path):
    make_folders(tmp_path, {"crop": 1})
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "crop_0.png").write_bytes((tmp_path / "crop" / "crop_0.png").read_bytes())
    source = with_table(tmp_path, tmp_path, "file,label\ncrop_0.png,crop\n")
    with pytest.raises(DataError, match="may be 'crop/crop_0.png' or 'lake/crop_0.png'"):
        find_chips(source)


def test_missing_files_are_named(folder: Path):
    with pytest.raises(DataError, match="There is no file .*none.csv"):
        find_chips(chips_of(folder, labels="none.csv"))
    with pytest.raises(DataError, match="nothing matches"):
        find_chips(chips_of(folder, images="*/*.jpg"))


def test_groups_that_fit_nothing_are_refused(folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match="groups 'sceen' does not match the path 'crop/crop_0.png'"):
        find_chips(chips_of(folder, groups="sceen"))
    rows = "\n".join(f"{Path(file).stem},crop,s1" for file in FILES)
    with pytest.raises(DataError, match="Did you mean 'scene'"):
        find_chips(with_table(folder, tmp_path, f"file,label,scene\n{rows}\n", groups="sceen"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": ""}, "'images' names no file"),
        ({"images": ["*.png", ""]}, "'images' names no file"),
        ({"classes": ["crop"]}, "at least 2 classes"),
        ({"multilabel": True}, "multilabel needs 'labels'"),
        ({"groups": "("}, "no regular expression"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        ChipFileSource(**{"images": "*.png", "classes": KINDS, **options})
