from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from task_worlds import World, batch_of, make_schema, make_statistics, seeded, train, use_local_models

from eoseg.models.checkpoint import load_network
from eoseg.tasks import SegmentationTask
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig

SCHEMA = make_schema()
STEPS = 20


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)


class Diary(Callback):
    """Writes down the weights after each step, and those that are validated."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []
        self.validated: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.steps.append({name: value.clone() for name, value in pl_module.state_dict().items()})

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.validated.append({name: value.clone() for name, value in pl_module.state_dict().items()})

    def mean(self, name: str, last: int) -> torch.Tensor:
        return torch.stack([step[name] for step in self.steps[-last:]]).double().mean(dim=0).float()


def make_task(average: float | None, arch: str = "local", *, ema: float | None = None) -> SegmentationTask:
    seeded()
    return SegmentationTask(
        SCHEMA,
        8,
        arch=arch,
        optimizer=OptimizerConfig("SGD", 0.5, average=average, ema=ema),
        scheduler=SchedulerConfig("constant"),
    )


def noisy_world(batches: int = STEPS) -> World:
    """Two classes that overlap, so that no step is the last word."""
    rng = seeded()
    parts = []
    for number in range(batches + 1):
        mask = rng.integers(0, 2, (2, 8, 8))
        image = rng.normal(0, 1, (2, 2, 8, 8)) + 0.7 * (2 * mask[:, None] - 1)
        parts.append(batch_of(image + 0.1 * number, mask=mask))
    return World(make_statistics(SCHEMA), parts[:-1], parts[-1:])


WEIGHT = "network.body.layer.weight"


@pytest.mark.parametrize(("share", "last"), [(1.0, STEPS), (0.5, STEPS // 2), (0.26, 5), (0.001, 1)])
def test_the_trained_weights_are_the_mean_over_the_last_share_of_the_steps(
    tmp_path: Path, share: float, last: int
) -> None:
    task, diary = make_task(share), Diary()
    train(task, noisy_world(), tmp_path, callbacks=[diary], num_sanity_val_steps=0)
    expected = diary.mean(WEIGHT, last)
    torch.testing.assert_close(task.state_dict()[WEIGHT], expected)
    if last > 1:
        assert not torch.allclose(expected, diary.steps[-1][WEIGHT], atol=1e-3)
    torch.testing.assert_close(diary.validated[0][WEIGHT], expected)


def test_a_moving_average_forgets_by_its_decay(tmp_path: Path) -> None:
    task, diary = make_task(None, ema=0.6), Diary()
    train(task, noisy_world(), tmp_path, callbacks=[diary], num_sanity_val_steps=0)
    expected = diary.steps[0][WEIGHT].double()
    for number, step in enumerate(diary.steps[1:], start=1):
        decay = min(0.6, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * step[WEIGHT]
    torch.testing.assert_close(task.state_dict()[WEIGHT].double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(diary.validated[0][WEIGHT], task.state_dict()[WEIGHT])
    assert not torch.allclose(task.state_dict()[WEIGHT], diary.steps[-1][WEIGHT], atol=1e-3)
    network, _ = load_network(tmp_path / "best.ckpt")
    torch.testing.assert_close(network.body.layer.weight, task.state_dict()[WEIGHT])


def test_each_kind_of_checkpoint_holds_the_mean_and_its_recipe(tmp_path: Path) -> None:
    task, diary = make_task(0.5), Diary()
    lean = ModelCheckpoint(tmp_path, filename="lean", save_weights_only=True)
    train(task, noisy_world(), tmp_path, callbacks=[diary, lean])
    expected = diary.mean(WEIGHT, STEPS // 2)
    for name in ("best", "last", "lean"):
        network, recipe = load_network(tmp_path / f"{name}.ckpt")
        torch.testing.assert_close(network.body.layer.weight, expected)
        assert recipe.schema == SCHEMA


def test_without_it_the_last_step_is_kept(tmp_path: Path) -> None:
    task, diary = make_task(None), Diary()
    train(task, noisy_world(), tmp_path, callbacks=[diary])
    assert torch.equal(task.state_dict()[WEIGHT], diary.steps[-1][WEIGHT])
    assert "averaging" not in torch.load(tmp_path / "last.ckpt", weights_only=True)


def test_averaging_does_not_disturb_the_training(tmp_path: Path) -> None:
    diaries = []
    for share in (None, 0.8):
        diaries.append(Diary())
        train(make_task(share), noisy_world(5), tmp_path / str(share), callbacks=[diaries[-1]], max_epochs=3)
    assert len(diaries[0].steps) == len(diaries[1].steps) == 15
    for plain, averaged in zip(diaries[0].steps, diaries[1].steps, strict=True):
        assert torch.equal(plain[WEIGHT], averaged[WEIGHT])


def test_the_running_statistics_are_averaged_with_the_weights(tmp_path: Path) -> None:
    task, diary = make_task(0.5, "normed"), Diary()
    train(task, noisy_world(), tmp_path, callbacks=[diary])
    name = "network.body.norm.running_mean"
    expected = diary.mean(name, STEPS // 2)
    torch.testing.assert_close(task.state_dict()[name], expected)
    assert not torch.allclose(expected, diary.steps[-1][name], atol=1e-3)
    state = task.state_dict()
    assert state["network.body.norm.num_batches_tracked"] == STEPS
    assert torch.equal(state["network.normalize.std"], torch.ones(2))
    assert state["network.normalize.is_set"]


def newton(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Coefficients of the logistic regression of 0 and 1."""
    found = np.zeros(rows.shape[1])
    for _ in range(20):
        p = 1 / (1 + np.exp(-rows @ found))
        found -= np.linalg.solve((rows.T * (p * (1 - p))) @ rows, rows.T @ (p - classes))
    return found


