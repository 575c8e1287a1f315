"""Checkpoints of a run that is going on: each one whole or not there, and always one to go on from."""

import logging
import os
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from eoseg.errors import CheckpointError, OutputError

LAST = "last.ckpt"
PREVIOUS = "last-previous.ckpt"
BEST = "best.ckpt"

_log = logging.getLogger(__name__)


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it; of `last.ckpt` the one before is kept too.

    Lightning's own goes through the system's folder for temporary files, which may be on another disk, and
    overwrites the only `last.ckpt`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint; Lightning calls this on the process that writes.

        Args:
            checkpoint: What it holds.
            path: Where; a file of that name is replaced once the new one is complete.
            storage_options: Not used.

        Raises:
            OutputError: It cannot be written; older checkpoints are as they were.
        """
        del storage_options
        target = Path(path)
        part = target.with_name(target.name + ".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())  # a node that loses power must not leave a name without a content
            if target.name == LAST and target.exists():
                target.replace(target.with_name(PREVIOUS))
            part.replace(target)
        except (OSError, RuntimeError) as error:  # RuntimeError: torch's writer on a full disk
            part.unlink(missing_ok=True)
            reason = textwrap.shorten(str(error), 160, placeholder=" ...")
            raise OutputError(
                f"The checkpoint {target} cannot be written: {reason}. Older checkpoints are as they were: "
                f"make room, then eoseg fit --resume {target.parent.parent} goes on from the last one."
            ) from error


def find_last(folder: Path) -> Path | None:
    """The newest checkpoint of a run that can be gone on from.

    Args:
        folder: Its folder of checkpoints.

    Returns:
        The file, or None where the run has not written any.

    Raises:
        CheckpointError: There are checkpoints, and all of them are broken.
    """
    broken: list[str] = []
    for path in (folder / LAST, folder / PREVIOUS, folder / BEST):
        if not path.is_file():
            continue
        fault = _fault(path)
        if fault is None:
            if broken:
                _log.warning("%s. Going on from %s, which is older.", "; ".join(broken), path)
            return path
        broken.append(f"{path} {fault}")
    if broken:
        raise CheckpointError(
            f"There is nothing to go on from: {'; '.join(broken)}. Start anew with another run folder."
        )
    return None


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, if anything; all of it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        return f"is cut off or no checkpoint ({error})"
    return None if bad is None else f"is broken (in {bad})"
