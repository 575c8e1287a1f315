"""The run of `eoseg calibrate`: two passes over the validation split, and a checkpoint with a calibration."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

from eoseg.calibration import Reliability
from eoseg.cli.measured import PICTURE, calibration_line, scaling_values, write_reliability
from eoseg.cli.trainer import EosegCLI, quiet_start
from eoseg.errors import CheckpointError, ConfigError
from eoseg.files import write_atomically
from eoseg.models.checkpoint import export_checkpoint, read_checkpoint
from eoseg.models.scaling import fit_scaling
from eoseg.recipe import Plain, Scaling, ScalingMethod
from eoseg.tasks.class_task import ClassTask
from eoseg.tracking.loggers import finish_wandb


def calibrate(arguments: Sequence[str], *, method: ScalingMethod) -> Path:
    """Calibrate, in a new run folder.

    Args:
        arguments: Those of `eoseg validate`.
        method: "temperature" or "vector".

    Returns:
        The run folder.

    Raises:
        ConfigError: The task gives no class per pixel or chip.
        CheckpointError: The checkpoint is calibrated already.
        DataError: The validation split is too small.
    """
    cli = quiet_start("validate", list(arguments), kind=CalibrationCLI)
    assert isinstance(cli, CalibrationCLI)
    cli.calibrate(method)
    finish_wandb(cli.trainer)
    return cli.run_folder


class CalibrationCLI(EosegCLI):
    """A validation that keeps logits, and a second one with the calibration."""

    purpose: ClassVar[str | None] = "calibrate"

    def before_validate(self) -> None:
        """Refuse what cannot be calibrated, before anything is computed."""
        task = self._class_task()
        checkpoint = self._get(self.config_init, "ckpt_path")
        if checkpoint is None:
            raise ConfigError("There is no checkpoint to calibrate. Name the folder of a finished run.")
        if read_checkpoint(checkpoint)[0].scaling is not None:
            raise CheckpointError(
                f"The checkpoint {checkpoint} is calibrated already. Name the run that trained the network."
            )
        task.measures("val").keep_logits()

    def calibrate(self, method: ScalingMethod) -> None:
        """Fit, measure again, write the checkpoint, and say what it has changed."""
        task, checkpoint = self._class_task(), self._get(self.config_init, "ckpt_path")
        measures = task.measures("val")
        assert measures.sample is not None  # kept since `before_validate`
        before, figures = _measured(task), self._figures()
        logits, classes = measures.sample.sample()
        measures.sample = None
        scaling = fit_scaling(logits, classes, method=method, names=task.schema.class_names)
        task.calibrate(scaling)
        task.chooses_threshold = True
        self.trainer.validate(task, self.datamodule, verbose=False)
        after = _measured(task)
        if not self.trainer.is_global_zero:
            return
        held = {"before": before, "after": after}
        bins = {name: found.likeliest for name, found in held.items()}
        write_reliability(self.run_folder / PICTURE, bins, unit=task.unit)
        content = {
            "command": "calibrate",
            "fitted_on": {"split": "val", "labels": len(classes), "of": before.total},
            "scaling": scaling_values(task),
            "figures": {"before": figures, "after": self._figures()},
            "calibration": {name: found.to_dict() for name, found in held.items()},
        }
        write_atomically(self.run_folder / "figures.json", json.dumps(content, indent=2) + "\n")
        model = self._write(Path(checkpoint), task, before, after, len(classes))
        for line in _report(scaling, before, after, len(classes), task.unit):
            print(line)
        print(f"\nCalibrated checkpoint: {model}\nNext: eoseg test {self.run_folder}")

    def _write(
        self, checkpoint: Path, task: ClassTask, before: Reliability, after: Reliability, labels: int
    ) -> Path:
        recipe, _ = read_checkpoint(checkpoint)
        told: dict[str, Plain] = {
            "split": "val",
            "labels": labels,
            "ece_before": before.ece,
            "ece_after": after.ece,
        }
        changed = dataclasses.replace(
            recipe,
            scaling=task.scaling,
            threshold=task.threshold_in_force(),
            provenance={**recipe.provenance, "calibrated_on": told},
        )
        return export_checkpoint(checkpoint, self.run_folder / "model.ckpt", recipe=changed)

    def _figures(self) -> dict[str, float]:
        return {name: float(value) for name, value in sorted(self.trainer.callback_metrics.items())}

    def _class_task(self) -> ClassTask:
        task: Any = self.model
        if not isinstance(task, ClassTask) or task.schema.multilabel:
            raise ConfigError(
                f"Only probabilities of classes that exclude each other are calibrated; found "
                f"{type(task).__name__}{' with several labels' if isinstance(task, ClassTask) else ''}."
            )
        return task


def _measured(task: ClassTask) -> Reliability:
    return cast(Reliability, task.measured("val").reliability)


def _report(
    scaling: Scaling, before: Reliability, after: Reliability, labels: int, unit: str
) -> Sequence[str]:
    how = (
        f"Temperature {1 / scaling.scale[0]:.3f}"
        if scaling.method == "temperature"
        else "A scale and a shift for each class"
    )
    return [
        f"{how}, fitted on {labels:,} of {before.total:,} labelled {unit} of the validation split.",
        calibration_line(before, title="Before"),
        calibration_line(after, title="After "),
        "After is measured where it was fitted; 'eoseg test' measures it on the test split.",
    ]