def test_the_mean_lies_closer_to_the_minimum_than_the_last_step(tmp_path: Path) -> None:
    # Polyak and Juditsky's point, on a logistic regression whose minimum Newton's method finds.
    world = noisy_world(20)
    images = [(batch["image"] - 0.1 * number) for number, batch in enumerate(world.batches["train"])]
    for batch, image in zip(world.batches["train"], images, strict=True):
        batch["image"] = image
    rows = torch.cat(images).movedim(1, -1).reshape(-1, 2).numpy()
    classes = torch.cat([batch["mask"] for batch in world.batches["train"]]).reshape(-1).numpy()
    minimum = newton(np.column_stack([rows, np.ones(len(rows))]), classes)[:2]

    def distance(share: float | None) -> float:
        task = make_task(share)
        train(task, world, tmp_path / str(share), max_epochs=6)
        weight = task.state_dict()[WEIGHT].flatten(1)
        return float(np.linalg.norm((weight[1] - weight[0]).numpy() - minimum))

    assert distance(0.5) < 0.3 * distance(None)


def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = make_task(0.75)
    train(whole, noisy_world(5), tmp_path / "whole", max_epochs=4)

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    train(make_task(0.75), noisy_world(5), tmp_path / "first", max_epochs=4, callbacks=[Stop()])
    resumed = make_task(0.75)
    half = tmp_path / "first" / "last.ckpt"
    train(resumed, noisy_world(5), tmp_path / "second", max_epochs=4, resume=half)
    torch.testing.assert_close(resumed.state_dict()[WEIGHT], whole.state_dict()[WEIGHT])


def test_a_run_made_longer_averages_its_own_end(tmp_path: Path) -> None:
    train(make_task(0.5), noisy_world(5), tmp_path / "short", max_epochs=2)
    longer, diary = make_task(0.5), Diary()
    end = tmp_path / "short" / "last.ckpt"
    train(longer, noisy_world(5), tmp_path / "long", max_epochs=4, callbacks=[diary], resume=end)
    assert len(diary.steps) == 10
    torch.testing.assert_close(longer.state_dict()[WEIGHT], diary.mean(WEIGHT, 10))
