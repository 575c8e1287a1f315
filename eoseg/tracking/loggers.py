"""Where the figures of a run go: a CSV file always, W&B where it is installed and wanted."""

import csv
import importlib.util
import logging
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from eoseg.errors import ConfigError
from eoseg.files import write_atomically
from eoseg.tracking.run_folder import process_rank

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

STEP = "trainer/global_step"
"""The one x-axis of all W&B charts."""

_ID_FILE = "wandb_run_id.txt"
_log = logging.getLogger(__name__)


def make_loggers(
    run_folder: Path,
    *,
    project: str,
    name: str,
    group: str | None = None,
    tags: Sequence[str] = (),
    use_wandb: bool = True,
) -> list[Logger]:
    """Make the loggers of a run.

    W&B chooses its mode itself (`WANDB_MODE`, `wandb offline`); only where it would ask for a login, the
    run is kept offline in the run folder instead. The id of the W&B run is kept in the run folder, so that
    a resumed run goes on in the same place. Nothing is started before the first figure is logged.

    Args:
        run_folder: The folder of the run; gets `metrics.csv`, `wandb/` and `wandb_run_id.txt`.
        project: The W&B project.
        name: The name of the run.
        group: W&B group, such as the seeds of one experiment.
        tags: W&B tags.
        use_wandb: False leaves W&B out.
    """
    loggers: list[Logger] = [MetricsFile(run_folder)]
    if not use_wandb:
        return loggers
    if importlib.util.find_spec("wandb") is None:
        if process_rank() == 0:
            _log.warning("W&B is not installed: figures go to metrics.csv alone (pip install wandb).")
        return loggers
    # Tables and artifacts are staged where W&B keeps its data, which is the home folder unless told
    # otherwise: not writable on some clusters, and not found again from the login node.
    os.environ.setdefault("WANDB_DATA_DIR", str((run_folder / "wandb").resolve()))
    os.environ.setdefault("WANDB_QUIET", "true")  # the figures stand in metrics.csv, and above, already
    mode = None if process_rank() > 0 else _mode(run_folder)
    loggers.append(WandbRun(run_folder, project=project, name=name, group=group, tags=tuple(tags), mode=mode))
    return loggers


def wandb_run(trainer: Trainer) -> "Run | None":
    """The W&B run of a trainer, or None where it has none. Ask on rank zero alone."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            run: Run = logger.experiment
            return run
    return None


def finish_wandb(trainer: Trainer) -> None:
    """End the W&B run, where there is one, so that all of it is on disk."""
    run = wandb_run(trainer)
    if run is not None:
        run.finish()


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
        mode: Literal["offline"] | None,
    ) -> None:
        """Prepare a run, which starts when something is logged.

        Args:
            run_folder: The folder of the run.
            project: The W&B project.
            name: The name of the run.
            group: W&B group.
            tags: W&B tags.
            mode: None lets W&B choose.
        """
        id_file = run_folder / _ID_FILE
        known = id_file.read_text(encoding="utf-8").strip() if id_file.is_file() else None
        super().__init__(
            name=name, project=project, save_dir=run_folder, id=known, group=group, tags=tags, mode=mode
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


def _mode(run_folder: Path) -> Literal["offline"] | None:
    """Choose "offline" where W&B would ask for a login; otherwise leave the choice to W&B."""
    import wandb
    from wandb.sdk.lib import wbauth

    settings: Any = wandb.setup().settings
    if settings.mode == "offline":
        _say_offline(run_folder, "as its settings say")
        return None
    if settings.mode != "online" or os.environ.get("WANDB_MODE"):
        return None
    login = wbauth.authenticate_session(
        host=settings.base_url, source="eoseg", prompt=False, update_session=False
    )
    if login is not None:
        return None
    _say_offline(run_folder, "as no login was found")
    return "offline"


def _say_offline(run_folder: Path, why: str) -> None:
    _log.info(
        "W&B stays offline, %s. To upload the run later: wandb sync %s/wandb/offline-run-*", why, run_folder
    )
