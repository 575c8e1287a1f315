"""A training that is asked to stop keeps what it has."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from task_worlds import World, batch_of, make_schema, make_statistics, make_trainer, seeded, use_local_models

from eoseg.tasks import SegmentationTask
from eoseg.tracking.preemption import PreemptedError, Preemption

BATCHES = 6


@pytest.fixture(autouse=True)
def local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_local_models(monkeypatch)
    for name in list(os.environ):
        if name.startswith("SLURM_"):
            monkeypatch.delenv(name)


class Signals(Callback):
    """Sends a signal to this process after a step, and writes down what is drawn in each."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGUSR1) -> None:
        self.step, self.number = step, number
        self.drawn: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


class Draws(SegmentationTask):
    """Draws a number in each step, as dropout would."""

    def training_step(self, batch: Any) -> Any:
        self.drawn = [*getattr(self, "drawn", []), float(torch.rand(()))]
        return super().training_step(batch)


def world() -> World:
    rng = seeded()
    batches = [
        batch_of(rng.normal(0, 1, (2, 2, 8, 8)), mask=rng.integers(0, 2, (2, 8, 8))) for _ in range(BATCHES)
    ]
    return World(make_statistics(make_schema()), batches, batches[:1])


def fit(folder: Path, *callbacks: Callback, minutes: float = 0, arch: str = "local", **more: Any) -> Draws:
    seeded()
    task = Draws(make_schema(), 8, arch=arch)
    task.__class__.__name__ = "SegmentationTask"  # for the recipe
    stop = Preemption(folder, minutes=minutes, seed=3)
    trainer = make_trainer(folder, task, callbacks=[*callbacks, stop], max_epochs=2, **more)
    trainer.fit(task, world(), weights_only=True)
    return task


def test_a_signal_ends_the_training_after_the_step_with_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(PreemptedError, match="Stopped by SIGUSR1 in epoch 0.") as stopped:
        fit(tmp_path, Signals(2))
    assert stopped.value.settle() == (
        f"Stopped by SIGUSR1 in epoch 0. eoseg fit --resume {tmp_path} goes on from step 3."
    )
    held = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert (held["global_step"], held["epoch"]) == (3, 0)


def test_sigterm_stops_alike_and_asks_nothing_of_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stub_scontrol(tmp_path, monkeypatch)
    with pytest.raises(PreemptedError, match="Stopped by SIGTERM") as stopped:
        fit(tmp_path / "run", Signals(1, signal.SIGTERM))
    stopped.value.settle()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert not asked.exists()


@pytest.mark.filterwarnings("ignore:.*enable_checkpointing.*")
def test_a_step_of_several_batches_is_not_torn(tmp_path: Path) -> None:
    with pytest.raises(PreemptedError) as stopped:
        fit(tmp_path, Signals(0), accumulate_grad_batches=3)
    assert stopped.value.where == "step 1"
    held = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    progress = held["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
    assert (held["global_step"], progress["ready"]) == (1, 3)


def test_a_signal_in_the_last_step_of_an_epoch_waits_for_the_validation(tmp_path: Path) -> None:
    with pytest.raises(PreemptedError) as stopped:
        fit(tmp_path, Signals(BATCHES - 1))
    assert stopped.value.where == f"step {BATCHES}"


def test_a_signal_in_the_last_epoch_of_all_lets_it_end(tmp_path: Path) -> None:
    fit(tmp_path, Signals(2 * BATCHES - 1))
    held = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert held["global_step"] == 2 * BATCHES


def stub_scontrol(folder: Path, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> Path:
    """A job of SLURM whose scontrol writes down what it is asked."""
    asked, program = folder / "asked", folder / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\necho no such job >&2\nexit {status}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")  # for Lightning: one process, no SLURM of its own
    return asked


@pytest.mark.parametrize("array", [False, True])
def test_the_job_is_put_into_the_queue_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array: bool
) -> None:
    asked = stub_scontrol(tmp_path, monkeypatch)
    if array:
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.raises(PreemptedError) as stopped:
        fit(tmp_path / "run", Signals(1))
    assert not asked.exists()  # not before all is written
    assert stopped.value.settle().endswith("The job is in the queue again, and goes on from step 2.")
    assert asked.read_text() == ("requeue 12_3\n" if array else "requeue 17\n")


def test_a_job_that_slurm_does_not_take_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stub_scontrol(tmp_path, monkeypatch, status=1)
    with pytest.raises(PreemptedError) as stopped:
        fit(tmp_path / "run", Signals(1))
    assert f"eoseg fit --resume {tmp_path / 'run'} goes on from step 2" in stopped.value.settle()
    assert "SLURM does not take the job into its queue again: no such job" in caplog.text


def test_checkpoints_inside_an_epoch_come_by_the_clock(tmp_path: Path) -> None:
    steps: set[int] = set()

    class Saved(Callback):
        def on_save_checkpoint(self, trainer: Trainer, *_: Any) -> None:
            steps.add(trainer.global_step)

    fit(tmp_path / "no", Saved())
    assert steps == {BATCHES, 2 * BATCHES}
    steps.clear()
    fit(tmp_path / "yes", Saved(), minutes=1e-9)
    assert steps == set(range(1, 2 * BATCHES + 1))


def test_what_is_fitted_in_one_go_keeps_nothing_of_half_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(PreemptedError) as stopped:
        fit(tmp_path, Signals(2), arch="means")
    assert stopped.value.where.startswith("its beginning")
    assert not (tmp_path / "checkpoints").exists()


def test_what_a_step_draws_follows_from_its_place(tmp_path: Path) -> None:
    drawn = fit(tmp_path / "a").drawn
    assert len(set(drawn)) == 2 * BATCHES
    assert fit(tmp_path / "b").drawn == drawn


def test_the_signals_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    fit(tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)] == before
