"""Under which protocol a figure was measured: without it, a number says little.

What is the same for a training and its tests goes into the checkpoint, all of it into every `figures.json`.
"""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from eoseg import __version__
from eoseg.datasets.base import EOData
from eoseg.datasets.data_hash import hash_names
from eoseg.datasets.items import ItemData
from eoseg.errors import ConfigError
from eoseg.files import package_versions
from eoseg.recipe import Plain, Schema
from eoseg.tasks.class_task import ClassTask
from eoseg.tracking.run_folder import git_state

_PACKAGES = ("torch", "lightning", "numpy", "rasterio", "segmentation-models-pytorch", "timm", "torchgeo")

type Stage = Literal["val", "test"]


class MeasuredTask(Protocol):
    """What the protocol needs of a task."""

    schema: Schema
    monitor: str
    monitor_mode: Literal["max", "min"]
    provenance: dict[str, Plain]
    tta: bool


def training_record(task: MeasuredTask, data: EOData, *, seed: int, world_size: int) -> dict[str, Plain]:
    """What a checkpoint says of its training. No time and no path: equal runs, equal files."""
    chosen_on: dict[str, Plain] = {"split": "val", "sha256": hash_names(data.members("val"))}
    return {
        "eoseg": __version__,
        "git": git_state(Path.cwd()),
        "seed": seed,
        "split": data.split_record,
        "chosen_by": f"{task.monitor}, {'highest' if task.monitor_mode == 'max' else 'lowest'}",
        "chosen_on": chosen_on,
        **measuring_record(task, data, world_size=world_size),
    }


def measuring_record(task: MeasuredTask, data: EOData, *, world_size: int) -> dict[str, Plain]:
    """What holds for any figure that a task gives on its data."""
    schema = task.schema
    return {
        "data": data.data_hash,
        "classes": {entry.name: list(entry.values) for entry in schema.classes},
        "border": getattr(data, "border", "isprs-full"),
        "test_time_augmentation": task.tta,
        "world_size": world_size,
        "versions": {"python": platform.python_version(), **package_versions(_PACKAGES)},
    }


def figures_record(
    task: MeasuredTask, data: EOData, stage: Stage, *, seed: int, world_size: int
) -> dict[str, Plain]:
    """The protocol of the figures of a run.

    Args:
        task: Holds what the checkpoint says of its training.
        data: What was measured on.
        stage: Which split was measured.
        seed: Of this run.
        world_size: Processes of this run.
    """
    trained = task.provenance
    now = measuring_record(task, data, world_size=world_size)
    before, found = trained.get("data"), cast("dict[str, Plain]", now["data"])
    return {
        "eoseg": __version__,
        "git": git_state(Path.cwd()),
        "seed": seed,
        "split": data.split_record,
        "measured_on": {
            "split": stage,
            "sha256": hash_names(data.members(stage)),
            **left_out(task, data, stage),
        },
        "chosen_by": trained.get("chosen_by"),
        "chosen_on": trained.get("chosen_on"),
        **now,
        "same_data_as_training": before["sha256"] == found["sha256"] if isinstance(before, dict) else None,
        "training": trained,
    }


def left_out(task: MeasuredTask, data: EOData, stage: Stage) -> dict[str, Plain]:
    """Pixels, chips or rows of a split that figures are from, and those in none; None if not known."""
    if not isinstance(task, ClassTask) or task.schema.multilabel:
        return {}
    measured = task.measured(stage)
    compared = int(task.matrix(stage).sum())
    every = data.pixels(stage) or measured.counted
    if task.kind == "classification" and not isinstance(data, ItemData):
        every = None  # pixels of scenes, but chips are compared
    return {
        "compared_pixels": compared,
        "eroded_pixels": measured.eroded,
        "ignored_pixels": None if every is None else every - compared - measured.eroded,
    }


def require_unseen(provenance: Mapping[str, Plain], data: EOData) -> None:
    """Refuse to test on the split that chose the checkpoint.

    Args:
        provenance: Of the checkpoint.
        data: What is to be tested on.

    Raises:
        ConfigError: The test split holds exactly what the checkpoint was chosen on, or is validated on.
    """
    chosen, tested = provenance.get("chosen_on"), data.members("test")
    on = chosen if isinstance(chosen, dict) else {}
    same = bool(tested) and sorted(tested) == sorted(data.members("val"))
    if on.get("split") == "test" or (tested and on.get("sha256") == hash_names(tested)) or same:
        raise ConfigError(
            f"The checkpoint was chosen ({provenance.get('chosen_by', 'by its validation figure')}) on the "
            "very split that is to be tested, so that its figures would be too good. Divide the data into "
            "three splits, or call the figures what they are with 'eoseg validate'."
        )


class LeftOut(Callback):
    """Tell the checkpoint how many pixels of the validation split were left out."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the counts of this epoch; checkpoints are written after it."""
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            data = cast(EOData, trainer.datamodule)  # type: ignore[attr-defined]
            task = cast(MeasuredTask, pl_module)
            task.provenance = {**task.provenance, "left_out": left_out(task, data, "val")}
