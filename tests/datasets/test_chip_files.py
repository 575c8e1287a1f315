import json
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from chip_factory import KINDS, chip_data, make_folders, write_chip
from lightning.pytorch import Trainer

from eoseg.batch import Batch
from eoseg.datasets.chip_files import ChipFileData
from eoseg.datasets.chip_list import ChipFileSource
from eoseg.datasets.config import AugmentConfig, AugmentStep
from eoseg.datasets.grouping import ItemSplitConfig
from eoseg.errors import ConfigError, DataError
from eoseg.models import MODELS
from eoseg.models.pixelwise import chip_softmax_regression
from eoseg.tasks.classification import ClassificationTask
from eoseg.tasks.optim import OptimizerConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chips")
    make_folders(path, {"crop": 10, "lake": 10, "town": 5})
    return path


def everything(loader: Any) -> list[Batch]:
    return cast(list[Batch], list(loader))


def test_the_schema_comes_from_the_first_file(folder: Path):
    data = chip_data(folder)
    assert data.schema.bands == data.schema.file_bands == ("red", "green", "blue")
    assert data.schema.class_names == KINDS
    assert data.schema.time == "single"
    assert not data.schema.multilabel
    assert data.chip_size == 8
    named = chip_data(folder, band_names=["a", "b", "c"], bands=["c", "a"])
    assert named.schema.bands == ("c", "a")
    assert named.schema.file_bands == ("a", "b", "c")


def test_batches_hold_the_right_image_beside_the_right_class(folder: Path):
    data = chip_data(folder, batch_size=4)
    batches = everything(data.train_dataloader())
    assert sum(len(batch["id"]) for batch in batches) == 15
    for batch in batches:
        assert batch["image"].shape[1:] == (3, 8, 8)
        assert batch["image"].dtype == torch.float32
        assert batch["valid"].all()
        for image, label, name in zip(batch["image"], batch["label"], batch["id"], strict=True):
            kind, number = Path(name).stem.split("_")
            assert label == KINDS.index(kind)
            assert image[0, 0, 0] == {"crop": 1, "lake": 11, "town": 21}[kind] + int(number)


def test_each_chip_is_evaluated_once(folder: Path):
    data = chip_data(folder, batch_size=4)
    for stage, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        names = [name for batch in everything(loader) for name in batch["id"]]
        assert sorted(names) == sorted(data.chip_list.files[place] for place in data.split.of(stage))
        assert data.has(stage)


def test_statistics_are_those_of_the_training_chips_alone(folder: Path):
    data = chip_data(folder)
    held = [place + 1 for place in data.split.of("train").tolist()]  # what the first band holds
    first, second, _ = data.statistics.bands
    assert first.mean == pytest.approx(np.mean(held))
    assert first.std == pytest.approx(np.std(held))
    assert (first.minimum, first.maximum) == (min(held), max(held))
    assert second.mean == pytest.approx(np.mean(held) + 1)
    assert data.statistics.class_pixels == (6, 6, 3)
    assert data.statistics.pixels == data.statistics.valid_pixels == 15 * 64
    assert data.statistics.dtype == "uint8"


def test_nodata_is_left_out_of_the_statistics(tmp_path: Path):
    for kind, value in (("crop", 0), ("lake", 100), ("town", 100)):
        write_chip(tmp_path / kind / "a.png", value, bands=1)
    data = chip_data(tmp_path, nodata=0, split=ItemSplitConfig("files", val=[], test=[]))
    assert data.statistics.bands[0].mean == 100
    assert data.statistics.nodata_share == pytest.approx(1 / 3)
    assert data.schema.nodata == 0
    data = chip_data(tmp_path, nodata=100, split=ItemSplitConfig("files", val=["crop/*"], test=[]))
    with pytest.raises(DataError, match="training chips hold no valid pixel"):
        _ = data.statistics


def test_groups_stay_together(folder: Path):
    data = chip_data(folder, groups="_([0-9])")
    numbers = {
        Path(name).stem.split("_")[1] for name in np.array(data.chip_list.files)[data.split.of("train")]
    }
    others = {Path(name).stem.split("_")[1] for name in np.array(data.chip_list.files)[data.split.of("test")]}
    assert numbers
    assert others
    assert not numbers & others
    assert data.split_record["method"] == "groups"


def test_several_labels(folder: Path, tmp_path: Path):
    rows = [f"{file},{'crop;lake' if number % 2 else 'town'}" for number, file in
            enumerate(chip_data(folder).chip_list.files)]  # fmt: skip
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file,label", *rows]))
    data = chip_data(folder, labels=str(table), multilabel=True)
    batch = next(iter(data.val_dataloader()))
    assert data.schema.multilabel
    assert batch["label"].shape == (len(batch["id"]), 3)
    assert {tuple(row) for row in batch["label"].tolist()} == {(1, 1, 0), (0, 0, 1)}
    assert sum(data.statistics.class_pixels[1:]) == 15  # lake or town, each training chip one


def test_workers_read_the_same_batches(folder: Path):
    alone, shared = (chip_data(folder, num_workers=workers).train_dataloader() for workers in (0, 1))
    for one, other in zip(everything(alone), everything(shared), strict=True):
        assert one["id"] == other["id"]
        assert torch.equal(one["image"], other["image"])


def test_the_seed_draws_another_order(folder: Path):
    one, other = (chip_data(folder, seed=seed) for seed in (0, 1))
    assert one.split.sha256 == other.split.sha256
    assert next(iter(one.train_dataloader()))["id"] != next(iter(other.train_dataloader()))["id"]


