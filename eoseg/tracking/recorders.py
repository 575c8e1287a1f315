"""Everything that watches a run, in the order in which it must come."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from eoseg.recipe import Plain
from eoseg.tracking.callbacks import ChipPanels, ConfusionPanel
from eoseg.tracking.chip_table import ChipTable
from eoseg.tracking.identity import JOBS, RunRecord, run_tags
from eoseg.tracking.insight import InsightPanel
from eoseg.tracking.lineage import DataFiles
from eoseg.tracking.loggers import make_loggers
from eoseg.tracking.pulse import TrainingPulse
from eoseg.tracking.reliability import ReliabilityPanel
from eoseg.tracking.run_folder import git_state, trained_as
from eoseg.tracking.wandb_mode import Mode

_USUAL = 5
"""Epochs between two charts where no pictures of chips are wanted."""


class DescribedData(Protocol):
    """What is said of the data of a run."""

    @property
    def data_name(self) -> str:
        """What people call them."""

    def files(self) -> list[str]:
        """Paths and addresses."""

    @property
    def split_record(self) -> dict[str, Plain]:
        """How they are divided, at least `sha256`."""


def run_loggers(
    run_folder: Path,
    data: DescribedData,
    *,
    command: str,
    task: str,
    project: str,
    group: str | None,
    tags: Sequence[str],
    mode: Mode,
    checkpoint: str | None,
    tensorboard: bool,
) -> list[Logger]:
    """Make the loggers of a run, with what W&B is to know of it.

    Args:
        run_folder: The folder of the run.
        data: What it learns from, or is judged by.
        command: "fit", "validate" or "test".
        task: Class of the task.
        project: The W&B project.
        group: The W&B group; by default the experiment, which an evaluation shares with its training.
        tags: The user's own.
        mode: Whether W&B is online.
        checkpoint: From which a training goes on, or which is judged.
        tensorboard: Log for TensorBoard too.
    """
    experiment = run_folder.parent.name
    if command != "fit" and checkpoint:
        experiment = trained_as(Path(checkpoint)) or experiment
    return make_loggers(
        run_folder,
        project=project,
        name=f"{run_folder.parent.name}/{run_folder.name}",
        group=group or experiment,
        job_type=JOBS[command],
        tags=run_tags(
            tags,
            task=task,
            data=data.data_name,
            split=data.split_record,
            git=git_state(Path.cwd()) or git_state(Path(__file__).parent),
        ),
        mode=mode,
        continues=Path(checkpoint) if checkpoint and command == "fit" else None,
        tensorboard=tensorboard,
    )


def recorders(
    run_folder: Path, data: DescribedData, *, training: bool, panels_every: int, table_pictures: int
) -> list[Callback]:
    """Make the callbacks of a run.

    Args:
        run_folder: The folder of the run.
        data: What the run learns from, or is judged by.
        training: Whether it trains.
        panels_every: Epochs between two sets of pictures; 0 for no pictures of chips.
        table_pictures: Test chips that have pictures in the table.
    """
    charts_every = panels_every or _USUAL
    pictures = table_pictures if panels_every else 0
    found: list[Callback] = [
        ConfusionPanel(run_folder, every_n_epochs=charts_every),
        ReliabilityPanel(run_folder, every_n_epochs=charts_every),
        ChipTable(run_folder, every_n_epochs=charts_every, pictures=pictures, worst=8 if panels_every else 0),
    ]
    if panels_every:
        found += [ChipPanels(run_folder, every_n_epochs=panels_every), InsightPanel(run_folder)]
    if training:
        found.append(TrainingPulse())
    return [*found, RunRecord(run_folder, DataFiles(data.data_name, tuple(data.files()), data.split_record))]
