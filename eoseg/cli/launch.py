"""`--processes N`: the same command once for each process, as torchrun would start them on one machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from eoseg.cli.arguments import cores_of_each

_PAUSE_SECONDS = 0.2
_MARK, _OURS = "TORCHELASTIC_RUN_ID", "eoseg-"


def is_launched() -> bool:
    """Whether `launch` started this process."""
    return os.environ.get(_MARK, "").startswith(_OURS)


def launch(command: str, argv: Sequence[str], processes: int, *, watch: Callable[[], None]) -> None:
    """Start processes and wait for them. What they print is printed; where one fails, all end.

    Args:
        command: Command of eoseg.
        argv: Its arguments.
        processes: How many, which share the cores.
        watch: Is called a few times a second.

    Raises:
        SystemExit: A process failed; with its exit status. It has said why.
    """
    threads = str(cores_of_each(processes))
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "eoseg", command, *argv],
            env={
                **os.environ,
                _MARK: f"{_OURS}{os.getpid()}",
                "RANK": str(number),
                "WORLD_SIZE": str(processes),
                "LOCAL_RANK": str(number),
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
            },
        )
        for number in range(processes)
    ]
    try:
        statuses: list[int | None] = [None]
        while None in statuses:
            statuses = [process.poll() for process in running]
            failed = [status for status in statuses if status]
            if failed:
                _report(failed[0])
            watch()
            time.sleep(_PAUSE_SECONDS)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _report(status: int) -> None:
    if status < 0:
        print(
            f"error: a process was killed (signal {-status}), perhaps for lack of memory. What it had "
            "finished is kept: the same command goes on from there.",
            file=sys.stderr,
        )
    sys.exit(status if status > 0 else 1)
