"""Trainings and tests in several processes: the same figures, the same weights, and what ends them."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from many_processes import run_ranks
from toy_world import write_config

from eoseg.cli import main

EPOCH = 4
"""Batches in an epoch, on each of two processes."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with a stochastic network, and a finished run of it."""
    folder = tmp_path_factory.mktemp("world")
    path = write_config(folder, max_epochs=2, enable_progress_bar=False)
    config = yaml.safe_load(path.read_text())
    config["data"]["init_args"] |= {"batch_size": 4, "chips_per_epoch": 4 * 2 * EPOCH}
    config["model"]["init_args"]["optimizer"] |= {"ema": 0.5}
    path.write_text(yaml.safe_dump(config))
    return path


def options(config: Path, run: Path, *more: str) -> list[str]:
    return [f"--config={config}", "--no-wandb", f"--run.resume={run}", "--run.panels_every=0", *more]


@pytest.fixture(scope="module")
def unbroken(world: Path) -> Path:
    """The run of two processes that nothing stopped."""
    run = world.parent / "runs" / "unbroken"
    assert run_ranks(2, ["fit", *options(world, run)], world.parent / "log") == [0, 0]
    return run


def state(run: Path) -> dict[str, torch.Tensor]:
    """Weights and what the optimiser knows, of the last step."""
    held = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    known = {
        f"optimizer {key} {name}": value
        for key, entry in held["optimizer_states"][0]["state"].items()
        for name, value in entry.items()
    }
    steps = {"step": torch.tensor(held["global_step"])}
    return {**held["state_dict"], **held["averaging"]["own"], **known, **steps}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_figures_and_matrix_are_the_same_to_the_last_bit_for_any_number_of_processes(
    world: Path, unbroken: Path
) -> None:
    found = {}
    assert yaml.safe_load((unbroken / "config.yaml").read_text())["trainer"]["devices"] == "auto"
    for count in (1, 2, 3, 4):
        log, base = world.parent / f"test{count}", world.parent / f"tests{count}"
        folder = str(base / "run")
        arguments = ["test", str(unbroken), "--no-wandb", f"--run.folder={base}", "--verbose=false"]
        assert run_ranks(count, arguments, log, EOSEG_RUN_FOLDER=folder) == [0] * count
        figures = json.loads((base / "run" / "figures.json").read_text())["figures"]
        matrix = (base / "run" / "confusion_test.csv").read_text()
        found[count] = (figures, matrix)
    assert found[1][0]["test/loss"] > 0
    assert all(entry == found[1] for entry in found.values())


