"""A task and a datamodule of a few lines."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from eoseg.batch import IGNORE, Batch
from eoseg.metrics import confusion_matrix
from eoseg.recipe import BandStatistics, Recipe, Schema, Statistics, parse_classes

SCHEMA = Schema(("red", "green", "blue"), parse_classes({"dark": "#000080", "bright": "#FFFF00"}))
STATISTICS = Statistics(
    tuple(BandStatistics(name, 128, 64, 0, 0, 255, 255) for name in SCHEMA.bands),
    "uint8",
    100,
    100,
    (50, 50),
)


def chips(stage: str, count: int) -> Batch:
    """Chips whose left half is dark and right half bright; one row is unlabelled, one column invalid."""
    image = torch.zeros(count, 3, 16, 16)
    image[..., 8:] = 255.0
    valid = torch.ones(count, 16, 16, dtype=torch.bool)
    valid[..., 15] = False
    mask = (image[:, 0] > 0).long()
    mask[:, 0] = IGNORE
    return {
        "image": image,
        "valid": valid,
        "mask": mask.masked_fill(~valid, IGNORE),
        "id": [f"{stage}/scene one@{16 * number},0" for number in range(count)],
    }


class FakeData(LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.batch_size = 2
        self.chip_size = 16
        self.statistics = STATISTICS
        self.asked: list[tuple[str, int]] = []

    def panel_chips(self, stage: str, count: int) -> Batch:
        self.asked.append((stage, count))
        torch.rand(3)  # a datamodule that touches the run's random numbers
        np.random.rand(3)  # noqa: NPY002
        return chips(stage, count)

    def places(self, ids: Sequence[str]) -> list[tuple[float, float] | None]:
        return [(7.0 + number, 46.5) for number in range(len(ids))]

    def _loader(self) -> "DataLoader[int]":
        return DataLoader(range(4), batch_size=2)  # type: ignore[arg-type]

    train_dataloader = val_dataloader = test_dataloader = _loader


class FakeTask(LightningModule):
    """Calls the rows from the middle on bright, whatever is there."""

    kind = "segmentation"

    def __init__(self) -> None:
        super().__init__()
        self.schema = SCHEMA
        self.weight = nn.Parameter(torch.zeros(1))
        self.drop = nn.Dropout(0.5)
        self.modes: list[bool] = []
        self.counted = {stage: np.zeros((2, 2), np.int64) for stage in ("val", "test")}

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        self.modes.append(self.training)
        logits = torch.zeros(image.shape[0], 2, *image.shape[2:])
        logits[:, 1, 8:] = 1
        logits[:, 0, :8] = 1
        return self.drop(logits)

    def answer(self, image: Tensor, valid: Tensor, days: Tensor | None, *, stage: str) -> Tensor:
        return self(image, valid)

    def predict_classes(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)

    def target(self, batch: Batch) -> Tensor:
        return batch["mask"].masked_fill(~batch["valid"], IGNORE)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = (self.weight * torch.rand(1) + batch.float().mean()) ** 2
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", batch.float().mean())

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("test/loss", batch.float().mean())

    def _finish(self, stage: str) -> None:
        batch = chips(stage, 1)
        predicted = self.predict_classes(self.eval()(batch["image"], batch["valid"]))
        self.counted[stage] = confusion_matrix(batch["mask"].numpy(), predicted.numpy(), 2)
        self.log(f"{stage}/miou", 0.5)

    def on_validation_epoch_end(self) -> None:
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        self._finish("test")

    def matrix(self, stage: str) -> np.ndarray:
        return self.counted[stage]

    def recipe(self) -> Recipe:
        return Recipe("FakeTask", SCHEMA, STATISTICS, {"arch": "fake"}, 16, 1, {"seed": 0})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_trainer(
    folder: Path, loggers: Sequence[Logger], callbacks: Sequence[Callback], **options: Any
) -> Trainer:
    settings = {"max_epochs": 4, "enable_checkpointing": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Trainer(
            default_root_dir=folder,
            accelerator="cpu",
            logger=list(loggers) or False,
            callbacks=list(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            **settings,
        )


def quietly(function: Any, *arguments: Any) -> None:
    """Call a method of a trainer without Lightning's advice on workers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists.*")
        function(*arguments)
