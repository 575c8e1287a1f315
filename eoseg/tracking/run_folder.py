"""One folder per run, and what it was run with."""

import itertools
import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from eoseg import __version__
from eoseg.errors import ConfigError, OutputError
from eoseg.files import package_versions, write_atomically
from eoseg.recipe import Plain

_log = logging.getLogger(__name__)

FOLDER_VARIABLE = "EOSEG_RUN_FOLDER"
"""Environment variable that tells the further processes of a run which folder the first one made."""

_OWNER_VARIABLE = "EOSEG_RUN_FOLDER_OWNER"
_RUNS = itertools.count()
_STORE_SECONDS = 600
_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # in Lightning's order
_PACKAGES = (
    *("affine", "geopandas", "jsonargparse", "kornia", "lightning", "matplotlib", "numpy", "pyogrio"),
    *("rasterio", "scikit-learn", "segmentation-models-pytorch", "shapely", "timm", "torch", "torchgeo"),
    *("torchvision", "wandb"),
)


def process_rank() -> int:
    """The rank of this process among those of its run, from the launcher's environment; 0 without one."""
    for name in _RANK_VARIABLES:
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return 0


def create_run_folder(base: Path, name: str, *, resume: bool = False, chosen: Path | None = None) -> Path:
    """Make the folder of a new run, `base/name/YYYYmmdd-HHMMSS`, with "-2", "-3" ... where that exists.

    The link `base/name/latest` leads to the newest one.

    `EOSEG_RUN_FOLDER` names it instead, and must be new or empty. Without it, all processes of a step of srun
    take `base/name/job-ID`, which is the same after a requeue, and those of torchrun are told by the first.

    Args:
        base: Folder of all runs, such as "runs".
        name: Name of the experiment: letters, digits, "_", "-" and ".".
        resume: Whether the folder may hold a run, which is gone on with.
        chosen: The folder, where it is known on all processes.

    Returns:
        The folder, which exists.

    Raises:
        ConfigError: The name is no plain name, or a further process was not told its folder.
        OutputError: The folder cannot be made, or the one in the environment holds another run.
    """
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise ConfigError(
            f"The name of a run holds letters, digits, '_', '-' and '.', and does not begin with '.'; got "
            f"'{name}'."
        )
    given = os.environ.get(FOLDER_VARIABLE) if chosen is None else str(chosen)
    first = process_rank() == 0
    if chosen is None and first and _OWNER_VARIABLE in os.environ:
        given = None  # that of an earlier run of this process
    job = job_name(os.environ)
    if not given and job is not None and (resume or not first or not _is_taken_alone(base / name / job)):
        given = str(base / name / job)
    if not first:
        return Path(given or _heard_from_first())
    folder = _use_given(Path(given), resume=resume) if given else _make_new(base / name)
    if folder.resolve().parent == (base / name).resolve():
        _point_latest(folder)
    if not given:
        os.environ[FOLDER_VARIABLE] = str(folder.resolve())
        os.environ[_OWNER_VARIABLE] = str(os.getpid())
        _tell_others(folder)
    return folder


def planned_folder(base: Path, name: str) -> Path:
    """A name for the folder of a new run, for processes that are yet to be started; nothing is made."""
    return next(path for path in _names(base / name) if not path.exists())


def job_name(environment: Mapping[str, str]) -> str | None:
    """The name of a run folder in a step of a SLURM job, alike on all processes and after requeues."""
    job, step = environment.get("SLURM_JOB_ID"), environment.get("SLURM_STEP_ID")
    if job is None or step is None or environment.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return None
    return f"job-{job}" if step == "0" else f"job-{job}-{step}"


def _is_taken_alone(folder: Path) -> bool:
    """Whether a job with one process has made a run of that name before, as in a search."""
    return os.environ.get("SLURM_NTASKS", "1") == "1" and folder.exists()


def is_requeued() -> bool:
    """Whether SLURM has put this job into its queue before."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0


def trained_as(checkpoint: Path) -> str | None:
    """The name of the experiment that a checkpoint in a run folder is of; None where it lies elsewhere."""
    for folder in (checkpoint.resolve().parent, checkpoint.resolve().parent.parent):
        if (folder / "config.yaml").is_file() and (folder / "environment.json").is_file():
            return folder.parent.name
    return None


def write_environment(folder: Path) -> dict[str, Plain]:
    """Record in `environment.json` what a run was made with.

    Args:
        folder: The run folder.

    Returns:
        What was written: versions, command line, host and, where there is a checkout, git's revision
        (`dirty` is True where tracked files differ from it).

    Raises:
        OutputError: The file cannot be written.
    """
    here, code = git_state(Path.cwd()), git_state(Path(__file__).parent)
    record: dict[str, Plain] = {
        "eoseg": __version__,
        "python": platform.python_version(),
        "packages": package_versions(_PACKAGES),
        "git": here,
        # Where eoseg itself runs from another checkout than the project around it.
        "eoseg_git": None if code == here else code,
        "command": list(sys.argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "platform": platform.platform(),
        "host": platform.node(),
        "cpus": os.cpu_count(),
    }
    write_atomically(folder / "environment.json", json.dumps(record, indent=2) + "\n")
    return record


def git_state(folder: Path) -> dict[str, Plain] | None:
    """Revision and state of the git checkout that holds a folder, or None without one (or without git)."""
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "dirty": bool(changed)}


def _tell_others(folder: Path) -> None:
    """Tell the folder to the processes that torchrun has started along with this one."""
    store = _store_of_torchrun()
    if store is not None:
        store.set(f"run_folder/{next(_RUNS)}", str(folder.resolve()))


def _heard_from_first() -> str:
    store = _store_of_torchrun()
    if store is None:
        raise ConfigError(
            f"The processes of one run must share a folder: set {FOLDER_VARIABLE} to a new folder in the "
            "job script, before they are started."
        )
    key = f"run_folder/{next(_RUNS)}"
    store.wait([key], timedelta(seconds=_STORE_SECONDS))
    heard: bytes = store.get(key)
    return heard.decode()


def _store_of_torchrun() -> Any:
    """What the processes of torchrun have in common before they are connected; None elsewhere."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=_STORE_SECONDS))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return PrefixStore(f"eoseg/{attempt}", store)


def _use_given(folder: Path, *, resume: bool) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise OutputError(f"The run folder '{folder}' cannot be made: {error}.") from error
    if occupied and not resume:
        raise OutputError(
            f"The run folder '{folder}' is not empty; a run never overwrites another. Name a new folder in "
            f"{FOLDER_VARIABLE}, or go on with the run that it holds: eoseg fit --resume {folder}"
        )
    if occupied and not (folder / "config.yaml").is_file():
        raise OutputError(f"'{folder}' is not the folder of a run: it has no config.yaml. Name another one.")
    return folder


def _make_new(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for folder in _names(parent):
            with suppress(FileExistsError):  # of two runs, only one gets the name
                folder.mkdir()
                return folder
    except OSError as error:
        raise OutputError(f"A run folder cannot be made in '{parent}': {error}.") from error
    raise AssertionError("names never end")


def _names(parent: Path) -> Iterator[Path]:
    """Names of run folders by the time of day, without end."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    yield parent / stamp
    yield from (parent / f"{stamp}-{number}" for number in itertools.count(2))


def _point_latest(folder: Path) -> None:
    """Let `latest`, beside the run folders, lead to the newest; a convenience, so failing is no error."""
    link, fresh = folder.parent / "latest", folder.parent / f".latest-{os.getpid()}"
    try:
        fresh.symlink_to(folder.name)
        fresh.replace(link)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        _log.debug("no link %s: %s", link, error)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
