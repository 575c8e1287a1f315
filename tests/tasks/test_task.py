import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from task_worlds import (
    ClassMeans,
    World,
    batch_of,
    evaluate,
    make_schema,
    make_statistics,
    seeded,
    train,
    use_local_models,
)
from task_worlds import make_trainer as make_test_trainer
from torch import Tensor
from torch.utils.data import DataLoader

from eoseg.batch import IGNORE, Batch
from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.metrics import confusion_matrix
from eoseg.models.checkpoint import load_network
from eoseg.recipe import BandStatistics, Schema, Statistics, parse_classes
from eoseg.tasks import SegmentationTask
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig

SCHEMA = Schema(("red", "nir"), parse_classes(["dark", "bright", "absent"]))
STATISTICS = Statistics(
    bands=tuple(BandStatistics(name, 500.0, 250.0, 0.0, 20.0, 980.0, 1000.0) for name in SCHEMA.bands),
    dtype="uint16",
    pixels=4096,
    valid_pixels=4096,
    class_pixels=(3000, 1000, 0),
)


def chip(seed: int) -> Batch:
    """One 32 x 32 chip whose class is whether the first band exceeds 500, with an unlabelled corner."""
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(0, 1000, (2, 4, 4)).repeat(8, axis=1).repeat(8, axis=2)
    image = torch.tensor(blocks, dtype=torch.float32)
    mask = (image[0] > 500).long()
    mask[:4, :4] = IGNORE
    valid = torch.ones(32, 32, dtype=torch.bool)
    valid[-4:, -4:] = False
    return {"image": image, "valid": valid, "mask": mask, "id": [f"chip@{seed},0"]}


def collate(chips: list[Batch]) -> Batch:
    stacked = {key: torch.stack([item[key] for item in chips]) for key in ("image", "valid", "mask")}
    return {**stacked, "id": [item["id"][0] for item in chips]}  # type: ignore[typeddict-item]


class Blocks(LightningDataModule):
    def __init__(self, poison: bool = False) -> None:
        super().__init__()
        self.poison = poison
        self.statistics = STATISTICS
        self.batch_size = 4

    def _loader(self, seeds: range) -> "DataLoader[Batch]":
        chips = [chip(seed) for seed in seeds]
        if self.poison:
            chips[0]["image"][0, 8, 8] = float("inf")
        return DataLoader(chips, batch_size=4, collate_fn=collate)  # type: ignore[arg-type]

    def train_dataloader(self) -> "DataLoader[Batch]":
        return self._loader(range(8))

    def val_dataloader(self) -> "DataLoader[Batch]":
        return self._loader(range(100, 106))

    test_dataloader = val_dataloader


def make_task(**options: object) -> SegmentationTask:
    seed_everything(0, verbose=False)
    settings = {"network_args": {"depth": 3, "channels": 4}, "optimizer": OptimizerConfig("AdamW", 0.01)}
    return SegmentationTask(SCHEMA, 32, **(settings | options))  # type: ignore[arg-type]