def test_the_loss_of_an_epoch_is_that_of_all_processes(world: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def keep(rank: int) -> None:
        """Write down the loss of each step of a process."""
        from eoseg.tasks import Task

        original = Task.check_and_log

        def kept(self: Task, loss: torch.Tensor, batch, stage: str) -> None:
            if stage == "train":
                with (tmp_path / f"losses.{rank}").open("a") as file:
                    file.write(f"{loss.item()}\n")
            original(self, loss, batch, stage)

        Task.check_and_log = kept  # type: ignore[method-assign]

    more = options(world, run, "--trainer.max_epochs=1")
    assert run_ranks(2, ["fit", *more], tmp_path / "log", prepare=keep) == [0, 0]
    losses = [
        [float(line) for line in (tmp_path / f"losses.{rank}").read_text().split()] for rank in range(2)
    ]
    assert [len(each) for each in losses] == [EPOCH, EPOCH]
    assert losses[0] != losses[1]
    with (run / "metrics.csv").open() as file:
        logged = [float(row["train/loss_epoch"]) for row in csv.DictReader(file) if row["train/loss_epoch"]]
    assert logged == pytest.approx([sum(map(sum, losses)) / (2 * EPOCH)], rel=1e-5)


@pytest.mark.parametrize("step", [2, EPOCH])
def test_a_stopped_training_ends_where_an_unbroken_one_does(
    world: Path, unbroken: Path, tmp_path: Path, step: int
) -> None:
    run = tmp_path / "run"

    def interrupt(rank: int) -> None:
        """One process alone is signalled, before it computes a step."""
        from eoseg.tracking.preemption import Preemption

        original = Preemption.on_train_batch_start

        def signalled(self: Preemption, trainer, module, batch, number: int) -> None:
            if rank == 1 and trainer.current_epoch == 0 and number == step - 1:
                os.kill(os.getpid(), signal.SIGUSR1)
            original(self, trainer, module, batch, number)

        Preemption.on_train_batch_start = signalled  # type: ignore[method-assign]

    statuses = run_ranks(2, ["fit", *options(world, run)], tmp_path / "first", prepare=interrupt)
    assert statuses == [75, 0]
    told = (tmp_path / "first.0").read_text()
    assert re.search(rf"Stopped by SIGUSR1 in epoch [01]. eoseg fit --resume {run} goes on from step", told)
    assert "Stopped by" not in (tmp_path / "first.1").read_text()
    stopped = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert stopped["global_step"] == step + 1 if step < EPOCH - 1 else EPOCH + 1
    assert run_ranks(2, ["fit", "--resume", str(run), "--no-wandb"], tmp_path / "second") == [0, 0]
    assert same(state(run), state(unbroken))
    rows = (run / "metrics.csv").read_text().splitlines()
    assert len(rows) == len((unbroken / "metrics.csv").read_text().splitlines())


def test_a_plain_start_on_two_devices_ends_with_one_line_when_one_is_killed(
    world: Path, unbroken: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "eoseg", "fit", *options(world, run, "--trainer.devices=2")]
    with subprocess.Popen(
        [*command, "--trainer.max_epochs=500"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as started:
        last = run / "checkpoints" / "last.ckpt"
        until = time.monotonic() + 300
        while not last.is_file() and time.monotonic() < until and started.poll() is None:
            time.sleep(0.1)
        children = [
            int(pid) for pid in Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        ]
        assert len(children) == 2
        os.kill(children[1], signal.SIGKILL)
        told = started.communicate(timeout=60)[1]
    assert started.returncode == 2
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Process 1 of 2 was killed (signal 9)" in errors[0]
    assert "Traceback" not in told
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    epochs = torch.load(last, weights_only=True)["epoch"] + 2
    assert run_ranks(
        2, ["fit", "--resume", str(run), f"--trainer.max_epochs={epochs}"], tmp_path / "log"
    ) == [0, 0]
    assert torch.load(last, weights_only=True)["epoch"] == epochs - 1


def test_a_first_process_that_is_not_there_is_one_line_with_the_limit(world: Path, tmp_path: Path) -> None:
    more = options(world, tmp_path / "run", "--run.connect_seconds=1")

    def alone(rank: int) -> None:
        os.environ |= {"RANK": "1", "LOCAL_RANK": "1"}

    environment = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    assert run_ranks(1, ["fit", *more], tmp_path / "log", prepare=alone, **environment) == [2]
    told = (tmp_path / "log.0").read_text()
    assert re.search(
        r"error: The first process .* not reached at 127.0.0.1:\d+ within 1 s \(Connection refused\)", told
    )


@pytest.mark.parametrize("command", ["fit", "test"])
def test_more_devices_than_processes_are_one_line(
    world: Path, unbroken: Path, tmp_path: Path, command: str
) -> None:
    more = options(world, tmp_path / "run") if command == "fit" else [str(unbroken)]
    statuses = run_ranks(2, [command, *more, "--trainer.devices=3"], tmp_path / "log")
    assert statuses == [2, 2]
    told = (tmp_path / "log.0").read_text()
    assert "error: trainer.devices asks for 3 on each node, torchrun started 2 processes" in told
    assert not (tmp_path / "run").exists()


def test_one_process_goes_on_with_what_two_began_and_says_that_batches_differ(
    world: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["fit", "--resume", str(unbroken), "--no-wandb", "--trainer.max_epochs=3"])
    assert torch.load(unbroken / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
