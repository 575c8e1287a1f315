"""How a training is doing while it runs: learning rate, size of the gradient, speed, memory."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy
from torch.optim import Optimizer

from eoseg.errors import ConfigError


class TrainingPulse(Callback):
    """Log `train/lr`, `train/grad_norm`, `train/samples_per_second` and, on a GPU, `train/gpu_memory_gib`.

    At each n-th step and at the first of each epoch, so that it costs nothing to speak of. The norm is that
    of the gradient of all parameters together, before clipping; where parameters are spread over processes
    (FSDP) nobody has all of them, and it is left out. The speed is that of all processes since the last
    time, validation not counted. A network that is fitted in one go has none of it but the speed.
    """

    def __init__(self, *, every_n_steps: int = 20) -> None:
        """Choose how often.

        Args:
            every_n_steps: Steps of the optimiser between two times.

        Raises:
            ConfigError: The number is below 1.
        """
        if every_n_steps < 1:
            raise ConfigError(f"The pulse needs every_n_steps of at least 1; got {every_n_steps}.")
        self.every_n_steps = every_n_steps
        self._norm: torch.Tensor | None = None
        self._samples = 0
        self._since = 0.0
        self._logged_step = -1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock; what lies between two epochs is no training."""
        self._samples, self._since = 0, time.perf_counter()

    def on_before_optimizer_step(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        optimizer: Optimizer,
    ) -> None:
        """Take the norm of the gradient, where it will be logged."""
        if isinstance(trainer.strategy, FSDPStrategy) or not self._is_due(trainer):
            return
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self._norm = torch.nn.utils.get_total_norm(grads) if grads else None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log what is known."""
        self._samples += len(batch["id"]) if isinstance(batch, dict) else len(batch)
        step = trainer.global_step - 1  # the step that has just been done
        if step < 0 or step == self._logged_step:
            return  # gradients are being accumulated
        if step % self.every_n_steps and batch_idx:
            return
        self._logged_step = step
        if not trainer.is_global_zero:
            return
        values = self._values(trainer, pl_module)
        for logger in trainer.loggers:
            logger.log_metrics({**values, "epoch": trainer.current_epoch}, step=step)
        self._samples, self._since, self._norm = 0, time.perf_counter(), None

    def _is_due(self, trainer: Trainer) -> bool:
        return trainer.global_step % self.every_n_steps == 0 or self._samples == 0

    def _values(self, trainer: Trainer, module: LightningModule) -> dict[str, float]:
        seconds = max(time.perf_counter() - self._since, 1e-9)
        values = {"train/samples_per_second": self._samples * trainer.world_size / seconds}
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        if module.automatic_optimization and rates:
            values["train/lr"] = float(max(rates))
        if self._norm is not None:
            values["train/grad_norm"] = float(self._norm)
        if module.device.type == "cuda":
            values["train/gpu_memory_gib"] = torch.cuda.max_memory_allocated(module.device) / 2**30
        return values
