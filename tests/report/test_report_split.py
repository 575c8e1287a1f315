import json
from pathlib import Path

import pytest
from run_factory import make_run

from eoseg.errors import DataError
from eoseg.report.run import read_run
from eoseg.report.split import SplitTable, read_split_table


def table_of(folder: Path, **changes: object) -> SplitTable:
    path = folder / "split.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    found = read_split_table(read_run(folder))
    assert found is not None
    return found


def test_regions_of_scenes_are_counted(tmp_path: Path) -> None:
    split = table_of(make_run(tmp_path))
    assert split.counts("train") == {"Scenes": 1, "Regions": 1, "Pixels": 3840}
    assert split.counts("test") == {"Scenes": 1, "Regions": 1, "Pixels": 2116}
    assert split.has("val")
    assert not split.is_random
    assert "with a buffer of 8 px" in split.manner


def test_chips_rows_and_images_are_counted(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    items = table_of(folder, regions=[], items={"train": ["a", "b"], "val": ["c"], "test": []})
    assert [sum(items.counts(name).values()) for name in ("train", "val", "test")] == [2, 1, 0]
    assert not items.has("test")
    images = table_of(folder, method="torchgeo:EuroSATDataModule", images={"train": 3000, "test": 10})
    assert images.counts("train") == {"Chips, rows or images": 3000}
    assert images.manner == "the one of torchgeo's EuroSATDataModule"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("random", "figures flatter"),
        ("files", "whole scenes"),
        ("groups", "whole groups"),
        ("x", "method 'x'"),
    ],
)
def test_the_method_is_said_in_words(tmp_path: Path, method: str, words: str) -> None:
    split = table_of(make_run(tmp_path), method=method)
    assert words in split.manner
    assert split.is_random == (method == "random")


def test_a_buffer_that_is_not_known_is_no_number(tmp_path: Path) -> None:
    assert "with a buffer, so" in table_of(make_run(tmp_path), parameters={}).manner


def test_a_split_without_a_part_says_so(tmp_path: Path) -> None:
    split = table_of(make_run(tmp_path), regions=[])
    assert split.counts("test") == {"Scenes": 0, "Regions": 0, "Pixels": 0}
    assert not split.has("test")


def test_other_files_are_no_split(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "split.json").write_text('{"method": "blocks", "regions": [{"scene": "a"}]}')
    with pytest.raises(DataError, match=r"split\.json' is not a split of eoseg"):
        read_split_table(read_run(folder))
    (folder / "split.json").unlink()
    assert read_split_table(read_run(folder)) is None
