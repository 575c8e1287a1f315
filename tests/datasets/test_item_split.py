import json
from pathlib import Path

import numpy as np
import pytest

from eoseg.datasets.item_split import ItemSplit, read_item_split
from eoseg.errors import ConfigError, DataError

IDS = ("a", "b", "c", "d")


def example() -> ItemSplit:
    return ItemSplit("random", 3, {"val": 0.25, "test": 0.25}, IDS, np.array([0, 2, 1, -1]))


def written(folder: Path, text: str | None = None) -> str:
    path = folder / "split.json"
    path.write_text(example().to_json() if text is None else text)
    return str(path)


def test_what_is_written_is_read_again(tmp_path: Path):
    split = read_item_split(written(tmp_path), IDS, chosen={"seed": 3, "val": 0.25})
    assert split.numbers.tolist() == [0, 2, 1, -1]
    assert split.sha256 == example().sha256
    assert split.of("val").tolist() == [2]


def test_the_file_says_who_is_where(tmp_path: Path):
    values = json.loads(example().to_json())
    assert values["items"] == {"train": ["a"], "val": ["c"], "test": ["b"]}
    assert values["sha256"] == example().sha256


def test_the_hash_does_not_depend_on_the_order_of_items():
    turned = ItemSplit("random", 3, {"val": 0.25, "test": 0.25}, IDS[::-1], np.array([-1, 1, 2, 0]))
    assert turned.sha256 == example().sha256
    other = ItemSplit("random", 3, {"val": 0.25, "test": 0.25}, IDS, np.array([0, 1, 2, -1]))
    assert other.sha256 != example().sha256


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path):
    path = written(tmp_path)
    with pytest.raises(DataError, match="names 1 items that the data do not have \\(first: 'b'\\)"):
        read_item_split(path, ("a", "c", "d"), chosen={})
    with pytest.raises(ConfigError, match="split.seed is 4, but .* was made with 3"):
        read_item_split(path, IDS, chosen={"seed": 4})
    with pytest.raises(ConfigError, match="split.folds is 5, but .* was made with none"):
        read_item_split(path, IDS, chosen={"folds": 5})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a split of eoseg"),
        ("[1]", "is not a split of eoseg"),
        ('{"method": "blocks", "regions": []}', "is not a split of chip files or rows"),
        (example().to_json().replace('"seed": 3', '"seed": 4'), "was changed"),
        (example().to_json().replace('"a"', '"d"'), "was changed"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError, match=message):
        read_item_split(written(tmp_path, text), IDS, chosen={})


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="There is no file .*gone.json"):
        read_item_split(str(tmp_path / "gone.json"), IDS, chosen={})
