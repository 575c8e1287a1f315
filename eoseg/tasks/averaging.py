"""Weights averaged over the last steps of a run, or over all of them with a decay.

Stochastic gradient descent ends up wandering around the minimum; the mean of its steps lies closer to it
(Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; for deep networks Izmailov et al. 2018,
https://arxiv.org/abs/1803.05407). An exponential moving average follows the training and needs no choice
of an end.
"""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

_KEY = "averaging"


class AverageWeights(Callback):
    """Let validation, checkpoints and the trained network have the mean of the weights of several steps.

    Training itself goes on from the weights of the last step. Averaged are all parameters and the running
    statistics of batch normalisation (floating point); counters are those of the last step. Before the
    first averaged step there is nothing to replace, and the weights are those of the last step.

    Lightning's own callback copies the whole task before its statistics are set, and averages what the
    task counts too; in a checkpoint that is saved without callbacks it leaves the weights of the last step.
    """

    def __init__(self, share: float | None = None, *, decay: float | None = None) -> None:
        """Choose the steps.

        Args:
            share: Share of all steps, at the end of the run, above 0 to 1.
            decay: Instead of a share: of each step the mean keeps this much of itself and takes the rest from
                the new weights. It rises to this value over the first steps, as (1 + n) / (10 + n), so that
                the first weights are forgotten.
        """
        self.share = 1.0 if share is None else share
        self.decay = decay
        self._first: int | None = None  # number of the first step to average; None while not training
        self._latest = 0
        self._count = 0
        self._mean: dict[str, Tensor] = {}
        self._own: dict[str, Tensor] | None = None  # those of the last step, while the mean is in their place

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out which steps to average; go on where a checkpoint ended."""
        total = int(trainer.estimated_stepping_batches)
        self._first = total - max(1, round(self.share * total)) + 1
        self._latest = trainer.global_step
        if self._count:
            self._mean = _copy(_values(pl_module))  # a checkpoint holds the mean as its weights
            self._use_own(pl_module)
        if trainer.global_step < self._first:
            self._count = 0  # the run was made longer: its end is yet to come

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Add the weights after a step, of which one may take several batches."""
        step = trainer.global_step
        if self._first is None or step < self._first or step == self._latest:
            return
        self._latest = step
        self._count += 1
        values = _values(pl_module)
        if self._count == 1:
            self._mean = _copy(values)
            return
        for name, mean in self._mean.items():
            mean += (values[name].to(mean) - mean) * self._part()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Validate with the mean."""
        if self._first is not None:
            self._use_mean(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Train on from the last step."""
        if self._first is not None:
            self._use_own(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave the mean as the trained weights."""
        self._use_mean(pl_module)
        self._first = None

    def write(self, checkpoint: dict[str, Any]) -> None:
        """Put the mean into a checkpoint as its weights, and beside it what is needed to go on."""
        if not self._count:
            return
        weights = checkpoint["state_dict"]
        own = {name: weights[name] for name in self._mean} if self._own is None else self._own
        checkpoint["state_dict"] = weights | {
            name: mean.to(weights[name]) for name, mean in self._mean.items()
        }
        checkpoint[_KEY] = {"count": self._count, "own": own}

    def read(self, checkpoint: Mapping[str, Any]) -> None:
        """Prepare to go on from a checkpoint whose weights are a mean."""
        if _KEY in checkpoint:
            self._count = int(checkpoint[_KEY]["count"])
            self._own = dict(checkpoint[_KEY]["own"])

    def _part(self) -> float:
        """How much of the newest weights the mean takes."""
        if self.decay is None:
            return 1 / self._count
        return 1 - min(self.decay, self._count / (9 + self._count))

    def _use_mean(self, module: LightningModule) -> None:
        if self._count and self._own is None:
            values = _values(module)
            self._own = {name: value.clone() for name, value in values.items()}
            _put(values, self._mean)

    def _use_own(self, module: LightningModule) -> None:
        if self._own is not None:
            _put(_values(module), self._own)
            self._own = None


def _values(module: LightningModule) -> dict[str, Tensor]:
    """What is averaged: the module's own tensors, not copies."""
    return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}


def _copy(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in float32 at least: in half precision a long sum would lose its digits."""
    return {
        name: value.to(torch.promote_types(value.dtype, torch.float32), copy=True)
        for name, value in values.items()
    }


def _put(values: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            value.copy_(new[name])
