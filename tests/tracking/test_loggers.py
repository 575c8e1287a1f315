import importlib.util
import logging
from pathlib import Path

import pytest
import torch
import wandb
from lightning.pytorch import Trainer
from tracking_fakes import FakeData, FakeTask, make_trainer, quietly
from wandb_records import isolate_wandb, read_run

from eoseg.errors import ConfigError
from eoseg.figures import read_curves
from eoseg.tracking.loggers import MetricsFile, WandbRun, finish_wandb, make_loggers, wandb_run
from eoseg.tracking.wandb_mode import ID_KEY


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    isolate_wandb(monkeypatch, tmp_path)
    yield
    wandb.teardown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 1")
    return tmp_path / "run"


def fit(folder: Path, loggers: list, epochs: int = 1) -> Trainer:
    trainer = make_trainer(folder, loggers, [], max_epochs=epochs)
    quietly(trainer.fit, FakeTask(), FakeData())
    return trainer


def options(**changes: object) -> dict:
    return {"project": "project", "name": "demo/1", **changes}


def test_figures_go_to_metrics_csv_in_the_run_folder(folder: Path) -> None:
    fit(folder, make_loggers(folder, **options(use_wandb=False)), epochs=2)
    curves = read_curves(folder / "metrics.csv")
    assert [epoch for epoch, _ in curves["train/loss"]] == [0, 1]
    assert curves["val/miou"] == [(0, 0.5), (1, 0.5)]
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "metrics.csv"}


def test_a_resumed_run_goes_on_in_the_same_file(folder: Path) -> None:
    first = MetricsFile(folder)
    first.log_metrics({"a": 1.0}, step=0)
    first.save()
    second = MetricsFile(folder)
    second.log_metrics({"a": 2.0, "b": 3.0}, step=1)
    second.save()
    assert (folder / "metrics.csv").read_text().splitlines() == ["a,b,step", "1.0,,0", "2.0,3.0,1"]


def test_switched_off_there_is_no_wandb(folder: Path) -> None:
    loggers = make_loggers(folder, **options(use_wandb=False))
    assert [type(logger) for logger in loggers] == [MetricsFile]
    assert wandb_run(make_trainer(folder, loggers, [])) is None


def test_without_wandb_installed_one_line_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert len(make_loggers(folder, **options())) == 1
    assert [record.message for record in caplog.records] == [
        "W&B is not installed: figures go to metrics.csv alone (pip install wandb)."
    ]


def test_without_login_the_run_is_offline_and_says_how_to_upload_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    loggers = make_loggers(folder, **options(group="seeds", tags=["a", "b"], job_type="train"))
    assert not list(folder.glob("wandb/*"))  # nothing starts before something is logged
    loggers[1].log_hyperparams({"data": {"chip_size": 64}})
    finish_wandb(fit(folder, loggers))
    told = [record.message for record in caplog.records if record.name.startswith("eoseg")]
    assert told == [
        "W&B stays offline, as no login was found. The command that uploads the run is named at its end.",
        f"W&B was offline. To upload this run: wandb sync {folder}/wandb/offline-run-*",
    ]
    records = read_run(folder)
    run = next(record["run"] for record in records if record["type"] == "run")
    assert (run["project"], run["display_name"], run["run_group"]) == ("project", "demo/1", "seeds")
    assert (run["tags"], run["job_type"]) == (["a", "b"], "train")
    configs = [record["config"]["update"] for record in records if record["type"] == "config"]
    assert {"data": {"chip_size": 64}} in configs
    axis = [record["metric"] for record in records if record["type"] == "metric"]
    assert [entry["step_metric"] for entry in axis if entry.get("glob_name") == "*"] == [
        "trainer/global_step"
    ]
    logged = {key for record in records if record["type"] == "history" for key in record["history"]["item"]}
    assert {"train/loss_epoch", "val/loss", "val/miou", "trainer/global_step"} <= logged


def test_a_resumed_run_keeps_its_id(folder: Path) -> None:
    for _ in range(2):
        make_loggers(folder, **options())[1].log_metrics({"a": 1.0}, step=0)
        wandb.finish()
    ids = {path.stem.removeprefix("run-") for path in folder.glob("wandb/offline-run-*/run-*.wandb")}
    assert ids == {(folder / "wandb_run_id.txt").read_text().strip()}


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_a_mode_of_the_environment_is_respected(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("WANDB_MODE", mode)
    logger = make_loggers(folder, **options())[1]
    logger.log_metrics({"a": 1.0}, step=0)
    wandb.finish()
    assert bool(list(folder.glob("wandb/offline-run-*"))) is (mode == "offline")
    assert (folder / "wandb_run_id.txt").exists() is (mode == "offline")
    assert ("as its settings say" in caplog.text) is (mode == "offline")


def test_a_training_that_goes_on_from_a_checkpoint_is_the_same_run(folder: Path, tmp_path: Path) -> None:
    torch.save({ID_KEY: "abc123", "state_dict": {}}, tmp_path / "last.ckpt")
    logger = make_loggers(folder, **options(continues=tmp_path / "last.ckpt"))[1]
    assert isinstance(logger, WandbRun)
    logger.log_metrics({"a": 1.0}, step=0)
    wandb.finish()
    assert (folder / "wandb_run_id.txt").read_text().strip() == "abc123"
    assert list(folder.glob("wandb/offline-run-*-abc123/run-abc123.wandb"))


def test_a_checkpoint_without_run_begins_a_new_one(folder: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    logger = make_loggers(folder, **options(continues=tmp_path / "last.ckpt"))[1]
    assert logger.version is None


def test_disabled_there_is_no_run_to_log_pictures_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    trainer = make_trainer(folder, make_loggers(folder, **options()), [])
    assert wandb_run(trainer) is None
    finish_wandb(trainer)
    assert wandb.run is None  # the next run of this process is one of its own
    assert not (folder / "wandb").exists()


def test_tensorboard_that_is_not_installed_is_one_clear_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(ConfigError, match=r'not installed: pip install "eoseg\[tensorboard\]"'):
        make_loggers(folder, **options(use_wandb=False, tensorboard=True))


def test_figures_go_to_tensorboard_where_it_is_wanted(folder: Path) -> None:
    pytest.importorskip("tensorboard")
    loggers = make_loggers(folder, **options(use_wandb=False, tensorboard=True))
    fit(folder, loggers)
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))


def test_online_without_login_is_one_clear_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    logger = make_loggers(folder, **options())[1]
    with pytest.raises(ConfigError, match=r"W&B cannot start \(.*\)\. Log in with 'wandb login'"):
        logger.log_metrics({"a": 1.0}, step=0)


def test_everything_that_is_staged_lies_in_the_run_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_DATA_DIR")
    logger = make_loggers(folder, **options())[1]
    table = wandb.Table(columns=["a"], data=[[1]])
    logger.log_metrics({"table": table}, step=0)
    wandb.finish()
    assert list((folder / "wandb" / "artifacts" / "staging").iterdir())
    assert not (tmp_path / ".local" / "share").exists()
