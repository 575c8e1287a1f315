import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_factory import (
    dated_image,
    heights,
    make_data,
    make_pairs,
    make_series,
    make_values,
    position_image,
    reader_of,
    source_of,
    striped_labels,
)

from eoseg.datasets.chips import ChipDataset, ChipItem, chip_in, collate, grid_chips
from eoseg.datasets.splits import Region
from eoseg.datasets.survey import LabelSurvey, survey_labels
from eoseg.errors import DataError
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

EVERYWHERE = LabelSurvey(8, {"a": np.ones((9, 9, 1), np.int64)}, 0)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 50), st.integers(1, 50), st.integers(8, 30))
@settings(deadline=None)
def test_the_grid_counts_every_pixel_of_a_region_once(row: int, col: int, height: int, width: int, size: int):
    area = Window(row, col, height, width)
    counted = np.zeros((height, width), int)
    for chip in grid_chips([Region("a", area, "val")], chip_size=size, survey=EVERYWHERE):
        assert (chip.window.height, chip.window.width) == (size, size)
        assert area.contains(chip.counted)
        assert chip.window.contains(chip.counted)
        if height >= size and width >= size:
            assert area.contains(chip.window)  # moved back rather than filled up
        counted[chip.counted.slices_in(area)] += 1
    assert (counted == 1).all()


def test_chips_without_any_label_are_left_out():
    cells = np.zeros((8, 8, 2), np.int64)
    cells[5, 2, 1] = 3
    survey = LabelSurvey(8, {"a": cells}, 0)
    chips = grid_chips([Region("a", Window(0, 0, 64, 64), "val")], chip_size=16, survey=survey)
    assert [chip.id for chip in chips] == ["a@32,16"]


def test_a_chip_holds_what_the_files_hold(tmp_path: Path):
    reader = reader_of(make_data(tmp_path, {"a": (40, 50)}))
    chip = chip_in(Region("a", Window(0, 0, 40, 50), "train"), 7, 11, 16)
    item = ChipDataset(reader)[chip]
    np.testing.assert_array_equal(item["image"], position_image(40, 50)[:, 7:23, 11:27])
    np.testing.assert_array_equal(item["mask"], striped_labels(40, 50)[7:23, 11:27])
    assert item["valid"].all()
    assert item["id"] == "a@7,11"
    assert (item["image"].dtype, item["valid"].dtype, item["mask"].dtype) == (
        torch.float32,
        torch.bool,
        torch.int64,
    )


def test_nothing_outside_the_region_is_seen(tmp_path: Path):
    reader = reader_of(make_data(tmp_path, {"a": (40, 50)}))
    item = ChipDataset(reader)[chip_in(Region("a", Window(10, 10, 12, 9), "train"), 10, 10, 16)]
    seen = np.zeros((16, 16), bool)
    seen[:12, :9] = True
    np.testing.assert_array_equal(item["valid"], seen)
    assert (item["image"].numpy()[:, ~seen] == 0).all()
    assert (item["mask"].numpy()[~seen] == IGNORE).all()
    assert (item["mask"].numpy()[seen] != IGNORE).all()


def test_invalid_pixels_have_no_label(tmp_path: Path):
    image = position_image(20, 20)
    image[:, 3:6, 2] = 0
    reader = reader_of(make_data(tmp_path, {"a": (20, 20)}, images={"a": image}, nodata=0))
    item = ChipDataset(reader)[chip_in(Region("a", Window(0, 0, 20, 20), "train"), 0, 0, 16)]
    assert (~item["valid"]).sum() == 3
    assert (item["mask"][~item["valid"]] == IGNORE).all()


def test_chips_are_put_together_in_a_batch(tmp_path: Path):
    reader = reader_of(make_data(tmp_path, {"a": (20, 20)}))
    chips = grid_chips(
        [Region("a", Window(0, 0, 20, 20), "val")], chip_size=16, survey=survey_labels(reader, chip_size=16)
    )
    batch = collate([ChipDataset(reader)[chip] for chip in chips])
    assert batch["image"].shape == (4, 2, 16, 16)
    assert batch["valid"].shape == batch["mask"].shape == (4, 16, 16)
    assert batch["id"] == ["a@0,0", "a@0,4", "a@4,0", "a@4,4"]
    assert (batch["mask"] != IGNORE).sum() == 400  # each pixel counts once


