import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from scene_factory import heights, make_data, make_pairs, make_series, make_values, source_of, striped_labels

from eoseg.batch import Batch
from eoseg.datasets.config import AugmentConfig, AugmentStep, SplitConfig
from eoseg.datasets.datamodule import SceneData
from eoseg.errors import ConfigError, DataError
from eoseg.recipe import IGNORE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    make_data(path, {"a": (128, 160), "b": (100, 90)})
    return path


def data_of(folder: Path, **options: Any) -> SceneData:
    values: dict[str, Any] = {"batch_size": 4, "chips_per_epoch": 8}
    return SceneData(source_of(folder), 16, **{**values, **options})


def test_the_schema_needs_no_label_file(tmp_path: Path):
    make_data(tmp_path, {"a": (60, 60)}, labels={"a": np.full((60, 60), 77, np.uint8)})
    data = data_of(tmp_path)
    assert data.schema.bands == ("B1", "B2")
    with pytest.raises(DataError, match="label value 77"):
        _ = data.split


def test_training_batches_have_the_shapes_and_labels_of_their_places(folder: Path):
    data = data_of(folder)
    batches = list(data.train_dataloader())
    assert len(batches) == 2
    for batch in batches:
        assert batch["image"].shape == (4, 2, 16, 16)
        for image, mask, name in zip(batch["image"], batch["mask"], batch["id"], strict=True):
            scene, _, place = name.partition("@")
            row, col = map(int, place.split(","))
            assert image[0, 0, 0] == row + 1
            truth = striped_labels(128, 160) if scene == "a" else striped_labels(100, 90)
            np.testing.assert_array_equal(mask, truth[row : row + 16, col : col + 16])


@pytest.mark.parametrize("stage", ["val", "test"])
def test_evaluation_counts_every_pixel_of_its_split_once(folder: Path, stage: str):
    data = data_of(folder)
    loader = data.val_dataloader() if stage == "val" else data.test_dataloader()
    counted = sum(int((batch["mask"] != IGNORE).sum()) for batch in loader)
    assert counted == sum(region.window.height * region.window.width for region in data.split.of(stage))


def test_workers_read_the_same_chips(folder: Path):
    alone, shared = (data_of(folder, num_workers=workers).train_dataloader() for workers in (0, 1))
    for one, other in zip(alone, shared, strict=True):
        assert one["id"] == other["id"]
        assert torch.equal(one["image"], other["image"])


@pytest.mark.parametrize(
    ("start", "workers", "is_cached"), [("fork", 2, False), ("fork", 2, True), ("spawn", 1, False)]
)
def test_no_open_file_is_shared_with_workers(tmp_path: Path, start: Any, workers: int, is_cached: bool):
    # Tiled files stay open and are not decoded: a handle that two processes share would mix their reads.
    sizes = dict.fromkeys("abcdef", (64, 80))
    source = make_data(tmp_path, sizes, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    options: dict[str, Any] = {"batch_size": 4, "chips_per_epoch": 64, "split": SplitConfig(val=0, test=0)}
    cache = str(tmp_path / "cache") if is_cached else None
    alone = SceneData(source, 16, **options)
    expected = [batch["image"] for batch in alone.train_dataloader()]
    data = SceneData(source, 16, num_workers=workers, worker_start=start, cache=cache, **options)
    assert data.statistics.valid_pixels  # opens every file, before the workers start
    loader = data.train_dataloader()
    for _ in range(2 if start == "fork" else 1):
        for ours, batch in zip(expected, loader, strict=True):
            assert torch.equal(ours, batch["image"])
            data.panel_chips("train", 1)  # the first process reads meanwhile


def test_what_the_run_must_remember_is_written(folder: Path, tmp_path: Path):
    data = data_of(folder)
    data.prepare_data()  # without a run folder nothing is written
    data.run_folder = tmp_path / "run"
    data.prepare_data()
    assert sorted(path.name for path in data.run_folder.iterdir()) == ["split.json", "statistics.json"]
    assert json.loads((data.run_folder / "split.json").read_text())["sha256"] == data.split.sha256
    again = data_of(folder, split=SplitConfig(path=str(data.run_folder / "split.json")))
    assert again.split == data.split


def test_a_split_without_share_has_no_chips(folder: Path):
    data = data_of(folder, split=SplitConfig(val=0.0, test=0.0))
    assert data.val_dataloader() == []
    with pytest.raises(DataError, match="The test split has no chip"):
        data.test_dataloader()


def test_panel_chips_are_fixed_and_spread_over_the_split(folder: Path):
    data = data_of(folder)
    batch = data.panel_chips("val", 4)
    assert len(batch["id"]) == len(set(batch["id"])) == 4
    assert batch["id"] == data_of(folder, seed=9, num_workers=1).panel_chips("val", 4)["id"]
    count = len(data.chips("val"))
    assert len(data.panel_chips("val", 10_000)["id"]) == count
    with pytest.raises(ConfigError, match="0 were asked for"):
        data.panel_chips("val", 0)


def test_a_chip_larger_than_its_scene_is_filled_up_as_invalid(tmp_path: Path):
    make_data(tmp_path, dict.fromkeys("abcde", (20, 24)))
    data = SceneData(source_of(tmp_path), 32, batch_size=2)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 2, 32, 32)
    assert batch["valid"].sum() == 2 * 20 * 24
    assert (batch["mask"][~batch["valid"]] == IGNORE).all()