def make_trainer(tmp_path: Path, epochs: int = 2, **options: object) -> Trainer:
    best = ModelCheckpoint(tmp_path, filename="best", monitor="val/miou", mode="max")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            callbacks=[best],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            **options,  # type: ignore[arg-type]
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[SegmentationTask, Trainer, Path]:
    folder = tmp_path_factory.mktemp("trained")
    task, trainer = make_task(), make_trainer(folder, epochs=12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(task, Blocks())
    return task, trainer, folder / "best.ckpt"


def test_training_learns_what_can_be_learned(trained: tuple[SegmentationTask, Trainer, Path]) -> None:
    _, trainer, _ = trained
    assert trainer.callback_metrics["val/oa"] > 0.85


def test_the_matrix_holds_each_labelled_valid_pixel_once(
    trained: tuple[SegmentationTask, Trainer, Path],
) -> None:
    task, trainer, _ = trained
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.test(task, Blocks(), verbose=False)
    batch = collate([chip(seed) for seed in range(100, 106)])
    with torch.inference_mode():
        classes = task.eval()(batch["image"], batch["valid"]).argmax(1).numpy()
    expected = confusion_matrix(np.where(batch["valid"], batch["mask"], IGNORE), classes, 3)
    assert (task.matrix("test") == expected).all()
    assert expected.sum() == 6 * (32 * 32 - 16 - 16)


def test_an_absent_class_is_not_logged(trained: tuple[SegmentationTask, Trainer, Path]) -> None:
    task, trainer, _ = trained
    logged = [key for key in trainer.callback_metrics if "/iou/" in key]
    assert any(key.endswith("/bright") for key in logged)
    assert not any(key.endswith("/absent") for key in logged)
    assert task.scores("val").classes[2].iou is None


def test_a_checkpoint_is_enough_to_predict(trained: tuple[SegmentationTask, Trainer, Path]) -> None:
    _, _, path = trained
    network, recipe = load_network(path)
    assert recipe.schema == SCHEMA
    assert recipe.statistics == STATISTICS
    assert recipe.task == "SegmentationTask"
    batch = collate([chip(7)])
    assert network(batch["image"], batch["valid"]).shape == (1, 3, 32, 32)
    assert network.normalize.mean.flatten().tolist() == [500.0, 500.0]


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        task = make_task()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make_trainer(tmp_path / name).fit(task, Blocks())
        found.append(torch.cat([weight.flatten() for weight in task.network.parameters()]))
    assert torch.equal(*found)


def test_a_loss_that_is_no_number_stops_and_names_the_chips(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=r"loss is nan at step 0, on chips chip@0,0"):
            make_trainer(tmp_path, num_sanity_val_steps=0).fit(make_task(), Blocks(poison=True))


def test_a_chip_size_that_does_not_suit_the_stride_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="chip_size 100 does not suit.*multiples of 32.*to 96 or 128"):
        SegmentationTask(SCHEMA, 100)


def test_a_recipe_needs_statistics() -> None:
    with pytest.raises(CheckpointError, match="needs training statistics"):
        make_task().recipe()


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (Schema(("red", "swir"), SCHEMA.classes), "bands"),
        (Schema(SCHEMA.bands, parse_classes(["dark", "bright", "grey"])), "classes"),
    ],
)
def test_a_checkpoint_for_something_else_is_refused(
    trained: tuple[SegmentationTask, Trainer, Path], other: Schema, what: str
) -> None:
    checkpoint = torch.load(trained[2], weights_only=True)
    task = SegmentationTask(other, 32, network_args={"depth": 3, "channels": 4})
    with pytest.raises(CheckpointError, match=f"was made for {what}"):
        task.on_load_checkpoint(checkpoint)


def test_a_checkpoint_without_a_recipe_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a checkpoint of eoseg"):
        make_task().on_load_checkpoint({"state_dict": {}})


