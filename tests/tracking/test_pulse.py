from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from tracking_fakes import FakeData, FakeTask, make_trainer, quietly

from eoseg.errors import ConfigError
from eoseg.tracking.pulse import TrainingPulse


class Kept(DummyLogger):
    """Keeps what a callback logs."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None, **_: Any) -> None:
        if "train/samples_per_second" in metrics:
            self.rows.append((step or 0, dict(metrics)))


def pulse(folder: Path, every: int, task: FakeTask | None = None, **options: Any) -> Kept:
    torch.manual_seed(0)
    kept = Kept()
    trainer = make_trainer(folder, [kept], [TrainingPulse(every_n_steps=every)], **options)
    quietly(trainer.fit, task or FakeTask(), FakeData())
    return kept


def test_it_is_logged_at_each_nth_step_and_at_the_first_of_each_epoch(tmp_path: Path) -> None:
    kept = pulse(tmp_path, 3, max_epochs=3)  # two steps in each epoch: 0 1 | 2 3 | 4 5
    assert [step for step, _ in kept.rows] == [0, 2, 3, 4]


def test_learning_rate_and_norm_of_the_gradient_are_those_of_the_step(tmp_path: Path) -> None:
    norms: list[float] = []

    class Watched(FakeTask):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            assert self.weight.grad is not None
            norms.append(abs(self.weight.grad.item()))

    kept = pulse(tmp_path, 1, Watched(), max_epochs=2)
    assert [row["train/grad_norm"] for _, row in kept.rows] == pytest.approx(norms)
    assert {row["train/lr"] for _, row in kept.rows} == {0.1}
    assert all(row["train/samples_per_second"] > 0 for _, row in kept.rows)
    assert [row["epoch"] for _, row in kept.rows] == [0, 0, 1, 1]
    assert not any("train/gpu_memory_gib" in row for _, row in kept.rows)  # there is no GPU here


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    kept = pulse(tmp_path, 1, max_epochs=2, accumulate_grad_batches=2)
    assert [step for step, _ in kept.rows] == [0, 1]
    assert all("train/grad_norm" in row for _, row in kept.rows)


def test_the_training_is_the_same_with_and_without(tmp_path: Path) -> None:
    weights = []
    for callbacks in ([], [TrainingPulse(every_n_steps=1)]):
        torch.manual_seed(0)
        task = FakeTask()
        quietly(make_trainer(tmp_path, [Kept()], callbacks, max_epochs=2).fit, task, FakeData())
        weights.append(task.weight.item())
    assert weights[0] == weights[1]


def test_an_impossible_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="every_n_steps of at least 1; got 0"):
        TrainingPulse(every_n_steps=0)
