"""Several processes of one training on this machine, as torchrun or srun would start them, without its cost.

They are forked from the process of the tests, which imports everything here, once.
"""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import kornia.augmentation  # noqa: F401
import segmentation_models_pytorch  # noqa: F401
import wandb  # noqa: F401

import eoseg.cli.trainer  # noqa: F401
from eoseg.cli import main

_LIMIT_SECONDS = 400


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_ranks(
    world: int, arguments: list[str], log: Path, *, prepare: Callable[[int], None] | None = None, **more: str
) -> list[int]:
    """Run a command of eoseg in several processes; their exit statuses. They print into `log`.0, .1 ...

    Args:
        prepare: Is called with the rank before the command.
        more: Environment variables.
    """
    shared = {
        "TORCHELASTIC_RUN_ID": "tests",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        **more,
    }
    context = multiprocessing.get_context("fork")
    started = [
        context.Process(target=_run, args=(rank, arguments, Path(f"{log}.{rank}"), prepare, shared))
        for rank in range(world)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(_LIMIT_SECONDS)
        process.kill()
        process.join()
    for rank in range(world):
        print(f"== process {rank}", Path(f"{log}.{rank}").read_text()[-3000:], sep="\n")  # where a test fails
    return [int(process.exitcode or 0) for process in started]


def _run(
    rank: int,
    arguments: list[str],
    log: Path,
    prepare: Callable[[int], None] | None,
    shared: dict[str, str],
) -> None:
    os.environ |= {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
    for name in ("EOSEG_RUN_FOLDER_OWNER", *(() if "EOSEG_RUN_FOLDER" in shared else ("EOSEG_RUN_FOLDER",))):
        os.environ.pop(name, None)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    status = 1
    try:
        if prepare is not None:
            prepare(rank)
        main(arguments)
        status = 0
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
