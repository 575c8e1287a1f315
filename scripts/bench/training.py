"""What the benches of training work on: `eoseg fit` on batches that lie in memory, without files."""

import json
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader
from world import CLASSES, band_names, make_land

from eoseg.batch import Batch
from eoseg.datasets.base import EOData
from eoseg.datasets.loader import TimedLoader
from eoseg.recipe import BandStatistics, Plain, Schema, Statistics, parse_classes

BANDS = 4
MEAN, STD = 1700.0, 700.0


class MemoryData(EOData):
    """One batch of synthetic land, again and again."""

    def __init__(self, chip_size: int, batch_size: int, steps: int, *, seed: int = 0) -> None:
        super().__init__()
        self.chip_size = chip_size
        self.batch_size = batch_size
        self.steps = steps
        self.batch = land_batch(chip_size, batch_size, seed=seed)

    @property
    def schema(self) -> Schema:
        return Schema(band_names(BANDS), parse_classes(CLASSES))

    @property
    def statistics(self) -> Statistics:
        bands = tuple(BandStatistics(n, MEAN, STD, 100, 500, 3500, 9000) for n in band_names(BANDS))
        return Statistics(bands, "uint16", 1, 1, (1,) * len(CLASSES))

    @property
    def split_record(self) -> dict[str, Plain]:
        return {"method": "memory", "sha256": "0" * 64}

    def has(self, stage: str) -> bool:
        return True

    def files(self) -> list[str]:
        return []

    def members(self, stage: str) -> list[str]:
        return [f"{stage}: {name}" for name in self.batch["id"]]

    def panel_chips(self, stage: str, count: int) -> Batch:
        return {key: value[:count] for key, value in self.batch.items()}  # type: ignore[return-value]

    def train_dataloader(self) -> "DataLoader[Batch]":
        return TimedLoader([self.batch] * self.steps, batch_size=None, collate_fn=as_it_is)  # type: ignore[arg-type]

    def val_dataloader(self) -> "DataLoader[Batch]":
        return DataLoader([self.batch], batch_size=None, collate_fn=as_it_is)  # type: ignore[arg-type]


class StepTimes(Callback):
    """Writes wall and CPU time of each step, of each process into a file of its own."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        content = {"wall": self.wall, "cpu": self.cpu}
        (self.folder / f"steps_{trainer.global_rank}.json").write_text(json.dumps(content))


def as_it_is(batch: Batch) -> Batch:
    """Leave a batch as it is."""
    return batch


def land_batch(chip_size: int, batch_size: int, *, seed: int) -> Batch:
    """Chips of synthetic land with classes and a corner without values."""
    images, masks = zip(*(make_land(chip_size, BANDS, seed=seed + n) for n in range(batch_size)), strict=True)
    valid = torch.ones(batch_size, chip_size, chip_size, dtype=torch.bool)
    valid[:, :4, :4] = False
    stacked: list[Tensor] = [
        torch.stack([torch.from_numpy(part) for part in parts]) for parts in (images, masks)
    ]
    return {
        "image": stacked[0].float(),
        "mask": stacked[1].long(),
        "valid": valid,
        "id": [f"land@{number},0" for number in range(batch_size)],
    }


def write_config(
    folder: Path, *, chip: int, batch: int, steps: int, callback: str, network: dict[str, Any], **trainer: Any
) -> Path:
    """A configuration as a user would write it, but for the data and one callback."""
    config = {
        "data": {
            "class_path": "training.MemoryData",
            "init_args": {"chip_size": chip, "batch_size": batch, "steps": steps},
        },
        "model": {"class_path": "SegmentationTask", "init_args": network},
        "run": {"folder": str(folder / "runs"), "wandb": False},
        "trainer": {
            "max_epochs": 1,
            "accelerator": "cpu",
            "callbacks": [{"class_path": callback, "init_args": {"folder": str(folder)}}],
            **trainer,
        },
    }
    path = folder / f"{callback.rpartition('.')[2].lower()}_{chip}_{batch}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