@pytest.mark.parametrize(
    ("chip_size", "options", "message"),
    [
        (4, {}, "chip_size must be at least 8"),
        (16, {"batch_size": 0}, r"data.batch_size must be at least 1; found 0"),
        (16, {"chips_per_epoch": 0}, r"data.chips_per_epoch must be at least 1"),
        (16, {"num_workers": -1}, r"data.num_workers must be at least 0"),
        (16, {"seed": -1}, r"data.seed must be at least 0"),
        (16, {"worker_start": "spawn"}, r"worker_start: spawn has no effect without workers"),
    ],
)
def test_impossible_numbers_are_refused(folder: Path, chip_size: int, options: dict[str, int], message: str):
    with pytest.raises(ConfigError, match=message):
        SceneData(source_of(folder), chip_size, **options)  # type: ignore[arg-type]


class FakeTrainer:
    current_epoch = 0
    global_rank = 0
    world_size = 1
    training = True
    fit_loop = MagicMock(**{"epoch_loop.batch_progress.current.ready": 0})


def test_only_training_chips_are_augmented(folder: Path):
    data = data_of(folder)
    data.setup("fit")
    batch: Batch = data.panel_chips("val", 4)
    data.trainer = FakeTrainer()  # type: ignore[assignment]
    turned = data.on_after_batch_transfer(batch, 0)
    assert not torch.equal(turned["image"], batch["image"])
    FakeTrainer.training = False
    assert data.on_after_batch_transfer(batch, 0) is batch
    FakeTrainer.training = True
    still = data_of(folder, augment=AugmentConfig(flips_and_rotations=False))
    still.trainer = FakeTrainer()  # type: ignore[assignment]
    assert still.on_after_batch_transfer(batch, 0) is batch


def test_pairs_series_and_quantities_are_trained_on(tmp_path: Path):
    """From files to batches: what a batch holds, split by split."""
    sizes = {"a": (96, 96)}
    options: dict[str, Any] = {"batch_size": 2, "chips_per_epoch": 4}
    for make, shape, names in (
        (make_pairs, (2, 2, 2, 16, 16), {"mask"}),
        (make_series, (2, 3, 2, 16, 16), {"mask", "days"}),
        (make_values, (2, 2, 16, 16), {"value"}),
    ):
        data = SceneData(make(tmp_path / make.__name__, sizes), 16, **options)
        data.setup("fit")
        data.trainer = FakeTrainer()  # type: ignore[assignment]
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
            batch = next(iter(loader))
            assert set(batch) == {"image", "valid", "id"} | names
            assert batch["image"].shape == shape
            augmented = data.on_after_batch_transfer(batch, 0)
            assert augmented["image"].shape == shape
            assert set(augmented) == set(batch)
        assert data.panel_chips("val", 2)["image"].shape == shape
        assert data.has("test")


