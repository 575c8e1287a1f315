"""Which W&B run a training is, what it learns from, and what came of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from eoseg.models.checkpoint import read_checkpoint
from eoseg.recipe import Plain
from eoseg.tracking.board import is_fitting
from eoseg.tracking.lineage import DataFiles, log_models, log_result, use_data, use_model
from eoseg.tracking.loggers import STEP, wandb_run
from eoseg.tracking.wandb_mode import ID_KEY

JOBS = {"fit": "train", "validate": "validate", "test": "test"}
"""The job type of a run in W&B, by command."""


class MonitoredTask(Protocol):
    """What the record needs of a task."""

    monitor: str
    monitor_mode: str


class RunRecord(Callback):
    """Keep the id of the W&B run in each checkpoint; say what a run uses; keep the tables of an evaluation.

    Comes last among the callbacks, when the others have written their files.
    """

    def __init__(self, run_folder: Path, data: DataFiles) -> None:
        """Take what is known before the run.

        Args:
            run_folder: The folder of the run.
            data: What it learns from, or is judged by.
        """
        self.run_folder = run_folder
        self.data = data

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what the run learns from, and which of its figures is the best."""
        self._use_data(trainer)
        run = wandb_run(trainer) if trainer.is_global_zero else None
        if run is not None:
            task = cast(MonitoredTask, pl_module)
            run.define_metric(task.monitor, step_metric=STEP, summary=task.monitor_mode)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Say what is judged, and by what."""
        if not is_fitting(trainer):
            self._use_data(trainer)
            self._use_model(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Say what is judged, and by what."""
        self._use_data(trainer)
        self._use_model(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Keep the tables, where validating was all there was to do."""
        if not is_fitting(trainer):
            self._keep_tables(trainer, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Keep the tables."""
        self._keep_tables(trainer, "test")

    def on_save_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Add the run's id; a training that goes on from this file is the same run in W&B."""
        run = wandb_run(trainer) if trainer.is_global_zero else None
        if run is not None:
            checkpoint[ID_KEY] = run.id

    def _use_data(self, trainer: Trainer) -> None:
        run = wandb_run(trainer) if trainer.is_global_zero else None
        if run is not None:
            use_data(run, self.data, self.run_folder / "split.json")

    def _use_model(self, trainer: Trainer) -> None:
        run = wandb_run(trainer) if trainer.is_global_zero and trainer.ckpt_path else None
        if run is not None:
            checkpoint = Path(str(trainer.ckpt_path))
            use_model(run, checkpoint, read_checkpoint(checkpoint)[0])

    def _keep_tables(self, trainer: Trainer, stage: str) -> None:
        run = wandb_run(trainer) if trainer.is_global_zero else None
        files = sorted(self.run_folder.glob(f"*_{stage}.csv"))
        if run is not None and files:
            figures = {
                name: float(value)
                for name, value in trainer.callback_metrics.items()
                if name.startswith(f"{stage}/")
            }
            log_result(run, f"evaluation-{run.id}", "evaluation", files, figures)


def keep_models(trainer: Trainer, best: Path, last: Path | None, *, register: str | None = None) -> None:
    """Give W&B what a training has learned, where the run has W&B. Call it on rank zero."""
    run = wandb_run(trainer)
    if run is not None:
        log_models(run, best, last, read_checkpoint(best)[0], register=register)


def run_tags(
    given: Sequence[str], *, task: str, data: str, split: Mapping[str, Plain], git: Mapping[str, Plain] | None
) -> list[str]:
    """Tags by which a run is found: the user's own, task, data, hash of the split, revision of the code.

    Args:
        given: The user's own.
        task: Class of the task.
        data: Name of the data.
        split: How the data were divided, with `sha256`.
        git: Revision and whether files differ from it; None without a checkout.
    """
    revision = [] if git is None else [f"git:{str(git['revision'])[:10]}{'+' if git['dirty'] else ''}"]
    tags = [*given, task, data, f"split:{str(split['sha256'])[:12]}", *revision]
    return list(dict.fromkeys(tag[:64] for tag in tags))  # W&B takes at most 64 letters
