"""Worlds of a few batches with known answers, networks of a few weights, and a quiet trainer."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from eoseg.batch import IGNORE, Batch
from eoseg.errors import DataError
from eoseg.models import MODELS, Dimensions, FittedBody
from eoseg.recipe import BandStatistics, Quantity, Schema, Statistics, parse_classes


class Pixelwise(nn.Module):
    """A linear classifier of pixels."""

    output_stride = 1

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.layer = nn.Conv2d(dims.channels, dims.classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image)


class NormedPixelwise(Pixelwise):
    """The same after a batch normalisation."""

    def __init__(self, dims: Dimensions) -> None:
        super().__init__(dims)
        self.norm = nn.BatchNorm2d(dims.channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(self.norm(image))


class Difference(Pixelwise):
    """A linear classifier of what is new on the second date."""

    def forward(self, image: Tensor) -> Tensor:
        return self.layer((image[:, 1] - image[:, 0]).abs())


class Seasons(nn.Module):
    """A linear classifier of the mean over the valid dates, plain and weighted by season."""

    output_stride = 1

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2 * dims.channels, dims.classes, 1)

    def forward(self, image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        there = valid.unsqueeze(2).to(image)  # (B, T, 1, H, W)
        season = torch.cos(2 * math.pi * days / 365)[:, :, None, None, None]
        total = there.sum(dim=1).clamp(min=1)
        means = [(image * there).sum(dim=1) / total, (image * there * season).sum(dim=1) / total]
        return self.layer(torch.cat(means, dim=1))  # (B, K, H, W)


class Pooled(nn.Module):
    """A linear classifier of a chip's mean."""

    output_stride = 1

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.layer = nn.Linear(dims.channels, dims.classes)

    def features(self, image: Tensor) -> Tensor:
        return image.mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(self.features(image))


class ClassMeans(FittedBody):
    """Gives each pixel the class whose mean is nearest; keeps the pixels that it learned from."""

    means: Tensor
    pixels: Tensor

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.classes = dims.classes
        self.register_buffer("means", torch.zeros(dims.classes, dims.channels))
        self.register_buffer("pixels", torch.zeros(0, dims.channels))
        self.batches: list[tuple[Tensor, Tensor]] = []
        self.fits: list[tuple[int, list[float] | None]] = []

    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:
        known = target != IGNORE
        self.batches.append((image.movedim(1, -1)[known], target[known]))

    def fit(self, class_weights: list[float] | None = None) -> None:
        self.fits.append((len(self.batches), class_weights))
        if not self.batches:
            raise DataError("Nothing was collected.")
        rows, classes = (torch.cat(parts) for parts in zip(*self.batches, strict=True))
        self.means = torch.stack([rows[classes == number].mean(dim=0) for number in range(self.classes)])
        self.pixels = rows
        self.is_fitted.fill_(True)
        self.batches = []

    def forward(self, image: Tensor) -> Tensor:
        self.require_fitted()
        return -(image.unsqueeze(1) - self.means[None, :, :, None, None]).square().sum(dim=2)  # (B, K, H, W)


def use_local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make these networks known under the name "local", and others as told here."""
    for kind, name, model in (
        ("segmentation", "local", Pixelwise),
        ("segmentation", "normed", NormedPixelwise),
        ("segmentation", "means", ClassMeans),
        ("change", "local", Difference),
        ("series", "local", Seasons),
        ("classification", "local", Pooled),
    ):
        monkeypatch.setitem(MODELS[kind], name, model)


def make_schema(
    classes: Sequence[str] = ("a", "b"), bands: Sequence[str] = ("x", "y"), **options: Any
) -> Schema:
    return Schema(tuple(bands), parse_classes(list(classes)), **options)


HEIGHT = Schema(("x", "y"), (), quantity=Quantity("height", "m"))


def make_statistics(schema: Schema, *, mean: float = 0.0, std: float = 1.0, **options: Any) -> Statistics:
    bands = tuple(
        BandStatistics(name, mean, std, mean - 3 * std, mean - 2 * std, mean + 2 * std, mean + 3 * std)
        for name in schema.bands
    )
    settings: dict[str, Any] = {"class_pixels": (100,) * len(schema.classes), **options}
    return Statistics(bands, "float32", 100, 100, **settings)


class World(LightningDataModule):
    """Batches as they are."""

    def __init__(
        self, statistics: Statistics, train: Sequence[Batch], val: Sequence[Batch], chip_size: int = 8
    ) -> None:
        super().__init__()
        self.statistics = statistics
        self.batches = {"train": list(train), "val": list(val)}
        self.chip_size = chip_size
        self.batch_size = 2

    def panel_chips(self, stage: str, count: int) -> Batch:
        first = self.batches["val"][0]
        return {key: value[:count] for key, value in first.items()}  # type: ignore[return-value]

    def places(self, ids: Sequence[str]) -> list[tuple[float, float] | None]:
        return [None] * len(ids)

    def _loader(self, stage: str) -> "DataLoader[Batch]":
        mine = self.batches[stage]
        if self.trainer is not None and stage != "train":
            mine = mine[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(mine, batch_size=None, collate_fn=_as_it_is)  # type: ignore[arg-type]

    def train_dataloader(self) -> "DataLoader[Batch]":
        return self._loader("train")

    def val_dataloader(self) -> "DataLoader[Batch]":
        return self._loader("val")

    test_dataloader = val_dataloader


def _as_it_is(batch: Batch) -> Batch:
    return batch


def make_trainer(folder: Path, task: LightningModule | None = None, **options: Any) -> Trainer:
    """A trainer on the CPU that keeps the best checkpoint by the task's figure as best.ckpt."""
    if task is None:
        options["enable_checkpointing"] = False
    else:
        best = ModelCheckpoint(
            folder, filename="best", monitor=task.monitor, mode=task.monitor_mode, save_last=True
        )
        options["callbacks"] = [*options.get("callbacks", []), best]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Trainer(
            **{
                "max_epochs": 1,
                "accelerator": "cpu",
                "logger": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "use_distributed_sampler": False,
                "default_root_dir": folder,
                **options,
            }
        )


def train(
    task: LightningModule, data: World, folder: Path, *, resume: Path | None = None, **options: Any
) -> Trainer:
    """Fit a task, and give the trainer back."""
    trainer = make_trainer(folder, task, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(task, data, ckpt_path=resume, weights_only=True)
    return trainer


def evaluate(
    task: LightningModule, data: World, folder: Path, stage: str = "test", **options: Any
) -> dict[str, float]:
    """Test or validate, and give the figures back."""
    trainer = make_trainer(folder, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(trainer, stage)(task, data, verbose=False)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def seeded(seed: int = 0) -> np.random.Generator:
    """Numbers of a test, and the network's first weights."""
    seed_everything(seed, verbose=False)
    return np.random.default_rng(seed)


def batch_of(image: np.ndarray, **targets: Any) -> Batch:
    """A batch without invalid pixels; targets by their keys."""
    tensor = torch.tensor(image, dtype=torch.float32)
    valid = torch.ones(*tensor.shape[:-3], *tensor.shape[-2:], dtype=torch.bool)
    values = {key: torch.as_tensor(value) for key, value in targets.items()}
    return {"image": tensor, "valid": valid, "id": [f"c@{n},0" for n in range(len(tensor))], **values}  # type: ignore[typeddict-item]