def test_values_keep_their_places_in_training_batches(tmp_path: Path):
    data = SceneData(make_values(tmp_path, {"a": (96, 96)}), 16, batch_size=4, chips_per_epoch=8)
    truth = heights(96, 96)
    truth[(truth == -9999)] = np.nan
    truth[0], truth[:, 0] = np.nan, np.nan  # nodata 1 in the image
    for batch in data.train_dataloader():
        for value, name in zip(batch["value"], batch["id"], strict=True):
            row, col = map(int, name.partition("@")[2].split(","))
            known = ~value.isnan()
            np.testing.assert_array_equal(value[known], truth[row : row + 16, col : col + 16][known])
            assert known.any()


def test_dates_are_swapped_only_where_there_are_two(tmp_path: Path):
    swap = AugmentConfig(flips_and_rotations=False, swap_dates=True)
    data = SceneData(make_pairs(tmp_path, {"a": (96, 96)}), 16, batch_size=32, augment=swap)
    data.setup("fit")
    data.trainer = FakeTrainer()  # type: ignore[assignment]
    batch = next(iter(data.train_dataloader()))
    later = (data.on_after_batch_transfer(batch, 0)["image"] > 1000).any(dim=(2, 3, 4))  # (B, 2)
    assert 0 < later[:, 0].sum() < 32
    assert (later.sum(dim=1) == 1).all()
    with pytest.raises(ConfigError, match=r"augment.swap_dates .* but the data are series"):
        SceneData(source_of(tmp_path, images="s_{date}.tif"), 16, augment=swap)


def test_processes_divide_the_validation_chips(folder: Path):
    seen: list[str] = []
    for rank in range(2):
        data = data_of(folder)
        data.trainer = FakeTrainer()  # type: ignore[assignment]
        data.trainer.world_size, data.trainer.global_rank = 2, rank  # type: ignore[misc, union-attr]
        seen += [name for batch in data.val_dataloader() for name in batch["id"]]
    assert sorted(seen) == sorted(chip.id for chip in data_of(folder).chips("val"))


def test_lightning_trains_and_keeps_the_sampler(folder: Path, tmp_path: Path):
    from lightning.pytorch import LightningModule, Trainer

    class Mean(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(2, 3, 1)
            self.seen: list[list[str]] = []

        def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
            self.seen.append(batch["id"])
            return torch.nn.functional.cross_entropy(
                self.layer(batch["image"] / 100), batch["mask"], ignore_index=IGNORE
            )

        def validation_step(self, batch: Batch, batch_idx: int) -> None:
            pass

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1e-3)

    module = Mean()
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
        log_every_n_steps=1,
    )
    trainer.fit(module, datamodule=data_of(folder))
    assert len(module.seen) == 4
    assert module.seen[:2] != module.seen[2:]  # the epoch reached the sampler


@pytest.mark.parametrize(
    "split",
    [
        {"method": "blocks"},
        {"method": "blocks", "folds": 3},
        {"method": "random"},
        {"method": "files", "val": ["a"], "test": []},
    ],
)
def test_scenes_without_labels_are_divided_by_every_method(
    folder: Path, split: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    scenes = source_of(folder, labels=None, classes=None)
    data = SceneData(scenes, 16, batch_size=4, split=SplitConfig(**split), chips_per_epoch=8)
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert "without labels" in caplog.text
    assert data.has("train")
    assert data.has("val")
    assert data.statistics.class_pixels == (data.statistics.valid_pixels,)
    batches = [*data.train_dataloader(), *data.val_dataloader()]
    assert all(set(batch) == {"image", "valid", "id"} for batch in batches)
    assert set(data.panel_chips("val", 2)) == {"image", "valid", "id"}


def test_chips_without_labels_are_augmented(folder: Path):
    steps = [AugmentStep("RandomAffine", {"degrees": 45.0, "p": 1.0})]
    data = SceneData(
        source_of(folder, labels=None, classes=None), 16, augment=AugmentConfig(more=steps), batch_size=4
    )
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    changed = data._augmenter(batch, epoch=0, rank=0)
    assert set(changed) == {"image", "valid", "id"}
    assert not torch.equal(changed["image"], batch["image"])
    assert not changed["valid"].all()  # turned corners