def test_what_the_run_must_remember_is_written(folder: Path, tmp_path: Path):
    data = chip_data(folder)
    data.prepare_data()  # without a run folder nothing is written
    data.run_folder = tmp_path / "run"
    data.prepare_data()
    split = json.loads((data.run_folder / "split.json").read_text())
    assert split["sha256"] == data.split_record["sha256"]
    statistics = json.loads((data.run_folder / "statistics.json").read_text())
    assert statistics["class_pixels"] == [6, 6, 3]
    again = chip_data(folder, split=ItemSplitConfig(path=str(data.run_folder / "split.json")))
    assert np.array_equal(again.split.numbers, data.split.numbers)


def test_panels_show_the_same_chips_each_time(folder: Path):
    data = chip_data(folder)
    batch = data.panel_chips("val", 3)
    assert len(batch["id"]) == 3
    assert batch["id"] == data.panel_chips("val", 3)["id"]
    assert len(data.panel_chips("val", 99)["id"]) == 5
    with pytest.raises(ConfigError, match="5 val items, 0 were asked for"):
        data.panel_chips("val", 0)


def test_a_split_without_share_has_no_chips(folder: Path):
    data = chip_data(folder, split=ItemSplitConfig(val=0.0, test=0.2))
    assert data.val_dataloader() == []
    assert not data.has("val")


class Trained:
    """What the datamodule asks of a trainer."""

    training = True
    current_epoch = 0
    global_rank = 0
    world_size = 1
    fit_loop = MagicMock(**{"epoch_loop.batch_progress.current.ready": 0})


def test_only_training_chips_are_augmented(folder: Path):
    step = AugmentStep("RandomBrightness", {"brightness": [1.5, 1.5], "p": 1.0})
    data = chip_data(folder, augment=AugmentConfig(flips_and_rotations=False, more=[step]))
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    trainer = Trained()
    data.trainer = cast(Trainer, trainer)
    changed = data.on_after_batch_transfer(batch, 0)
    assert not torch.equal(changed["image"], batch["image"])
    assert torch.equal(changed["label"], batch["label"])
    trainer.training = False
    assert data.on_after_batch_transfer(batch, 0) is batch


@pytest.mark.parametrize(("option", "value"), [("batch_size", 0), ("num_workers", -1), ("seed", -1)])
def test_numbers_out_of_range_are_refused(folder: Path, option: str, value: int):
    with pytest.raises(ConfigError, match=f"data.{option} must be at least"):
        chip_data(folder, **{option: value})


def test_chips_must_be_square_and_of_one_size(tmp_path: Path):
    make_folders(tmp_path, {"crop": 3, "lake": 3})
    write_chip(tmp_path / "lake" / "lake_2.png", 1, size=9)
    with pytest.raises(DataError, match="lake_2.png' 9 x 9"):
        _ = chip_data(tmp_path).statistics
    for path in tmp_path.glob("*/*.png"):
        write_chip(path, 1, size=8, width=12)
    with pytest.raises(DataError, match="must be square; .*crop_0.png' has 8 x 12 px"):
        _ = chip_data(tmp_path).chip_size


def test_a_class_without_chips_is_warned_of(folder: Path, caplog: pytest.LogCaptureFixture):
    _ = chip_data(folder, classes=[*KINDS, "forest"]).split
    assert "There is no item of forest." in caplog.text


def test_a_network_learns_to_tell_the_folders_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(MODELS["classification"], "linear", chip_softmax_regression)
    for kind, value in (("crop", 20), ("lake", 120), ("town", 220)):
        for number in range(10):
            write_chip(tmp_path / kind / f"{number}.png", value + number)
    data = chip_data(tmp_path, batch_size=6)
    task = ClassificationTask(data.schema, data.chip_size, arch="linear", optimizer=OptimizerConfig(lr=0.02))
    trainer = Trainer(
        max_epochs=30,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )
    trainer.fit(task, datamodule=data)
    trainer.test(task, datamodule=data, verbose=False)
    assert trainer.callback_metrics["test/oa"] == 1.0


@pytest.mark.real
def test_eurosat_has_its_thousand_chips_of_each_class(real_data: Path):
    root = real_data / "eurosat_rgb"
    kinds = sorted(path.name for path in (root / "train").iterdir())
    source = ChipFileSource("*/*/*.jpg", kinds, root=str(root))
    data = ChipFileData(source, split=ItemSplitConfig("files", val=["val/*"], test=[]))
    assert data.schema.bands == ("red", "green", "blue")
    assert data.chip_size == 64
    labels = data.chip_list.labels
    assert np.bincount(labels[data.split.of("train")]).tolist() == [900] * 10
    assert np.bincount(labels[data.split.of("val")]).tolist() == [100] * 10
    image, valid = data.store.read(np.array([0, 9999]))
    assert valid.all()
    assert 0 < image.mean() < 255


def test_chips_with_a_crs_have_the_places_of_their_middles(tmp_path: Path):
    for number, kind in enumerate(("crop", "lake", "town")):
        for chip in range(3):
            path = tmp_path / kind / f"{kind}_{chip}.tif"
            write_chip(path, chip, size=8, origin=(5e5 - 40 + 1000 * number, 5.4e6))
    data = chip_data(tmp_path, images="*/*.tif")
    first, second = data.places(["crop/crop_0.tif", "lake/lake_0.tif"])
    assert first is not None
    assert second is not None
    assert first[0] == pytest.approx(9.0, abs=1e-9)  # 8 px of 10 m around the central meridian
    assert second[0] > first[0]
