"""What every datamodule promises to tasks, command line and dashboard."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chip_factory import chip_data, make_folders
from scene_factory import make_data, make_pairs, make_series
from table_factory import table_of, write_arrays

from eoseg.batch import Batch
from eoseg.datasets.base import EOData
from eoseg.datasets.config import SplitConfig
from eoseg.datasets.datamodule import SceneData
from eoseg.datasets.grouping import ItemSplitConfig
from eoseg.datasets.tables import TableData
from eoseg.errors import ConfigError

RANDOM = ItemSplitConfig(method="random", val=0.3, test=0.3)
FILES = SplitConfig(method="files", val=["b*"], test=["c*"])
SIZES = dict.fromkeys(("a", "b", "c"), (32, 32))


def scenes(folder: Path) -> EOData:
    return SceneData(make_data(folder, SIZES), chip_size=16, batch_size=2, split=FILES)


def pairs(folder: Path) -> EOData:
    return SceneData(make_pairs(folder, SIZES), chip_size=16, batch_size=2, split=FILES)


def series(folder: Path) -> EOData:
    return SceneData(make_series(folder, SIZES), chip_size=16, batch_size=2, split=FILES)


def chips(folder: Path) -> EOData:
    make_folders(folder, {"crop": 6, "lake": 6, "town": 6})
    return chip_data(folder, split=RANDOM, batch_size=2)


def table(folder: Path) -> EOData:
    folder.mkdir(exist_ok=True)
    write_arrays(folder)
    return TableData(table_of(folder), batch_size=2, split=RANDOM)


MAKERS = (scenes, pairs, series, chips, table)
DATES = {pairs: (2,), series: (3,)}


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Callable[[Path], EOData]:
    return request.param


@pytest.fixture
def data(make: Callable[[Path], EOData], tmp_path: Path) -> EOData:
    return make(tmp_path)


def check(batch: Batch, data: EOData, dates: tuple[int, ...]) -> None:
    count, bands, size = len(batch["id"]), len(data.schema.bands), data.chip_size
    assert batch["image"].shape == (count, *dates, bands, size, size)
    assert batch["valid"].shape == (count, *dates, size, size)
    assert batch["valid"].dtype == torch.bool
    target = batch["label"] if "label" in batch else batch["mask"]
    assert target.dtype == torch.int64
    assert target.shape == ((count,) if "label" in batch else (count, size, size))
    assert ("days" in batch) == (data.schema.time == "series")


def test_facts_and_batches_fit_together(data: EOData, make: Callable[[Path], EOData]) -> None:
    dates = DATES.get(make, ())
    assert isinstance(data, EOData)
    assert data.schema.steps == (dates or (1,))[0]
    assert tuple(band.name for band in data.statistics.bands) == data.schema.bands
    assert len(data.statistics.class_pixels) == len(data.schema.classes)
    assert {"method", "sha256"} <= set(data.split_record)
    for stage, loader in (("train", data.train_dataloader()), ("val", data.val_dataloader())):
        assert data.has(stage)
        batch = next(iter(loader))
        assert len(batch["id"]) <= data.batch_size
        check(batch, data, dates)
    check(data.panel_chips("val", 3), data, dates)


def test_the_same_configuration_and_files_give_the_same_everywhere(
    make: Callable[[Path], EOData], tmp_path: Path
) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    assert first.split_record["sha256"] == second.split_record["sha256"]
    assert first.statistics == second.statistics
    assert [batch["id"] for batch in first.train_dataloader()] == [
        batch["id"] for batch in second.train_dataloader()
    ]


def test_validation_and_test_give_each_sample_once(data: EOData) -> None:
    seen = [
        name for loader in (data.val_dataloader(), data.test_dataloader()) for b in loader for name in b["id"]
    ]
    assert seen
    assert len(set(seen)) == len(seen)


def test_names_and_places_are_what_lineage_and_captions_ask_for(tmp_path: Path):
    data = scenes(tmp_path / "scenes")
    assert data.data_name == "scenes"
    # Scene a begins 500 km east, on the central meridian of its zone; a chip is 16 px wide.
    (left, right) = data.places(["a@0,-8", "a@0,0"])
    assert left is not None
    assert right is not None
    assert left[0] == pytest.approx(9.0, abs=1e-9)
    assert right[0] > 9.0
    assert left[1] == pytest.approx(48.75, abs=0.01)


def test_chips_without_place_and_tables_have_none(tmp_path: Path):
    held = chips(tmp_path / "chips")
    assert held.places(["crop/crop_0.png"]) == [None]
    write_arrays(tmp_path)
    table = TableData(table_of(tmp_path, "pixels.npz"))
    assert table.places(["pixels.npz@3"]) == [None]


def test_files_and_members_of_splits_are_named(data: EOData, make: Callable[[Path], EOData]) -> None:
    assert data.files()
    assert all(Path(path).is_file() for path in data.files())
    held = [set(data.members(stage)) for stage in ("train", "val", "test")]
    assert all(held)
    assert len(set.union(*held)) == sum(map(len, held))
    sizes = [data.pixels(stage) for stage in ("train", "val", "test")]
    if make in (chips, table):
        assert sizes == [len(members) for members in held]
    else:
        assert sizes == [32 * 32] * 3


def test_items_stay_together_with_their_group(tmp_path: Path) -> None:
    data = chips(tmp_path)
    name = data.members("val")[0]
    assert data.unit_of(name) == name
    grouped = chip_data(tmp_path, split=RANDOM, batch_size=2, groups="([0-9])[.]")
    assert len({grouped.unit_of(name) for name in grouped.members("val")}) <= 6
    assert grouped.unit_of(name) != name


def test_eroded_borders_are_left_out_of_evaluation_alone(tmp_path: Path) -> None:
    label = np.zeros((32, 32), np.uint8)
    label[:, 18:] = 1
    source = make_data(tmp_path, SIZES, labels=dict.fromkeys(SIZES, label))
    data = SceneData(source, chip_size=16, batch_size=2, split=FILES, border="isprs-eroded")
    batches = list(data.test_dataloader())
    known = sum(int((batch["mask"] != 255).sum()) for batch in batches)
    assert sum(int(batch["eroded"].sum()) for batch in batches) == 6 * 32  # across the chips' own border
    assert sum(int(batch["counted"].sum()) for batch in batches) == 32 * 32 == known + 6 * 32
    assert all("eroded" not in batch for batch in data.train_dataloader())
    full = SceneData(source, chip_size=16, batch_size=2, split=FILES)
    assert sum(int((batch["mask"] != 255).sum()) for batch in full.test_dataloader()) == 32 * 32


def test_borders_need_classes(tmp_path: Path) -> None:
    source = replace(make_data(tmp_path, SIZES), classes=None, quantity="height")
    with pytest.raises(ConfigError, match="borders between classes, but the data have none"):
        SceneData(source, chip_size=16, border="isprs-eroded")
