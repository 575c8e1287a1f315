"""The id in checkpoints and the tags; tests/test_board_runs.py has what a whole run says of itself."""

from pathlib import Path

import pytest
import torch
import wandb
from lightning.pytorch.callbacks import ModelCheckpoint
from tracking_fakes import FakeData, FakeTask, make_trainer, quietly
from wandb_records import isolate_wandb, read_run

from eoseg.tracking.identity import RunRecord, keep_models, run_tags
from eoseg.tracking.lineage import DataFiles
from eoseg.tracking.loggers import finish_wandb, make_loggers
from eoseg.tracking.wandb_mode import ID_KEY

DATA = DataFiles("fields", (), {"sha256": "ab" * 32})


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    isolate_wandb(monkeypatch, tmp_path)
    yield
    wandb.teardown()


class Monitored(FakeTask):
    monitor, monitor_mode = "val/miou", "max"


def fit(folder: Path, *, use_wandb: bool) -> dict:
    callbacks = [RunRecord(folder, DATA), ModelCheckpoint(folder / "checkpoints", filename="best")]
    loggers = make_loggers(folder, project="p", name="n", use_wandb=use_wandb)
    trainer = make_trainer(folder, loggers, callbacks, enable_checkpointing=True, max_epochs=1)
    quietly(trainer.fit, Monitored(), FakeData())
    finish_wandb(trainer)
    return torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)


def test_a_checkpoint_has_the_id_of_its_run(tmp_path: Path) -> None:
    checkpoint = fit(tmp_path, use_wandb=True)
    assert checkpoint[ID_KEY] == (tmp_path / "wandb_run_id.txt").read_text().strip()
    records = read_run(tmp_path)
    (data,) = [record["artifact"] for record in records if record["type"] == "artifact"]
    assert (data["type"], data["use_after_commit"]) == ("dataset", True)
    best = [record["metric"] for record in records if record["type"] == "metric"]
    (metric,) = [entry for entry in best if entry.get("name") == "val/miou"]
    assert metric["summary"] == {"max": True}


def test_without_wandb_a_checkpoint_has_none(tmp_path: Path) -> None:
    assert ID_KEY not in fit(tmp_path, use_wandb=False)


def test_without_wandb_no_model_is_kept(tmp_path: Path) -> None:
    keep_models(make_trainer(tmp_path, [], []), tmp_path / "missing.ckpt", None)


@pytest.mark.parametrize(
    ("git", "tag"),
    [
        (None, []),
        ({"revision": "0123456789abcdef", "dirty": False}, ["git:0123456789"]),
        ({"revision": "0123456789abcdef", "dirty": True}, ["git:0123456789+"]),
    ],
)
def test_a_run_is_found_by_its_tags(git: dict | None, tag: list[str]) -> None:
    tags = run_tags(["mine"], task="SegmentationTask", data="fields", split={"sha256": "c" * 64}, git=git)
    assert tags == ["mine", "SegmentationTask", "fields", "split:cccccccccccc", *tag]


def test_tags_are_no_longer_than_wandb_takes_and_come_once() -> None:
    tags = run_tags(["a" * 80, "x"], task="x", data="y", split={"sha256": "c" * 64}, git=None)
    assert tags == ["a" * 64, "x", "y", "split:cccccccccccc"]
