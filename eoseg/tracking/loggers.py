"""Where the figures of a run go: a CSV file always, W&B where it is installed and wanted."""

import csv
import importlib.util
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from eoseg.errors import ConfigError
from eoseg.files import write_atomically
from eoseg.models.checkpoint_file import load_values
from eoseg.tracking.wandb_mode import ID_FILE, ID_KEY, Mode, choose_mode, close_run, run_settings

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

STEP = "trainer/global_step"
"""The one x-axis of all W&B charts."""


def make_loggers(
    run_folder: Path,
    *,
    project: str,
    name: str,
    group: str | None = None,
    tags: Sequence[str] = (),
    job_type: str | None = None,
    use_wandb: bool = True,
    mode: Mode | None = None,
    continues: Path | None = None,
    tensorboard: bool = False,
) -> list[Logger]:
    """Make the loggers of a run.

    The id of the W&B run is kept in the run folder and in the checkpoints, so that a resumed run goes on in
    the same place. Nothing is started before the first figure is logged.

    Args:
        run_folder: The folder of the run; gets `metrics.csv`, `wandb/` and `wandb_run_id.txt`.
        project: The W&B project.
        name: The name of the run.
        group: W&B group, such as the seeds of one experiment.
        tags: W&B tags.
        job_type: What kind of run it is, such as "train".
        use_wandb: False leaves W&B out.
        mode: From `choose_mode`, where it was asked before.
        continues: The checkpoint from which a training goes on.
        tensorboard: Log for TensorBoard too, into `tensorboard/`.

    Raises:
        ConfigError: The W&B login is wrong, or TensorBoard is not installed.
    """
    loggers: list[Logger] = [MetricsFile(run_folder)]
    if tensorboard:
        require_tensorboard(wanted=True)
        loggers.append(TensorBoardLogger(run_folder, name="tensorboard", version="", default_hp_metric=False))
    mode = choose_mode(wanted=use_wandb) if mode is None else mode
    if mode == "absent":
        return loggers
    # Tables and artifacts are staged where W&B keeps its data, which is the home folder unless told
    # otherwise: not writable on some clusters, and not found again from the login node.
    os.environ.setdefault("WANDB_DATA_DIR", str((run_folder / "wandb").resolve()))
    os.environ.setdefault("WANDB_QUIET", "true")  # the figures stand in metrics.csv, and above, already
    loggers.append(
        WandbRun(
            run_folder,
            project=project,
            name=name,
            group=group,
            tags=tuple(tags),
            job_type=job_type,
            mode="offline" if mode == "offline" else None,
            continues=continues,
        )
    )
    return loggers


def wandb_run(trainer: Trainer) -> "Run | None":
    """The W&B run of a trainer, or None where it has none or W&B is disabled. Ask on rank zero alone."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            run: Run = logger.experiment
            return None if run.disabled else run
    return None


def finish_wandb(trainer: Trainer) -> None:
    """End the W&B run, where there is one, so that all of it is on disk; say how to upload what was not."""
    for logger in trainer.loggers if trainer.is_global_zero else ():
        if isinstance(logger, WandbLogger):
            close_run(cast("Run", logger.experiment), Path(trainer.default_root_dir))


class MetricsFile(CSVLogger):
    """Lightning's CSV logger, writing `metrics.csv` into the run folder and going on where it ended.

    Lightning's own deletes the figures that a resumed run has logged before.
    """

    def __init__(self, run_folder: Path) -> None:
        """Log into a folder, which may hold other files."""
        super().__init__(run_folder, name="", version="", flush_logs_every_n_steps=50)

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of the file."""
        if self._experiment is None:
            self._experiment = _Continuing(log_dir=self.log_dir)
        return cast(ExperimentWriter, self._experiment)

    def log_hyperparams(self, params: dict[str, Any] | Namespace | None = None) -> None:
        """Do nothing: the run folder has the whole configuration as config.yaml."""


class _Continuing(ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        """Take over the columns of an existing file, where Lightning would delete it."""
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])


class WandbRun(WandbLogger):
    """Lightning's W&B logger with eoseg's way of starting and resuming a run."""

    def __init__(
        self,
        run_folder: Path,
        *,
        project: str,
        name: str,
        group: str | None,
        tags: tuple[str, ...],
        job_type: str | None = None,
        mode: Literal["offline"] | None = None,
        continues: Path | None = None,
    ) -> None:
        """Prepare a run, which starts when something is logged.

        Args:
            run_folder: The folder of the run.
            project: The W&B project.
            name: The name of the run.
            group: W&B group.
            tags: W&B tags.
            job_type: What kind of run it is.
            mode: None lets W&B choose.
            continues: The checkpoint from which a training goes on.
        """
        id_file = run_folder / ID_FILE
        super().__init__(
            name=name,
            project=project,
            save_dir=run_folder,
            id=_known_id(id_file, continues),
            group=group,
            tags=tags,
            job_type=job_type,
            mode=mode,
            settings=run_settings(),
        )
        self._wandb_init.pop("anonymous", None)  # W&B warns of it in every run
        self._id_file = id_file

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run":
        """The run, started or resumed on first use.

        Raises:
            ConfigError: W&B cannot start.
        """
        from wandb.errors import Error

        started = self._experiment is None
        try:
            run: Run = super().experiment
        except Error as error:
            raise ConfigError(
                f"W&B cannot start ({' '.join(str(error).split())}). Log in with 'wandb login', set "
                "WANDB_MODE=offline, or switch it off with --no-wandb."
            ) from error
        if started and not run.disabled:
            write_atomically(self._id_file, run.id + "\n")
        return run


def _known_id(id_file: Path, continues: Path | None) -> str | None:
    """The id that the run has had so far: of its folder, else of the checkpoint from which it goes on."""
    if id_file.is_file():
        return id_file.read_text(encoding="utf-8").strip()
    if continues is None or not continues.is_file():
        return None
    found = load_values(continues).get(ID_KEY)
    return found if isinstance(found, str) else None


def require_tensorboard(*, wanted: bool) -> None:
    """Refuse to log for TensorBoard where it is not installed.

    Raises:
        ConfigError: It is wanted and not installed.
    """
    if wanted and not any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX")):
        raise ConfigError(
            'run.tensorboard needs TensorBoard, which is not installed: pip install "eoseg[tensorboard]".'
        )
