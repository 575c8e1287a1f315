"""The processes of one training: who starts them, how many there are, and what they must agree on.

`eoseg fit` runs alone, starts a process for each GPU itself, or is started several times by torchrun or srun.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from eoseg.cli.arguments import cores_of_each
from eoseg.errors import ConfigError, OutputError

_PARENT = "EOSEG_PARENT"
_PAUSE_SECONDS = 0.2
_RETRY_SECONDS = 1.0
STOPPED_STATUS = 75
"""Exit status of a training that was asked to stop and can go on (EX_TEMPFAIL)."""
LOST_STATUS = 76
"""Exit status of a process that ends because another one has."""


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launcher has started."""

    by: str
    per_node: int
    nodes: int


def launched(environment: Mapping[str, str]) -> Launched | None:
    """What torchrun, srun or eoseg itself has started, from the environment; None for a plain start.

    Raises:
        ConfigError: srun has started another number of processes on each node, or was left out.
    """
    if "TORCHELASTIC_RUN_ID" in environment and "WORLD_SIZE" in environment:
        world = int(environment["WORLD_SIZE"])
        local = int(environment.get("LOCAL_WORLD_SIZE", world))
        return Launched("torchrun", local, max(1, world // local))
    interactive = environment.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_NTASKS" not in environment or interactive:
        return None
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", environment["SLURM_NTASKS"]))
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1")))
    if tasks > 1 and "SLURM_STEP_ID" not in environment:
        raise ConfigError(
            f"This job has {tasks} tasks, but the command was started without srun and would wait for the "
            "others. Write srun before eoseg."
        )
    if tasks % nodes:
        raise ConfigError(
            f"srun started {tasks} tasks on {nodes} nodes, where each node must have as many as the others. "
            "Use --ntasks-per-node."
        )
    return Launched("srun", tasks // nodes, nodes)


def agree_on_devices(trainer: Mapping[str, Any], found: Launched) -> dict[str, Any]:
    """What the Trainer must be told of the processes that a launcher has started.

    Args:
        trainer: The configuration's `trainer`.
        found: What was started.

    Returns:
        Values of `devices` and `num_nodes`.

    Raises:
        ConfigError: The configuration asks for another number of devices or nodes.
    """
    wanted = _count(trainer.get("devices"))
    if wanted is not None and wanted != found.per_node:
        raise ConfigError(
            f"trainer.devices asks for {wanted} on each node, {found.by} started {found.per_node} processes "
            f"on each. Leave trainer.devices out, or start as many processes."
        )
    nodes = int(trainer.get("num_nodes") or 1)
    if nodes not in (1, found.nodes):
        raise ConfigError(
            f"trainer.num_nodes asks for {nodes}, {found.by} started processes on {found.nodes}. Leave "
            "trainer.num_nodes out."
        )
    if found.by == "srun":  # Lightning compares with it, and a step may differ from its job
        os.environ["SLURM_NTASKS_PER_NODE"] = str(found.per_node)
        os.environ["SLURM_NNODES"] = str(found.nodes)
    kept = trainer.get("devices") if isinstance(trainer.get("devices"), list) else found.per_node
    return {"devices": kept, "num_nodes": found.nodes}


def own_processes(trainer: Mapping[str, Any], gpus: int) -> int:
    """How many processes eoseg has to start itself: one for each device of a plain start.

    Args:
        trainer: The configuration's `trainer`.
        gpus: GPUs of this machine.
    """
    if "LOCAL_RANK" in os.environ or int(trainer.get("num_nodes") or 1) > 1:
        return 1  # started by hand, once for each node or process
    accelerator = str(trainer.get("accelerator") or "auto")
    has_gpu = gpus > 0 and accelerator in ("auto", "gpu", "cuda")
    wanted = _count(trainer.get("devices"))
    if wanted is None:
        wanted = gpus if has_gpu else 1
    if has_gpu and wanted > gpus:
        raise ConfigError(
            f"trainer.devices asks for {wanted} GPUs, this machine shows {gpus}. Set trainer.devices to at "
            f"most {gpus}; under SLURM ask for --gpus-per-node, not --gpus-per-task, which shows "
            "each process one alone."
        )
    return wanted if accelerator in ("auto", "gpu", "cuda", "cpu") else 1


def _count(devices: Any) -> int | None:
    """How many devices a value of `trainer.devices` means; None for all there are."""
    if isinstance(devices, str) and devices.lstrip("-").isdigit():
        devices = int(devices)
    if devices in (None, "auto", -1):
        return None
    if isinstance(devices, str):
        devices = [part for part in devices.split(",") if part.strip()]
    return len(devices) if isinstance(devices, list) else int(devices)


def run_all(arguments: Sequence[str], processes: int, *, folder: Path) -> None:
    """Run the same command once for each process, and wait for all. Where one fails, all end.

    Args:
        arguments: Arguments of eoseg.
        processes: How many.
        folder: The run folder that they share.

    Raises:
        SystemExit: One has failed, with its exit status; what went wrong was said, by it or here.
    """
    threads = str(cores_of_each(processes))
    shared = {
        **os.environ,
        _PARENT: str(os.getpid()),
        "TORCHELASTIC_RUN_ID": f"eoseg-{os.getpid()}",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "EOSEG_RUN_FOLDER": str(folder),
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "eoseg", *arguments],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]
    _pass_on_signals(running)
    try:
        _watch(running)
    finally:
        for process in running:
            process.kill()  # those that still run wait for one that has ended
        for process in running:
            process.wait()


def _watch(running: Sequence["subprocess.Popen[bytes]"]) -> None:
    statuses: list[int | None] = [None]
    while None in statuses:
        time.sleep(_PAUSE_SECONDS)
        statuses = [process.poll() for process in running]
        if any(status == LOST_STATUS or (status or 0) < 0 for status in statuses):
            time.sleep(2 * _PAUSE_SECONDS)  # who was the first, and who followed?
            statuses = [process.poll() for process in running]
        for rank, status in enumerate(statuses):
            if status is not None and status < 0:
                raise OutputError(
                    f"Process {rank} of {len(running)} was killed (signal {-status}), perhaps for lack of "
                    "memory; the others were ended. eoseg fit --resume RUN_FOLDER goes on from the last "
                    "checkpoint."
                )
        failed = [status for status in statuses if status not in (None, 0)]
        if failed and not (set(failed) == {STOPPED_STATUS} and None in statuses):  # some may still write
            sys.exit(min(status for status in failed if status))  # LOST_STATUS only where nobody says more


def _pass_on_signals(running: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Signals that ask a training to stop go to all its processes, which write a checkpoint first."""

    def send(number: int, frame: FrameType | None) -> None:
        del frame
        for process in running:
            process.send_signal(number)

    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, send)


def end_with_parent() -> None:
    """End this process, started by `run_all`, as soon as the one that started it does, however that ends."""
    parent = os.environ.get(_PARENT)
    if parent is None or sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if str(os.getppid()) != parent:  # it ended before this line
        sys.exit(LOST_STATUS)


def is_own_child() -> bool:
    """Whether `run_all` has started this process, and says what went wrong with the others."""
    return _PARENT in os.environ


def wait_for(address: str, port: int, *, seconds: float) -> None:
    """Wait until the first process of a training listens.

    Args:
        address: Its node.
        port: Its port.
        seconds: How long.

    Raises:
        ConfigError: It did not listen in time.
    """
    began = time.monotonic()
    while True:
        try:
            socket.create_connection((address, port), timeout=min(10.0, seconds)).close()
        except OSError as error:
            if time.monotonic() - began > seconds:
                raise ConfigError(
                    f"The first process of the training was not reached at {address}:{port} within "
                    f"{seconds:g} s ({error.strerror or error}). Check MASTER_ADDR and MASTER_PORT, that its "
                    "node lets others connect, and that it is running; run.connect_seconds sets the limit."
                ) from error
            time.sleep(min(_RETRY_SECONDS, seconds))
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
