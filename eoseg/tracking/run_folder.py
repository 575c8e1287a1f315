"""One folder per run, and what it was run with."""

import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

from eoseg import __version__
from eoseg.errors import ConfigError, OutputError
from eoseg.files import package_versions, write_atomically
from eoseg.recipe import Plain

_log = logging.getLogger(__name__)

FOLDER_VARIABLE = "EOSEG_RUN_FOLDER"
"""Environment variable that tells the further processes of a run which folder the first one made."""

_OWNER_VARIABLE = "EOSEG_RUN_FOLDER_OWNER"
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


def create_run_folder(base: Path, name: str) -> Path:
    """Make the folder of a new run, `base/name/YYYYmmdd-HHMMSS`, with "-2", "-3" ... where that exists.

    The link `base/name/latest` leads to the newest one.

    The process of rank zero makes it and names it in the environment, from where the processes that
    Lightning starts take it. Launchers that start all processes at once (srun, torchrun) must set
    `EOSEG_RUN_FOLDER` themselves; rank zero then uses that folder, which must be new or empty.

    Args:
        base: Folder of all runs, such as "runs".
        name: Name of the experiment: letters, digits, "_", "-" and ".".

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
    given = os.environ.get(FOLDER_VARIABLE)
    if process_rank() > 0:
        if not given:
            raise ConfigError(
                f"The processes of one run must share a folder: set {FOLDER_VARIABLE} to a new folder in the "
                "job script, before srun or torchrun."
            )
        return Path(given)
    if given and _OWNER_VARIABLE not in os.environ:
        return _use_given(Path(given))
    folder = _make_new(base / name)
    os.environ[FOLDER_VARIABLE] = str(folder.resolve())
    os.environ[_OWNER_VARIABLE] = str(os.getpid())
    _point_latest(folder)
    return folder


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


def _use_given(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise OutputError(f"The run folder '{folder}' cannot be made: {error}.") from error
    if occupied:
        raise OutputError(
            f"The run folder '{folder}' of {FOLDER_VARIABLE} is not empty; a run never overwrites another. "
            f"Name a new folder, or unset {FOLDER_VARIABLE}."
        )
    return folder


def _make_new(parent: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                folder.mkdir()  # fails where it exists: of two runs, only one gets the name
            except FileExistsError:
                number += 1
            else:
                return folder
    except OSError as error:
        raise OutputError(f"A run folder cannot be made in '{parent}': {error}.") from error


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
