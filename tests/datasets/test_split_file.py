from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scene_factory import make_data, reader_of

from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.leakage_scenes import ground_of
from eoseg.datasets.split_file import Split, read_split
from eoseg.datasets.splits import make_split
from eoseg.datasets.survey import survey_labels
from eoseg.errors import DataError


def split_of(source: SceneSource, chip_size: int = 16, **options: Any) -> Split:
    reader, config = reader_of(source), SplitConfig(**options)
    survey = survey_labels(reader, chip_size=chip_size, block_size=config.block_size)
    return make_split(reader.index, survey, config, chip_size=chip_size)


def test_a_changed_split_is_refused(tmp_path: Path):
    source = make_data(tmp_path, {"a": (150, 150)})
    text = split_of(source).to_json()
    path = tmp_path / "split.json"
    path.write_text(text.replace('"val"', '"test"', 1))
    with pytest.raises(DataError, match="was changed: its SHA-256 says"):
        read_split(path, reader_of(source).index)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not a split of eoseg"), ("[]", "is not a split of eoseg"), ("{}", "is not a split of eoseg")],
)
def test_a_file_that_is_no_split_is_refused(tmp_path: Path, text: str, message: str):
    source = make_data(tmp_path, {"a": (20, 20)})
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_split(path, reader_of(source).index)
    with pytest.raises(DataError, match="There is no file"):
        read_split(tmp_path / "no.json", reader_of(source).index)


def test_a_split_of_other_data_is_refused(tmp_path: Path):
    split = split_of(make_data(tmp_path / "one", {"a": (150, 150)}))
    path = tmp_path / "split.json"
    path.write_text(split.to_json())
    with pytest.raises(DataError, match="There is no scene 'a'"):
        read_split(path, reader_of(make_data(tmp_path / "two", {"b": (150, 150)})).index)
    with pytest.raises(DataError, match="has a region outside the scene 'a'"):
        read_split(path, reader_of(make_data(tmp_path / "three", {"a": (50, 50)})).index)


def test_overlapping_regions_are_refused(tmp_path: Path):
    source = make_data(tmp_path, {"a": (50, 50)})
    split = split_of(source, test=0.0)
    doubled = Split(split.method, split.seed, split.parameters, (*split.regions, split.regions[0]))
    (tmp_path / "split.json").write_text(doubled.to_json())
    with pytest.raises(DataError, match="overlapping regions of train in the scene 'a'"):
        read_split(tmp_path / "split.json", reader_of(source).index)


def test_ground_that_two_splits_share_is_left_to_the_audit(tmp_path: Path):
    source = make_data(tmp_path, {"a": (50, 50)})
    split = split_of(source, test=0.0)
    first = next(region for region in split.regions if region.split == "train")
    shared = Split(split.method, split.seed, split.parameters, (*split.regions, replace(first, split="val")))
    (tmp_path / "split.json").write_text(shared.to_json())
    index = reader_of(source).index
    assert read_split(tmp_path / "split.json", index).regions == shared.regions
    (entry,), _ = ground_of(index, shared).plan.shared(ground_of(index, shared).splits)
    assert entry.share == pytest.approx(1)
