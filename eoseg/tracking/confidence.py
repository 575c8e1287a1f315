"""Whether the network's confidence can be believed: how often it is right when it says how sure it is."""

import csv
import io
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from eoseg.batch import IGNORE, Batch
from eoseg.errors import ConfigError
from eoseg.figures.confidence import calibration_error, reliability_image
from eoseg.files import write_atomically
from eoseg.recipe import Schema
from eoseg.tracking.board import is_due, show
from eoseg.tracking.gather import is_shared
from eoseg.tracking.loggers import wandb_run

BINS = 1000
"""Steps of the confidence in which answers are counted."""


class ConfidentTask(Protocol):
    """What the counts need of a task."""

    schema: Schema

    def target(self, batch: Batch) -> Tensor:
        """What is to be learned."""


class ReliabilityPanel(Callback):
    """Count how often answers of each confidence are right, and draw it.

    The confidence is the probability of the likeliest class, of a pixel or a chip; of several labels that of
    each label's likelier side. Counts are whole numbers that are summed over processes, so that they are the
    same for any number of them. The expected calibration error (Guo et al. 2017,
    https://arxiv.org/abs/1706.04599) is logged in every epoch, the diagram is drawn when panels are.
    """

    def __init__(self, run_folder: Path, *, every_n_epochs: int = 5) -> None:
        """Choose how often the diagram is drawn.

        Args:
            run_folder: The folder of the run; gets `reliability_val.csv` and `reliability_test.csv`.
            every_n_epochs: Epochs between two diagrams.

        Raises:
            ConfigError: The number is below 1.
        """
        if every_n_epochs < 1:
            raise ConfigError(
                f"The reliability diagram needs every_n_epochs of at least 1; got {every_n_epochs}."
            )
        self.run_folder = run_folder
        self.every_n_epochs = every_n_epochs
        self._counts = torch.zeros(2, BINS, dtype=torch.int64)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start counting afresh."""
        self._counts = torch.zeros(2, BINS, dtype=torch.int64, device=pl_module.device)

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Count a batch."""
        task = cast(ConfidentTask, pl_module)
        if isinstance(outputs, Tensor) and task.schema.classes and not trainer.sanity_checking:
            self._counts += confidence_counts(task, outputs, batch)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum over processes, and log the calibration error."""
        self._finish_epoch(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum over processes, and log the calibration error."""
        self._finish_epoch(trainer, pl_module, "test")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Draw the diagram."""
        self._draw(trainer, "val", drawn=is_due(trainer, self.every_n_epochs))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Draw the diagram."""
        self._draw(trainer, "test", drawn=True)

    def _finish_epoch(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if trainer.sanity_checking:
            return
        if is_shared():
            torch.distributed.all_reduce(self._counts)
        counts = self._counts.cpu().numpy()
        if counts.any():
            module.log(f"{stage}/calibration_error", calibration_error(counts))

    def _draw(self, trainer: Trainer, stage: str, *, drawn: bool) -> None:
        counts = self._counts.cpu().numpy()
        if trainer.sanity_checking or not trainer.is_global_zero or not counts.any():
            return
        write_atomically(self.run_folder / f"reliability_{stage}.csv", reliability_csv(counts))
        if drawn:
            picture = {"confidence and share of right answers": reliability_image(counts)}
            charts = {} if wandb_run(trainer) is None else wandb_reliability(counts, stage)
            show(trainer, {f"{stage}/reliability": picture}, charts=charts)


def confidence_counts(task: ConfidentTask, logits: Tensor, batch: Batch) -> Tensor:
    """Count answers by their confidence: int64 `(2, BINS)`, wrong and right.

    Args:
        task: What is right.
        logits: `(B, K, ...)`.
        batch: The chips.
    """
    target = task.target(batch)
    if task.schema.multilabel:
        share = logits.float().sigmoid()
        confidence, answer = torch.maximum(share, 1 - share), (share > 0.5).long()
    else:
        confidence, answer = logits.float().softmax(dim=1).max(dim=1)
    known = target != IGNORE
    right = (answer[known] == target[known]).long()
    places = (confidence[known] * BINS).long().clamp_(0, BINS - 1)
    return torch.bincount(right * BINS + places, minlength=2 * BINS).view(2, BINS)


def reliability_csv(counts: NDArray[np.int64]) -> str:
    """Counts as CSV text: a row for each step of the confidence that occurs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["confidence from", "to", "wrong", "right"])
    for place in np.flatnonzero(counts.any(axis=0)).tolist():
        writer.writerow([place / BINS, (place + 1) / BINS, *counts[:, place].tolist()])
    return text.getvalue()


def wandb_reliability(counts: NDArray[np.int64], stage: str) -> dict[str, Any]:
    """The diagram for `run.log` as a chart that can be read off: `<stage>/reliability_curve`."""
    import wandb

    from eoseg.figures.confidence import reliability_steps

    steps = reliability_steps(counts)
    table = wandb.Table(
        columns=["confidence", "right", "answers"],
        data=[[step.confidence, step.right, step.count] for step in steps],
    )
    title = f"Reliability, {stage}"
    return {f"{stage}/reliability_curve": wandb.plot.line(table, "confidence", "right", title=title)}
