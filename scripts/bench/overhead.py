"""What a training step costs under eoseg beside the same step in a bare loop of PyTorch."""

import copy
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from figures import Figure
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn import functional
from training import MEAN, STD, write_config

LIMIT = 1.03
CASES = (
    # name, chip, batch, steps, arch and options, judged
    ("U-Net over ResNet-18, 8 chips of 128 px", 128, 8, 30, {"arch": "unet"}, True),
    ("U-Net over ResNet-18, 4 chips of 64 px", 64, 4, 60, {"arch": "unet"}, True),
    ("a network that costs nearly nothing", 32, 1, 300, {"arch": "mlp"}, False),
)
_WARM_UP = 0.2
"""Share of the steps that are not counted."""


def measure(folder: Path) -> list[Figure]:
    """CPU time of a step of `eoseg fit` / of the bare loop's, which take turns in one process.

    A step of eoseg is all that happens between two bare ones: loader, transfer, network, loss, gradients,
    optimiser, schedule, logging, progress bar, callbacks.
    """
    from eoseg.cli.configuration import train

    figures = []
    for name, chip, batch, steps, network, judged in CASES:
        path = write_config(
            folder, chip=chip, batch=batch, steps=steps, callback="overhead.BareSteps", network=network
        )
        train("fit", [f"--config={path}"])
        taken = json.loads((folder / "turns.json").read_text())
        first = int(_WARM_UP * len(taken["bare"]))
        eoseg, bare = (statistics.median(taken[key][first:]) for key in ("eoseg", "bare"))
        note = f"{1000 * eoseg:.1f} and {1000 * bare:.1f} ms of CPU per step, medians of {steps - first}"
        if judged:
            figures.append(Figure("overhead", name, eoseg / bare, "", LIMIT, "smaller", note))
        else:
            figures.append(Figure("overhead", f"{name}: added", 1000 * (eoseg - bare), "ms", note=note))
    return figures


class BareSteps(Callback):
    """After each step of Lightning takes one of a bare loop, on a copy of the network and the same batch."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.eoseg: list[float] = []
        self.bare: list[float] = []
        self._mark: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set up what a loop of one's own would have."""
        self.model: nn.Module = copy.deepcopy(pl_module.network.body).train()  # type: ignore[union-attr]
        self.optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-3)
        total = int(trainer.estimated_stepping_batches)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the bare step."""
        now = time.process_time()
        if self._mark is not None:
            self.eoseg.append(now - self._mark)
        started = time.process_time()
        self._step(batch)
        self._mark = time.process_time()
        self.bare.append(self._mark - started)

    def _step(self, batch: Any) -> None:
        image = ((batch["image"] - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        mask = batch["mask"].masked_fill(~batch["valid"], 255)
        loss = functional.cross_entropy(self.model(image), mask, ignore_index=255)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.last = loss.item()  # as whoever watches a training does

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave what was measured."""
        (self.folder / "turns.json").write_text(json.dumps({"eoseg": self.eoseg, "bare": self.bare}))