def test_a_chip_of_a_pair_has_two_dates(tmp_path: Path):
    reader = reader_of(make_pairs(tmp_path, {"a": (40, 50)}))
    item = ChipDataset(reader)[chip_in(Region("a", Window(0, 0, 40, 50), "train"), 7, 11, 16)]
    expected = np.stack([dated_image(40, 50, step)[:, 7:23, 11:27] for step in range(2)])
    np.testing.assert_array_equal(item["image"], expected)
    np.testing.assert_array_equal(item["valid"], expected[:, 0] != 0)
    both = (expected[:, 0] != 0).all(axis=0)
    np.testing.assert_array_equal(item["mask"], np.where(both, striped_labels(40, 50)[7:23, 11:27], IGNORE))
    assert set(item) == {"image", "valid", "mask", "id"}


def test_a_chip_of_a_series_has_its_days_and_nothing_from_outside_the_region(tmp_path: Path):
    reader = reader_of(make_series(tmp_path, {"a": (40, 50)}))
    item = ChipDataset(reader)[chip_in(Region("a/S2", Window(10, 10, 12, 9), "train"), 10, 10, 16)]
    assert (item["image"].shape, item["valid"].shape) == ((3, 2, 16, 16), (3, 16, 16))
    assert item["days"].tolist() == [61, 153, 1]
    assert item["days"].dtype == torch.float32
    seen = np.zeros((16, 16), bool)
    seen[:12, :9] = True
    assert not item["valid"].numpy()[:, ~seen].any()
    assert (item["image"].numpy()[:, :, ~seen] == 0).all()
    np.testing.assert_array_equal(item["mask"].numpy() != IGNORE, seen)  # some date sees every pixel


def test_a_chip_of_a_quantity_has_values(tmp_path: Path):
    reader = reader_of(make_values(tmp_path, {"a": (20, 30)}))
    chip = chip_in(Region("a", Window(0, 0, 20, 30), "train"), 0, 0, 16)
    item = ChipDataset(reader)[dataclasses.replace(chip, counted=Window(0, 0, 16, 10))]
    expected = heights(20, 30)[:16, :16]
    expected[(expected == -9999) | (position_image(20, 30)[:, :16, :16] == 1).any(axis=0)] = np.nan
    expected[:, 10:] = np.nan  # counted by another chip
    np.testing.assert_array_equal(item["value"], expected)
    assert item["value"].dtype == torch.float32
    assert set(item) == {"image", "valid", "value", "id"}


def test_days_and_values_are_put_together_too(tmp_path: Path):
    reader = reader_of(make_series(tmp_path, {"a": (40, 50)}))
    region = Region("a/S2", Window(0, 0, 40, 50), "train")
    batch = collate([ChipDataset(reader)[chip_in(region, row, 0, 16)] for row in (0, 16)])
    assert (batch["image"].shape, batch["days"].shape) == ((2, 3, 2, 16, 16), (2, 3))
    assert batch["days"][1].tolist() == [61, 153, 1]


def test_chips_of_mixed_size_are_refused():
    def item(name: str, size: int) -> ChipItem:
        image, valid = torch.zeros(3, size, size), torch.ones(size, size, dtype=torch.bool)
        return {"image": image, "valid": valid, "label": torch.tensor(1), "id": name}

    assert collate([item("a", 8), item("b", 8)])["label"].tolist() == [1, 1]
    with pytest.raises(
        DataError,
        match="'a' holds image 3 x 8 x 8, valid 8 x 8, label .one., 'b' image 3 x 9 x 9, .* to one size",
    ):
        collate([item("a", 8), item("b", 9)])


def test_a_chip_outside_its_region_is_refused():
    with pytest.raises(DataError, match="outside its region of the scene 'a'"):
        chip_in(Region("a", Window(0, 0, 10, 10), "train"), 10, 0, 8)


def test_chips_of_scenes_without_labels_hold_no_labels(tmp_path: Path):
    make_data(tmp_path, {"a": (20, 20)})
    dataset = ChipDataset(reader_of(source_of(tmp_path, labels=None, classes=None)))
    item = dataset[chip_in(Region("a", Window(0, 0, 20, 20), "train"), 2, 3, 8)]
    assert set(item) == {"image", "valid", "id"}
    assert item["image"][0, 0, 0] == 3
    assert set(collate([item, item])) == {"image", "valid", "id"}
