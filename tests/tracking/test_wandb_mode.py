"""Online, offline, a wrong key, a server that does not answer, and one that goes away in the middle."""

import logging
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import wandb
from lightning.pytorch import Callback, LightningModule, Trainer
from run_server import KEY, RunServer
from tracking_fakes import SCHEMA, STATISTICS, FakeData, FakeTask, make_trainer, quietly
from wandb_records import isolate_wandb, records_of

from eoseg.errors import ConfigError
from eoseg.recipe import Recipe
from eoseg.tracking.lineage import log_models
from eoseg.tracking.loggers import finish_wandb, make_loggers, wandb_run
from eoseg.tracking.wandb_mode import choose_mode, sync_command, why_silent

RECIPE = Recipe("SegmentationTask", SCHEMA, STATISTICS, {"arch": "unet"}, 16, 1, {})


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    isolate_wandb(monkeypatch, tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    yield
    wandb.teardown()


def log_in(monkeypatch: pytest.MonkeyPatch, address: str, key: str = KEY) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", address)
    monkeypatch.setenv("WANDB_API_KEY", key)


def test_not_wanted_and_without_login(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert choose_mode(wanted=False) == "absent"
    assert not caplog.messages
    assert choose_mode() == "offline"
    assert "W&B stays offline, as no login was found." in caplog.text


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_the_users_own_choice_is_obeyed(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    assert choose_mode() == mode


def test_a_server_that_does_not_answer_leaves_the_run_offline(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with socket.socket() as taken:  # a port on which nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        log_in(monkeypatch, address)
        began = time.perf_counter()
        assert choose_mode() == "offline"
        assert time.perf_counter() - began < 8
    assert f"W&B stays offline, as {address} does not answer ([Errno" in caplog.text


def test_a_server_that_answers_with_an_error_is_there() -> None:
    with RunServer() as server:
        assert why_silent(server.url) is None  # it says 404


@pytest.mark.parametrize(("key", "told"), [("short", "must have 40"), (KEY, "invalid api key")])
def test_a_wrong_key_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, key: str, told: str) -> None:
    with RunServer(knows_key=False) as server:
        log_in(monkeypatch, server.url, key)
        with pytest.raises(ConfigError) as caught:
            choose_mode()
    line = str(caught.value)
    assert line.startswith(f"The W&B key is wrong: {server.url} does not take it (")
    assert told in line
    assert line.endswith("or set WANDB_MODE=offline, or --no-wandb.")
    assert "\n" not in line


class GoesAway(Callback):
    """Takes the server away in the middle of the training."""

    def __init__(self, server: RunServer) -> None:
        self.server = server

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 2:
            self.server.go_away()


def test_where_the_server_goes_away_training_goes_on_and_all_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "2")
    monkeypatch.delenv("WANDB_SILENT")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.ckpt").write_text("weights")
    with RunServer() as server:
        log_in(monkeypatch, server.url)
        trainer = make_trainer(folder, make_loggers(folder, project="p", name="n"), [GoesAway(server)])
        quietly(trainer.fit, FakeTask(), FakeData())
        assert trainer.current_epoch == 4
        run: Any = wandb_run(trainer)
        assert not run.offline
        assert set(server.runs) == {run.id}
        log_models(run, folder / "model.ckpt", None, RECIPE, register="model/x")
        finish_wandb(trainer)
    (line,) = [line for line in caplog.messages if line.startswith("W&B has not got all")]
    assert line.endswith(f"to upload it: wandb sync {folder}/wandb/run-*")
    assert "is not in the registry yet" in caplog.text
    (log,) = folder.glob("wandb/run-*/run-*.wandb")
    records = records_of(log)
    losses = [
        entry
        for record in records
        if record["type"] == "history"
        if "val/loss" in (entry := record["history"]["item"])
    ]
    assert len(losses) == 4
    (model,) = [record["artifact"] for record in records if record["type"] == "artifact"]
    assert model["aliases"] == ["best"]


def test_online_the_end_names_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "30")
    with RunServer() as server:
        log_in(monkeypatch, server.url)
        loggers = make_loggers(tmp_path, project="p", name="n")
        trainer = make_trainer(tmp_path, loggers, [])
        loggers[1].log_metrics({"a": 1.0}, step=0)
        finish_wandb(trainer)
        assert any("file_stream" in name for name in server.asked)
    assert "wandb sync" not in caplog.text
    assert len(set(server.runs)) == 1


def test_one_command_uploads_all_fragments(tmp_path: Path) -> None:
    (tmp_path / "wandb" / "offline-run-1-a").mkdir(parents=True)
    (tmp_path / "wandb" / "offline-run-2-a").mkdir()
    assert sync_command(tmp_path) == f"wandb sync {tmp_path}/wandb/offline-run-*"


def test_an_error_is_one_line_although_the_process_of_wandb_is_gone(tmp_path: Path) -> None:
    program = """
import os, signal, sys, time
import wandb
from wandb.sdk import wandb_setup
from eoseg.cli import main
wandb.init(mode="offline", dir=sys.argv[1], settings=wandb.Settings(silent=True))
os.kill(wandb_setup.singleton()._connection._proc._process.pid, signal.SIGKILL)
time.sleep(0.5)
main(["describe", "nowhere.ckpt"])
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: 'nowhere.ckpt' does not exist.")
