"""What a run leaves behind beside its figures: pictures of chips, confusion matrices.

Everything is written into the run folder, and shown in W&B and TensorBoard where a run has them. All work is
done on rank zero, from figures that are summed over the processes already.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray

from eoseg.errors import ConfigError
from eoseg.figures import Rgb, confusion_image
from eoseg.files import write_atomically
from eoseg.models import Kind
from eoseg.recipe import Schema
from eoseg.tracking.board import has_board, is_due, is_fitting, numbered, show
from eoseg.tracking.charts import label_csv, matrix_csv, wandb_labels, wandb_matrices
from eoseg.tracking.loggers import wandb_run
from eoseg.tracking.panel_files import legend, sheet, strip, wandb_images, write_panels
from eoseg.tracking.panels import ChipSource, Panel, PicturedTask, make_panels

_log = logging.getLogger(__name__)


class RecordedTask(Protocol):
    """What the records need of a task, beside being a LightningModule."""

    schema: Schema
    kind: Kind

    def matrix(self, stage: str) -> NDArray[np.int64]:
        """Confusion matrix, rows reference, columns map; for one class per pixel or chip."""

    def label_tables(self, stage: str) -> NDArray[np.int64]:
        """A table `(2, 2)` for each label, rows reference, columns answer; for several labels per chip."""


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
        if trainer.is_global_zero and is_due(trainer, self.every_n_epochs):
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
        name = f"epoch_{trainer.current_epoch:04d}" if is_fitting(trainer) else stage
        folder = self.run_folder / "panels" / name
        write_panels(folder, panels, schema, kind=kind, statistics=source.statistics)
        if not has_board(trainer):
            return
        overlays = {}
        if wandb_run(trainer) is not None:
            overlays = {
                f"{stage}/chips": [part for panel in panels for part in wandb_images(panel, schema, kind)]
            }
        show(trainer, panel_pictures(panels, schema, kind, source, stage), charts=overlays)


def panel_pictures(
    panels: Sequence[Panel], schema: Schema, kind: Kind, source: ChipSource, stage: str
) -> dict[str, dict[str, Rgb]]:
    """Panels as pictures by name: a strip of each in the classes' colours with a legend, or one grid."""
    if kind == "classification":
        return {f"{stage}/grid": {"what each chip is, in red what the network takes it for": sheet(panels)}}
    strips = numbered([(panel.caption, strip(panel)) for panel in panels])
    return {
        f"{stage}/strips": strips,
        f"{stage}/legend": {"colours of the strips": legend(panels, schema, kind, source.statistics)},
    }


class ConfusionPanel(Callback):
    """Write the confusion matrix as CSV, and show it: raw, by reference class, and in W&B figures per class.

    Where chips have several labels, it is a row for each label; a quantity has no matrix. The CSV file is
    that of the last validation or test; W&B and TensorBoard get every n-th and the last.
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
            self._record(trainer, pl_module, "val", shown=is_due(trainer, self.every_n_epochs))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the matrix of the test split."""
        if trainer.is_global_zero:
            self._record(trainer, pl_module, "test", shown=True)

    def _record(self, trainer: Trainer, module: LightningModule, stage: str, *, shown: bool) -> None:
        if not hasattr(module, "matrix"):
            return  # what it learns is no class
        task = cast(RecordedTask, module)
        names = task.schema.class_names
        board = shown and has_board(trainer)
        run = wandb_run(trainer) if board else None
        pictures: dict[str, dict[str, Rgb]] = {}
        if task.schema.multilabel:
            tables = task.label_tables(stage)
            write_atomically(self.run_folder / f"labels_{stage}.csv", label_csv(tables, names))
            charts = {} if run is None else wandb_labels(tables, names, stage)
        else:
            matrix = task.matrix(stage)
            write_atomically(self.run_folder / f"confusion_{stage}.csv", matrix_csv(matrix, names))
            unit = "chips" if task.kind == "classification" else "pixels"
            charts = {} if run is None else wandb_matrices(matrix, names, stage, unit=unit)
            if board:
                pictures = {f"{stage}/matrix": matrix_pictures(matrix, names)}
        if board:
            show(trainer, pictures, charts=charts)


def matrix_pictures(matrix: NDArray[np.int64], names: Sequence[str]) -> dict[str, Rgb]:
    """The matrix as two pictures: counts, and shares of each reference class."""
    return {
        "counts": confusion_image(matrix, names),
        "share of each reference class": confusion_image(matrix, names, normalize=True),
    }
