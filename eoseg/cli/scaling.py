"""What a training needs to run in many processes, be stopped, and go on: set up once, for every start."""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer

from eoseg import __version__
from eoseg.cli.processes import (
    LOST_STATUS,
    STOPPED_STATUS,
    agree_on_devices,
    is_own_child,
    launched,
    own_processes,
    wait_for,
)
from eoseg.datasets.base import EOData
from eoseg.errors import ConfigError, EosegError, OutputError
from eoseg.models.checkpoint import read_checkpoint
from eoseg.tasks import Task
from eoseg.tasks.sharding import ShardedTraining
from eoseg.tracking.checkpoints import AtomicCheckpoints, find_last
from eoseg.tracking.lost import LostSamples
from eoseg.tracking.preemption import PreemptedError, Preemption
from eoseg.tracking.run_folder import FOLDER_VARIABLE, planned_folder, process_rank

logger = logging.getLogger(__name__)

_LOST = ("connection closed by peer", "connection reset", "gloo", "nccl", "socket")


@dataclass
class ManyProcesses(Exception):
    """This process only starts those that train."""

    processes: int
    folder: Path
    """Where they write."""


def plan_processes(
    trainer: dict[str, Any], *, base: Path, name: str, resume: Path | None, alone: bool = False
) -> None:
    """Fit the Trainer's options to the processes that were started, or find out how many to start.

    Args:
        trainer: The configuration's `trainer`; `devices` and `num_nodes` are filled in.
        base: Folder of all runs.
        name: Name of the run.
        resume: Folder of a run to go on with.
        alone: Whether one process is enough, however many devices there are.

    Raises:
        ConfigError: The configuration and the launcher disagree.
        ManyProcesses: eoseg has to start them.
    """
    found = launched(os.environ)
    if found is not None:
        agreed = agree_on_devices(trainer, found)
        trainer["devices"], trainer["num_nodes"] = agreed["devices"], agreed["num_nodes"]
        return
    if alone:
        trainer["devices"], trainer["num_nodes"] = 1, 1
        return
    count = own_processes(trainer, torch.cuda.device_count())
    if count > 1:
        known = os.environ.get(FOLDER_VARIABLE) if resume is None else resume
        raise ManyProcesses(count, Path(known) if known else planned_folder(base, name))


def parts_of_trainer(chosen: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Options of the Trainer that the configuration leaves open: FSDP by blocks, whole checkpoints.

    Raises:
        ConfigError: FSDP has no GPU to divide a network over, or cannot do what the task asks for.
    """
    plugins = chosen.get("plugins") or []
    parts: dict[str, Any] = {"plugins": [*(plugins if isinstance(plugins, list) else [plugins])]}
    parts["plugins"].append(AtomicCheckpoints())
    if chosen.get("strategy") == "fsdp":
        if not torch.cuda.is_available():
            raise ConfigError(
                "trainer.strategy fsdp divides a network over GPUs, and there is none here. Leave it out."
            )
        parts["strategy"] = ShardedTraining(task)
    return parts


def callbacks(run_folder: Path, *, minutes: float) -> list[Callback]:
    """What keeps a training from being lost."""
    seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
    return [LostSamples(run_folder), Preemption(run_folder, minutes=minutes, seed=seed)]


def checkpoint_to_go_on_from(run_folder: Path, data: EOData, task: Task) -> str | None:
    """The last checkpoint of a run, if it has any.

    Raises:
        CheckpointError: All of them are broken, or they are of another network, task, bands or classes.
        ConfigError: The run was made with another split.
    """
    path = find_last(run_folder / "checkpoints")
    if path is None:
        return None
    recipe = read_checkpoint(path)[0]
    provenance = recipe.provenance
    require_same_split(provenance.get("split"), data.split_record)
    task.require_fitting(recipe)  # before anything in the run folder is written anew
    warn_of_version(provenance.get("eoseg"))
    if process_rank() == 0:
        logger.info("Going on from %s.", path)
    return str(path)


def require_same_split(trained: object, now: Mapping[str, object]) -> None:
    """Refuse to mix training pixels with those to evaluate on.

    Raises:
        ConfigError: A checkpoint was trained on another split than the data give.
    """
    if isinstance(trained, dict) and trained.get("sha256") != now["sha256"]:
        raise ConfigError(
            f"The checkpoint was trained on the split {str(trained.get('sha256'))[:12]}, the data give "
            f"{str(now['sha256'])[:12]}: files or options have changed, so that training pixels may "
            "be among those to evaluate. Use the config.yaml beside the checkpoint and the same files."
        )


def warn_of_version(made_by: object) -> None:
    """Say that a checkpoint comes from another version, whose figures may differ."""
    if made_by is not None and made_by != __version__ and process_rank() == 0:
        logger.warning(
            "The checkpoint was made by eoseg %s, this is eoseg %s. It is read as its recipe says; figures "
            "may differ in what the changelog names.",
            made_by,
            __version__,
        )


def prepare_fit(trainer: Trainer, task: Task, *, compiled: bool, seconds: float) -> None:
    """What is left to do before the processes meet.

    Args:
        trainer: Knows them.
        task: What is trained.
        compiled: Whether to compile its network.
        seconds: How long to wait for the first process.

    Raises:
        ConfigError: The first process was not reached, or the network cannot be compiled.
    """
    if compiled:
        if task.fitted_body is not None:
            raise ConfigError(
                "run.compile has no effect on a network that is fitted in one go. Leave it out."
            )
        task.network.compile()  # in place: the names of the weights stay as they are
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.world_size > 1 and trainer.global_rank > 0 and environment is not None:
        wait_for(environment.main_address, environment.main_port, seconds=seconds)


def say_stopped(stopped: PreemptedError) -> NoReturn:
    """End a training that was asked to stop.

    The first process says so by its status; at that of another, srun would end it while it still writes.
    """
    if process_rank() > 0:
        sys.exit(0)
    print(stopped.settle(), file=sys.stderr)
    sys.exit(STOPPED_STATUS)


def translated(error: BaseException) -> EosegError | None:
    """One line for what Lightning and torch say of devices, processes and the disk; None for anything else.

    Raises:
        SystemExit: Another process has ended, and who watches over both says why.
    """
    text = " ".join(str(error).split())
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return ConfigError(
            f"The GPU's memory is too small ({text[:120]}). Set a smaller batch_size or chip_size."
        )
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return ConfigError(
            f"The network cannot be compiled here ({text[:120]}). Compiling needs a compiler such as g++ "
            "and Python's header files. Leave run.compile out."
        )
    if isinstance(error, MisconfigurationException) or (isinstance(error, ValueError) and "devices" in text):
        return ConfigError(f"{text[:300]} Check the options of trainer.")
    distributed = isinstance(error, torch.distributed.DistError)
    if isinstance(error, RuntimeError) and (distributed or any(word in text.lower() for word in _LOST)):
        if is_own_child():
            sys.exit(LOST_STATUS)
        return OutputError(
            f"Another process of this training has ended or was not reached ({text[:120]}); its own message "
            "says why. eoseg fit --resume RUN_FOLDER goes on from the last checkpoint."
        )
    return None