def test_the_schedule_reaches_the_end_of_the_run(tmp_path: Path) -> None:
    task = make_task(scheduler=SchedulerConfig("cosine", warmup=0.5))
    seen: list[float] = []
    original = task.training_step

    def spy(batch: Batch) -> Tensor:
        seen.append(task.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return original(batch)

    task.training_step = spy  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_trainer(tmp_path, epochs=4).fit(task, Blocks())
    assert len(seen) == 8
    assert seen.index(max(seen)) == 4
    assert seen[0] < seen[1]
    assert seen[-1] < seen[-2]


@pytest.fixture
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


def fitted_world(clouds: int = 0) -> World:
    """Two classes around -1 and 1 in both bands, raw values of mean 500."""
    rng = seeded()
    parts = []
    for _ in range(9):
        mask = rng.integers(0, 2, (2, 8, 8))
        image = 500 + 250 * (rng.normal(0, 0.4, (2, 2, 8, 8)) + 2 * mask[:, None] - 1)
        batch = batch_of(image, mask=mask)
        batch["valid"][:, :clouds] = False
        parts.append(batch)
    schema = make_schema()
    return World(
        make_statistics(schema, mean=500.0, std=250.0, class_pixels=(300, 100)), parts[:6], parts[6:]
    )


def fitted_task(**options: object) -> SegmentationTask:
    return SegmentationTask(make_schema(), 8, arch="means", **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("local_models")
def test_a_fitted_network_learns_once_from_all_batches_before_the_validation(tmp_path: Path) -> None:
    task = fitted_task(class_weights="balanced")
    trainer = train(task, fitted_world(clouds=2), tmp_path, max_epochs=5)  # stops by itself after one
    body = task.fitted_body
    assert isinstance(body, ClassMeans)
    assert body.fits == [(6, [pytest.approx(400 / 600), pytest.approx(2.0)])]
    assert trainer.current_epoch == 1
    assert trainer.global_step == 6
    assert body.means.flatten().tolist() == pytest.approx([-1, -1, 1, 1], abs=0.1)  # of standardised values
    assert len(body.pixels) == 6 * 2 * 6 * 8  # those under clouds are left out
    assert trainer.callback_metrics["val/oa"] > 0.98


@pytest.mark.usefixtures("local_models")
def test_a_fitted_network_is_restored_from_its_checkpoint(tmp_path: Path) -> None:
    task, data = fitted_task(), fitted_world()
    train(task, data, tmp_path)
    network, _ = load_network(tmp_path / "best.ckpt")
    batch = data.batches["val"][0]
    assert torch.equal(network(batch["image"], batch["valid"]), task(batch["image"], batch["valid"]))
    fresh = fitted_task()
    with pytest.raises(CheckpointError, match="no band statistics|never fitted"):
        evaluate(fresh, data, tmp_path)
    trainer = make_test_trainer(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.test(fresh, data, ckpt_path=tmp_path / "best.ckpt", verbose=False, weights_only=True)
    assert trainer.callback_metrics["test/oa"] > 0.98


@pytest.mark.usefixtures("local_models")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": OptimizerConfig("SGD", 0.1)}, "'means' is fitted in one go.*optimizer and scheduler"),
        ({"optimizer": OptimizerConfig(average=0.5)}, "optimizer and scheduler have no effect"),
        ({"scheduler": SchedulerConfig("constant")}, "optimizer and scheduler have no effect"),
        ({"loss": "dice"}, "'means' is fitted in one go, so loss has no effect"),
    ],
)
def test_options_without_effect_on_a_fitted_network_are_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fitted_task(**options)


@pytest.mark.usefixtures("local_models")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 2, "strategy": "ddp_fork"}, "'means' is fitted by one process.*found 2.*devices: 1"),
        ({"val_check_interval": 0.5}, "fitted once all training chips were seen"),
        ({"check_val_every_n_epoch": 2}, "fitted once all training chips were seen"),
    ],
)
def test_trainings_in_pieces_are_refused_for_a_fitted_network(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    task = fitted_task()
    task.trainer = make_test_trainer(tmp_path, **options)
    with pytest.raises(ConfigError, match=message):
        task.setup("fit")
    task.setup("test")  # the figures can be counted in any way


@pytest.mark.usefixtures("local_models")
@pytest.mark.parametrize("stage", ["fit", "test"])
def test_a_gpu_is_refused_for_a_fitted_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    task = fitted_task()
    task.trainer = make_test_trainer(tmp_path)
    monkeypatch.setattr(
        type(task.trainer.strategy), "root_device", property(lambda _: torch.device("cuda:0"))
    )
    with pytest.raises(ConfigError, match="'means' runs on the CPU.*found cuda:0. Set trainer.accelerator"):
        task.setup(stage)


@pytest.mark.usefixtures("local_models")
@pytest.mark.slow
def test_the_figures_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    task = SegmentationTask(make_schema(), 8, arch="local")
    data = fitted_world(clouds=1)
    train(task, data, tmp_path)
    alone = evaluate(task, data, tmp_path)
    together = evaluate(task, data, tmp_path, devices=2, strategy="ddp_fork")
    assert {key: value for key, value in together.items() if key != "test/loss"} == {
        key: pytest.approx(value) for key, value in alone.items() if key != "test/loss"
    }
