"""How long training waits for data, and what is said of it."""

import logging
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from eoseg.datasets.loader import TimedLoader
from eoseg.tracking.data_wait import DataWait, advice


class Numbers(Dataset[Tensor]):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Tensor:
        time.sleep(self.seconds)
        return torch.ones(1)


class Learner(LightningModule):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seconds = seconds

    def training_step(self, batch: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Path, reading: float, computing: float, loader: Any = TimedLoader) -> Trainer:
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=CSVLogger(folder),
        callbacks=[DataWait()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    trainer.fit(Learner(computing), loader(Numbers(reading), batch_size=1))
    return trainer


def test_a_slow_reader_is_measured_and_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = fit(tmp_path, 0.03, 0.03)
    assert 0.15 < float(trainer.callback_metrics["train/data_wait"]) < 0.95
    lines = [record.getMessage() for record in caplog.records if "waited for data" in record.getMessage()]
    assert len(lines) == 1
    assert "s per step). Give the job more cores" in lines[0]  # this data has no option to change
    header = next(tmp_path.rglob("metrics.csv")).read_text().splitlines()[0]
    assert "train/data_wait_step" in header


@pytest.mark.parametrize(("waited", "is_told"), [(0.5, False), (1.5, True)])
def test_up_to_a_tenth_is_not_spoken_of(
    caplog: pytest.LogCaptureFixture, waited: float, is_told: bool
) -> None:
    loader = SimpleNamespace(asked=time.perf_counter() - 10, waited=waited, num_workers=0)
    logged: dict[str, float] = {}
    module = SimpleNamespace(log=lambda name, value, **_: logged.update({name: value}))
    run_epoch(loader, module, SimpleNamespace(is_global_zero=True))
    assert logged["train/data_wait"] == pytest.approx(waited / 10, rel=0.05)
    assert ("waited" in caplog.text) == is_told


def run_epoch(loader: object, module: object, trainer: Any) -> None:
    """One of a single step."""
    trainer.train_dataloader, trainer.datamodule, callback = loader, None, DataWait()
    callback.on_train_epoch_start(trainer, module)
    callback.on_train_batch_end(trainer, module, None, None, 0)
    callback.on_train_epoch_end(trainer, module)


def test_a_loader_that_does_not_measure_logs_nothing(tmp_path: Path) -> None:
    assert "train/data_wait" not in fit(tmp_path, 0.0, 0.0, DataLoader).callback_metrics


def test_the_start_of_workers_is_no_waiting() -> None:
    logged: list[str] = []
    module = SimpleNamespace(log=lambda name, value, **_: logged.append(name))
    loader = SimpleNamespace(asked=time.perf_counter() - 9, waited=8.9, num_workers=2)
    trainer, callback = SimpleNamespace(train_dataloader=loader), DataWait()
    callback.on_train_epoch_start(trainer, module)
    callback.on_train_batch_end(trainer, module, None, None, 0)
    assert logged == []
    callback.on_train_batch_end(trainer, module, None, None, 1)
    assert logged == ["train/data_wait_step"]


@pytest.mark.parametrize(
    ("data", "workers", "cores", "said"),
    [
        (
            {"num_workers": 0, "cache": None},
            0,
            8,
            r"num_workers to 2 \(now 0; this process may use 8 cores\)",
        ),
        ({"num_workers": 4, "cache": None}, 4, 8, r"num_workers to 7 \(now 4"),
        ({"num_workers": 7, "cache": None}, 7, 8, r"data.init_args.cache to a folder on a fast disk"),
        ({"num_workers": 0, "cache": None}, 0, 1, r"data.init_args.cache"),
        ({"num_workers": 7, "cache": "/scratch"}, 7, 8, r"more cores and workers.*blockxsize=256"),
        ({"num_workers": 7}, 7, 8, r"more cores and workers"),
    ],
)
def test_what_to_change_follows_from_what_is_set(
    monkeypatch: pytest.MonkeyPatch, data: dict[str, object], workers: int, cores: int, said: str
) -> None:
    import re

    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert re.search(said, advice(SimpleNamespace(**data), workers))


def test_only_the_first_process_speaks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    module = SimpleNamespace(log=lambda *_, **__: None)
    for rank in (1, 0):
        loader = SimpleNamespace(asked=time.perf_counter() - 10, waited=9, num_workers=0)
        run_epoch(loader, module, SimpleNamespace(is_global_zero=rank == 0))
        assert ("waited for data 90 %" in caplog.text) == (rank == 0)
