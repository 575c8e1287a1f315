"""Who starts the processes of a training, and what they must agree on."""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from eoseg.cli import processes
from eoseg.cli.processes import (
    Launched,
    agree_on_devices,
    end_with_parent,
    is_own_child,
    launched,
    own_processes,
    run_all,
    wait_for,
)
from eoseg.errors import ConfigError, OutputError

SRUN = {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "fit"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "3"}, None),  # a shell in an allocation
        ({**SRUN, "SLURM_JOB_NAME": "interactive"}, None),
        (SRUN, Launched("srun", 2, 2)),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}, Launched("srun", 2, 1)),
        (
            {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
            Launched("torchrun", 4, 2),
        ),
    ],
)
def test_the_launcher_is_known_by_its_environment(
    environment: dict[str, str], expected: Launched | None
) -> None:
    assert launched(environment) == expected


def test_a_job_of_several_tasks_without_srun_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="This job has 4 tasks, .* without srun .*. Write srun before eoseg"
    ):
        launched({key: value for key, value in SRUN.items() if key != "SLURM_STEP_ID"})


def test_nodes_of_different_numbers_of_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="srun started 3 tasks on 2 nodes"):
        launched({**SRUN, "SLURM_NTASKS": "3"})


TWO = Launched("torchrun", 2, 3)


@pytest.mark.parametrize("devices", [None, "auto", 2, "2", -1, "0,1"])
def test_devices_follow_the_processes(devices: object) -> None:
    assert agree_on_devices({"devices": devices, "num_nodes": 1}, TWO) == {"devices": 2, "num_nodes": 3}


def test_chosen_devices_stay() -> None:
    assert agree_on_devices({"devices": [1, 3]}, TWO)["devices"] == [1, 3]


@pytest.mark.parametrize("devices", [3, "4", [0], 1])
def test_other_devices_are_refused(devices: object) -> None:
    with pytest.raises(ConfigError, match="trainer.devices asks for . on each node, torchrun started 2"):
        agree_on_devices({"devices": devices}, TWO)


def test_another_number_of_nodes_is_refused() -> None:
    with pytest.raises(ConfigError, match="trainer.num_nodes asks for 2, torchrun started processes on 3"):
        agree_on_devices({"num_nodes": 2}, TWO)


def test_lightning_is_told_what_srun_did(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_NTASKS_PER_NODE", "SLURM_NNODES"):
        monkeypatch.setenv(name, "9")
    agree_on_devices({}, Launched("srun", 2, 1))
    assert (os.environ["SLURM_NTASKS_PER_NODE"], os.environ["SLURM_NNODES"]) == ("2", "1")


@pytest.mark.parametrize(
    ("trainer", "gpus", "expected"),
    [
        ({}, 0, 1),
        ({}, 8, 8),  # DDP over all GPUs, unless told otherwise
        ({"devices": "auto", "accelerator": "cpu"}, 8, 1),
        ({"devices": 2, "accelerator": "cpu"}, 0, 2),
        ({"devices": [0, 3]}, 4, 2),
        ({"devices": 1}, 4, 1),
        ({"devices": 4, "num_nodes": 2}, 4, 1),  # started by hand on each node
        ({"accelerator": "tpu", "devices": 4}, 0, 1),
    ],
)
def test_a_plain_start_is_one_process_for_each_device(
    monkeypatch: pytest.MonkeyPatch, trainer: dict[str, object], gpus: int, expected: int
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert own_processes(trainer, gpus) == expected
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_processes(trainer, gpus) == 1


def test_more_gpus_than_there_are_is_one_line() -> None:
    with pytest.raises(ConfigError, match="asks for 3 GPUs, this machine shows 2. .* at most 2; under SLURM"):
        own_processes({"devices": 3}, 2)


SCRIPT = """#!/bin/sh
echo "$RANK of $WORLD_SIZE in $EOSEG_RUN_FOLDER: $*" >> {log}
if [ "$RANK" = 1 ]; then {one}; else {other}; fi
"""


def start(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    one: str = "exit 0",
    other: str = "exit 0",
) -> list[str]:
    script, log = folder / "python", folder / "log"
    script.write_text(SCRIPT.format(log=log, one=one, other=other))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGUSR1, signal.SIGTERM)]
    try:
        run_all(["fit", "--config=a.yaml"], 2, folder=Path("runs/x"))
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
    return sorted(log.read_text().splitlines())


def test_each_process_gets_the_command_its_rank_and_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start(tmp_path, monkeypatch) == [
        f"{rank} of 2 in runs/x: -m eoseg fit --config=a.yaml" for rank in (0, 1)
    ]


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        ("exit 2", "exec sleep 600", 2),
        ("exit 76", "exit 2", 2),  # it only follows the other
        ("exit 75", "sleep 1; exit 75", 75),
    ],
)
def test_the_status_of_the_process_that_fails_first_is_that_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str, status: int
) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(tmp_path, monkeypatch, one=one, other=other)
    assert stopped.value.code == status


@pytest.mark.parametrize("other", ["exec sleep 600", "exit 76", "exit 1"])
def test_a_process_that_is_killed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    with pytest.raises(OutputError, match=r"Process 1 of 2 was killed \(signal 9\)"):
        start(tmp_path, monkeypatch, one="kill -9 $$", other=other)


def test_signals_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    catch = "trap 'exit 75' USR1; while true; do sleep 0.1; done"
    with pytest.raises(SystemExit) as stopped:
        start(tmp_path, monkeypatch, one=catch, other=catch)
    assert stopped.value.code == 75


def test_a_child_of_eoseg_knows_it_and_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_own_child()
    end_with_parent()  # nobody's child: nothing happens
    monkeypatch.setenv("EOSEG_PARENT", "1")
    assert is_own_child()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # the one that starts it
        child = os.fork()
        if child == 0:
            os.environ["EOSEG_PARENT"] = str(os.getppid())
            end_with_parent()
            os.write(write, b"x")
            time.sleep(60)
            os._exit(0)
        os.write(write, str(child).encode() + b"\n")
        time.sleep(60)
        os._exit(0)
    held = b""
    while b"x" not in held or b"\n" not in held:
        held += os.read(read, 100)
    child = int(held.replace(b"x", b""))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(child):
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_the_first_process_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_RETRY_SECONDS", 0.05)
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"not reached at 127.0.0.1:{port} within 0.1 s .*MASTER_ADDR"):
            wait_for("127.0.0.1", port, seconds=0.1)
        threading.Timer(0.3, first.listen).start()
        wait_for("127.0.0.1", port, seconds=10)
