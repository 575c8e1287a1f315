"""What a run leaves behind beside its figures: pictures of chips, confusion matrices, the checkpoint.

Everything is written into the run folder, and to W&B where a run has it. All work is done on rank zero,
from figures that are summed over the processes already.
"""

import logging
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray

from eoseg.errors import ConfigError
from eoseg.files import write_atomically
from eoseg.models import Kind
from eoseg.recipe import Recipe, Schema
from eoseg.tracking.charts import artifact_metadata, label_csv, matrix_csv, wandb_labels, wandb_matrices
from eoseg.tracking.loggers import STEP, wandb_run
from eoseg.tracking.panel_files import wandb_images, write_panels
from eoseg.tracking.panels import ChipSource, PicturedTask, make_panels

_log = logging.getLogger(__name__)


class RecordedTask(Protocol):
    """What the records need of a task, beside being a LightningModule."""

    schema: Schema
    kind: Kind

    def matrix(self, stage: str) -> NDArray[np.int64]:
        """Confusion matrix, rows reference, columns map; for one class per pixel or chip."""

    def label_tables(self, stage: str) -> NDArray[np.int64]:
        """A table `(2, 2)` for each label, rows reference, columns answer; for several labels per chip."""

    def recipe(self) -> Recipe:
        """What the checkpoint says beside its weights."""


class ChipPanels(Callback):
    """Show fixed chips: what the network saw, what is true, what it says, and where it errs.

    A change shows both dates, a series some of them, a quantity colours of fixed scales; classified chips
    come on one sheet. Tables of single pixels have nothing to show, and pretraining nothing to compare.

    While fitting, after every n-th validation and the last one; in `validate` and `test` at the end.
    The pictures are written to `panels/` in the run folder. The run's random numbers and the network's
    mode are left as they were.
    """

    def __init__(self, run_folder: Path, *, every_n_epochs: int = 5, count: int = 8) -> None:
        """Choose how often, and how many.

        Args:
            run_folder: The folder of the run.
            every_n_epochs: Epochs between two sets of pictures.
            count: Chips; W&B advises fewer than 50.

        Raises:
            ConfigError: A number is below 1, or there are 50 chips or more.
        """
        if every_n_epochs < 1:
            raise ConfigError(f"Panels need every_n_epochs of at least 1; got {every_n_epochs}.")
        if not 1 <= count < 50:
            raise ConfigError(f"Panels show 1 to 49 chips; got {count}.")
        self.run_folder = run_folder
        self.every_n_epochs = every_n_epochs
        self.count = count

    # The hooks at the end of the *epoch* would come before the task has chosen a threshold.

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show validation chips."""
        if _is_due(trainer, self.every_n_epochs):
            self._show(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show test chips."""
        if trainer.is_global_zero:
            self._show(trainer, pl_module, "test")

    def _show(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        source = cast(ChipSource, trainer.datamodule)  # type: ignore[attr-defined]
        schema, kind = cast(PicturedTask, module).schema, cast(PicturedTask, module).kind
        if source.chip_size == 1 or kind == "pretraining":
            _log.debug("no pictures of chips: the data are single pixels, or have no labels to learn")
            return
        with isolate_rng():
            panels = make_panels(module, source, stage, self.count)
        folder = (
            self.run_folder / "panels" / (f"epoch_{trainer.current_epoch:04d}" if _fits(trainer) else stage)
        )
        write_panels(folder, panels, schema, kind=kind, statistics=source.statistics)
        run = wandb_run(trainer)
        if run is not None:
            images = [image for panel in panels for image in wandb_images(panel, schema, kind)]
            run.log({f"{stage}/chips": images, STEP: _step(trainer)})


class ConfusionPanel(Callback):
    """Write the confusion matrix as CSV, and show it in W&B: raw, by reference class, figures per class.

    Where chips have several labels, it is a row for each label; a quantity has no matrix. The CSV file is
    that of the last validation or test; W&B gets every n-th and the last.
    """

    def __init__(self, run_folder: Path, *, every_n_epochs: int = 5) -> None:
        """Choose how often W&B gets the matrix.

        Args:
            run_folder: The folder of the run.
            every_n_epochs: Epochs between two matrices in W&B.

        Raises:
            ConfigError: The number is below 1.
        """
        if every_n_epochs < 1:
            raise ConfigError(
                f"The confusion matrix needs every_n_epochs of at least 1; got {every_n_epochs}."
            )
        self.run_folder = run_folder
        self.every_n_epochs = every_n_epochs

    # The hooks at the end of the *epoch* would come before the task has summed over processes.

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the matrix of the validation split."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            self._record(trainer, pl_module, "val", to_wandb=_is_due(trainer, self.every_n_epochs))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the matrix of the test split."""
        if trainer.is_global_zero:
            self._record(trainer, pl_module, "test", to_wandb=True)

    def _record(self, trainer: Trainer, module: LightningModule, stage: str, *, to_wandb: bool) -> None:
        if not hasattr(module, "matrix"):
            return  # what it learns is no class
        task = cast(RecordedTask, module)
        names = task.schema.class_names
        run = wandb_run(trainer) if to_wandb else None
        if task.schema.multilabel:
            tables = task.label_tables(stage)
            write_atomically(self.run_folder / f"labels_{stage}.csv", label_csv(tables, names))
            charts = {} if run is None else wandb_labels(tables, names, stage)
        else:
            matrix = task.matrix(stage)
            write_atomically(self.run_folder / f"confusion_{stage}.csv", matrix_csv(matrix, names))
            unit = "chips" if task.kind == "classification" else "pixels"
            charts = {} if run is None else wandb_matrices(matrix, names, stage, unit=unit)
        if run is not None:
            run.log({**charts, STEP: _step(trainer)})


class CheckpointArtifact(Callback):
    """Give W&B the best checkpoint, with its recipe, when the training has ended.

    The file is referred to where it lies and not copied; an offline run uploads it with `wandb sync`.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the artifact."""
        run = wandb_run(trainer) if trainer.is_global_zero else None
        if run is None:
            return
        best = str(getattr(trainer.checkpoint_callback, "best_model_path", ""))
        if not best:
            _log.warning("W&B gets no checkpoint: the run ended before the first one was saved.")
            return
        import wandb

        recipe = cast(RecordedTask, pl_module).recipe()
        artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=artifact_metadata(recipe))
        artifact.add_file(best, name="model.ckpt", policy="immutable", skip_cache=True)
        run.log_artifact(artifact, aliases=["best"])


def _step(trainer: Trainer) -> int:
    """The step under which Lightning logs the figures of the same moment."""
    return max(0, trainer.global_step - 1)


def _fits(trainer: Trainer) -> bool:
    return trainer.state.fn == TrainerFn.FITTING


def _is_due(trainer: Trainer, every: int) -> bool:
    """Whether this validation is one to show: each n-th of a training, its last, and any other."""
    if trainer.sanity_checking or not trainer.is_global_zero:
        return False
    if not _fits(trainer):
        return True
    done = trainer.current_epoch + 1
    return done % every == 0 or done == trainer.max_epochs or trainer.should_stop
