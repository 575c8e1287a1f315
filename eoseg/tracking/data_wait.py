"""How much of the training time is spent waiting for data, and what to change where it is much."""

import logging
import os
import time
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import Callback, LightningModule, Trainer

_log = logging.getLogger(__name__)

TOLERATED = 0.10
"""Share of the time that may be spent waiting before something is said."""


@runtime_checkable
class TimedSource(Protocol):
    """A loader that measures itself: see `eoseg.datasets.loader.TimedLoader`."""

    asked: float
    """When the latest batch was asked for, in seconds of `time.perf_counter`."""
    waited: float
    """Seconds until it was there."""
    num_workers: int


class DataWait(Callback):
    """Log which share of the time training waits for its next batch, 0 to 1.

    `train/data_wait_step` is that of one step, `train/data_wait` that of an epoch; over several processes
    their mean. The first batch of an epoch does not count where workers read: it waits for them to start.
    Above a tenth, one line at the end of the first such epoch says what to change.
    """

    def __init__(self) -> None:
        """Start at 0."""
        self._waited = 0.0
        self._total = 0.0
        self._steps = 0
        self._has_told = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Count afresh."""
        self._waited, self._total, self._steps = 0.0, 0.0, 0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Log the share of this step."""
        loader = trainer.train_dataloader
        if not isinstance(loader, TimedSource) or (batch_idx == 0 and loader.num_workers):
            return
        step = max(time.perf_counter() - loader.asked, 1e-9)
        self._waited += loader.waited
        self._total += step
        self._steps += 1
        pl_module.log("train/data_wait_step", loader.waited / step, on_step=True, on_epoch=False)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the share of the epoch, and say what to change where it is large."""
        loader = trainer.train_dataloader
        if not self._steps or not isinstance(loader, TimedSource):
            return
        share = self._waited / self._total
        pl_module.log("train/data_wait", share, on_step=False, on_epoch=True, sync_dist=True)
        if share > TOLERATED and not self._has_told and trainer.is_global_zero:
            self._has_told = True
            each = f"{self._waited / self._steps:.3f} of {self._total / self._steps:.3f} s per step"
            remedy = advice(trainer.datamodule, loader.num_workers)  # type: ignore[attr-defined]
            _log.warning("Training waited for data %.0f %% of the time (%s). %s", 100 * share, each, remedy)


def advice(data: object, workers: int) -> str:
    """What makes reading faster: more processes, then decoded scenes on a fast disk, then better files.

    Args:
        data: The datamodule.
        workers: Processes that read now.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < cores - 1 and hasattr(data, "num_workers"):
        return (
            f"Set data.init_args.num_workers to {min(cores - 1, max(2, 2 * workers))} (now {workers}; this "
            f"process may use {cores} cores)."
        )
    if getattr(data, "cache", "") is None:
        return (
            "Set data.init_args.cache to a folder on a fast disk, such as '$SLURM_TMPDIR/eoseg': scenes are "
            "decoded there once."
        )
    return (
        "Give the job more cores and workers, copy the files to a local disk, or rewrite them with smaller "
        "blocks and a faster compression (rio convert --co tiled=true --co blockxsize=256 "
        "--co blockysize=256 --co compress=zstd)."
    )
