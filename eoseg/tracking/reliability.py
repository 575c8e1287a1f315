"""Whether a network can be believed: how often it is right by how sure it is, and where it is surest."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from eoseg.calibration import BINS, Bins
from eoseg.errors import ConfigError
from eoseg.figures import reliability_image, selective_image
from eoseg.files import write_atomically
from eoseg.selective import SelectiveCurve
from eoseg.tasks.class_task import ClassTask
from eoseg.tracking.board import is_due, show
from eoseg.tracking.loggers import wandb_run


class ReliabilityPanel(Callback):
    """Draw how often answers of each confidence are right, and how accurate the surest of them are.

    What is drawn the task has counted, over all processes, and logs as `ece` and `aurc` in every epoch. The
    diagrams are drawn when panels are. Of several labels per chip each is an answer of its own, by its
    likelier side.
    """

    def __init__(self, run_folder: Path, *, every_n_epochs: int = 5) -> None:
        """Choose how often the diagrams are drawn.

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

    # The hooks at the end of the *epoch* would come before the task has summed over processes.

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the diagrams of the validation split."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            self._draw(trainer, pl_module, "val", drawn=is_due(trainer, self.every_n_epochs))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the diagrams of the test split."""
        if trainer.is_global_zero:
            self._draw(trainer, pl_module, "test", drawn=True)

    def _draw(self, trainer: Trainer, module: LightningModule, stage: str, *, drawn: bool) -> None:
        if not isinstance(module, ClassTask):
            return  # what it learns is no class
        measured = module.measured(stage)
        bins, curve = measured.likeliest, measured.curve
        write_atomically(self.run_folder / f"reliability_{stage}.csv", reliability_csv(bins))
        if not drawn:
            return
        pictures = {
            f"{stage}/reliability": {
                "confidence and share of right answers": reliability_image({stage: bins}, unit=module.unit)
            },
            f"{stage}/selective": {
                "accuracy of the surest answers": selective_image({stage: curve}, unit=module.unit)
            },
        }
        charts = {} if wandb_run(trainer) is None else wandb_curves(bins, curve, stage)
        show(trainer, pictures, charts=charts)


def reliability_csv(bins: Bins) -> str:
    """Counts as CSV text: a row for each bin of confidence that occurs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["confidence from", "to", "wrong", "right"])
    for place in np.flatnonzero(bins.count).tolist():
        right = int(bins.right[place])
        ends = (f"{place / BINS:.4f}", f"{(place + 1) / BINS:.4f}")
        writer.writerow([*ends, int(bins.count[place]) - right, right])
    return text.getvalue()


def wandb_curves(bins: Bins, curve: SelectiveCurve, stage: str) -> dict[str, Any]:
    """Both for `run.log`, to be read off: `<stage>/reliability_curve` and `<stage>/selective_curve`."""
    import wandb

    used = np.flatnonzero(bins.count)
    rows = zip(bins.confidence[used], bins.right[used], bins.count[used], strict=True)
    reliability = wandb.Table(
        columns=["confidence", "right", "answers"],
        data=[[float(sure / count), float(right / count), int(count)] for sure, right, count in rows],
    )
    selective = wandb.Table(columns=["coverage", "accuracy", "confidence"], data=curve.rows())
    return {
        f"{stage}/reliability_curve": wandb.plot.line(
            reliability, "confidence", "right", title=f"Reliability, {stage}"
        ),
        f"{stage}/selective_curve": wandb.plot.line(
            selective, "coverage", "accuracy", title=f"Accuracy of the surest, {stage}"
        ),
    }
