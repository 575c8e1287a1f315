"""The job scripts: what they call, and on a real SLURM that what is stopped goes on.

The tests marked `slurm` start a SLURM of two nodes on this machine; they need its packages, root, and
../shared/slurm/local-cluster. Others do not expect daemons to be started, so they run only where asked for:
scripts/test -m slurm.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from test_readme import commands
from toy_world import write_config

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "scripts" / "slurm").glob("*.sbatch"))
CLUSTER = ROOT.parent / "shared" / "slurm" / "local-cluster"
if not CLUSTER.is_file():
    CLUSTER = ROOT.parents[1] / "shared" / "slurm" / "local-cluster"


def sbatch_lines() -> list[list[str]]:
    return [line for line in commands() if line[0] == "sbatch"]


def test_each_script_is_in_the_readme() -> None:
    named = {part for line in sbatch_lines() for part in line if part.endswith(".sbatch")}
    assert named == {str(path.relative_to(ROOT)) for path in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_script_is_told_before_its_time_is_over_and_may_be_queued_again(script: Path) -> None:
    text = script.read_text()
    assert re.search(r"^#SBATCH --signal=(B:)?USR1@\d+$", text, re.MULTILINE)
    assert "#SBATCH --requeue\n" in text
    assert "#SBATCH --open-mode=append\n" in text  # or a second start would empty the log of the first
    assert "--kill-on-bad-exit" in text
    assert os.access(script, os.X_OK)


def called(folder: Path, line: list[str]) -> list[list[str]]:
    """What the job of a line of sbatch starts under srun, once for each number of its array."""
    place = next(number for number, part in enumerate(line) if part.endswith(".sbatch"))
    array = re.search(r"--array=0-(\d+)", " ".join(line[:place]))
    log, stub = folder / "called", folder / "srun"
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\n')
    stub.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "SLURM_NTASKS_PER_NODE": "2"}
    for number in range(int(array[1]) + 1 if array else 1):
        task = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": array[1]} if array else {}
        if array:
            task["SLURM_ARRAY_TASK_COUNT"] = str(int(array[1]) + 1)
        subprocess.run(
            ["bash", ROOT / line[place], *line[place + 1 :]],
            env={**environment, **task},
            check=True,
            cwd=ROOT,
        )
    return [shlex.split(entry) for entry in log.read_text().splitlines()]


@pytest.mark.parametrize("line", sbatch_lines(), ids=lambda line: " ".join(line[:4]))
def test_each_line_of_the_readme_calls_eoseg(tmp_path: Path, line: list[str]) -> None:
    found = [call[call.index("eoseg") + 1 :] for call in called(tmp_path, line)]
    text = " ".join(line)
    if "predict" in text:
        expected = [["predict", *line[line.index("runs/demo/latest/model.ckpt") :]]]
    elif "seeds" in text:
        expected = [
            [
                "fit",
                "--config",
                "configs/demo.yaml",
                f"--seed_everything={number}",
                f"--run.name=demo-seed{number}",
                "--run.group=demo-seeds",
            ]
            for number in range(5)
        ]
    elif "folds" in text:
        expected = [
            [
                "fit",
                "--config",
                "configs/demo.yaml",
                "--folds",
                "5",
                "--fold",
                str(number),
                "--run.group=demo-folds",
            ]
            for number in range(5)
        ]
    else:
        expected = [["fit", "--config", *line[line.index("configs/demo.yaml") :]]]
    assert found == expected


def test_a_script_goes_on_with_a_run(tmp_path: Path) -> None:
    found = called(tmp_path, ["sbatch", "scripts/slurm/fit.sbatch", "--resume", "runs/a"])
    assert found[0][-3:] == ["fit", "--resume", "runs/a"]


def test_an_array_of_neither_seeds_nor_folds_is_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    script = ROOT / "scripts" / "slurm" / "array.sbatch"
    done = subprocess.run(
        ["bash", script, "runs", "a.yaml"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "seeds or folds, not 'runs'" in done.stderr


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A SLURM of two nodes on this machine."""
    if not CLUSTER.is_file() or shutil.which("slurmctld") is None or os.geteuid() != 0:
        pytest.skip("no SLURM to start here")
    folder = Path("/tmp/slurm-local")
    already = subprocess.run(["pgrep", "-x", "slurmctld"], capture_output=True, check=False).returncode == 0
    if not already:
        subprocess.run([CLUSTER, "start", "2"], check=True, capture_output=True, timeout=120)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield
    if not already:
        subprocess.run([CLUSTER, "stop"], check=False, capture_output=True)
    os.environ.pop("SLURM_CONF") if before is None else os.environ.update(SLURM_CONF=before)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of 3 epochs of 12 batches on each of two processes."""
    folder = tmp_path_factory.mktemp("cluster")
    path = write_config(folder, max_epochs=3, enable_progress_bar=False)
    config = yaml.safe_load(path.read_text())
    config["data"]["init_args"] |= {"chips_per_epoch": 8 * 2 * 12}
    config["run"] = {"panels_every": 0, "folder": str(folder / "runs")}
    path.write_text(yaml.safe_dump(config))
    stub = folder / "eoseg"
    stub.write_text(f'#!/bin/sh\nexec {sys.executable} -m eoseg "$@"\n')
    stub.chmod(0o755)
    return path


def submit(world: Path, script: str, *arguments: str, options: tuple[str, ...] = (), **more: str) -> str:
    """Send a job to two nodes of one core; its number."""
    environment = {
        **os.environ,
        "EOSEG": str(world.parent / "eoseg"),
        "PYTHONPATH": str(ROOT),
        "WANDB_MODE": "offline",
        "OMP_NUM_THREADS": "1",
        **more,
    }
    small = [
        "--ntasks-per-node=1",
        "--cpus-per-task=1",
        "--gpus-per-node=0",
        f"--output={world.parent}/%x-%j.log",
    ]
    done = subprocess.run(
        ["sbatch", "--parsable", *small, *options, str(ROOT / "scripts" / "slurm" / script), *arguments],
        env=environment,
        cwd=world.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def job(number: str, what: str) -> str:
    done = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, check=True)
    found = re.search(rf"\b{what}=(\S+)", done.stdout)
    return found[1] if found else ""


def wait_until(condition, seconds: float = 900) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.5)


def ended(number: str) -> bool:
    return job(number, "JobState") in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def log_of(world: Path, number: str) -> str:
    return next(world.parent.glob(f"*-{number}.log")).read_text()


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def rank_pid(run: str, rank: int) -> int | None:
    """The process of a rank of a training, by its environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if (
                f"SLURM_PROCID={rank}\0".encode() in environment
                and run.encode() in command
                and b"fit" in command
            ):
                return int(entry.name)
    return None


def steps(run: Path) -> int:
    path = run / "metrics.csv"
    return path.read_text().count("\n") if path.is_file() else 0


@pytest.fixture(scope="module")
def unbroken(slurm: None, world: Path) -> Path:
    number = submit(world, "fit-many.sbatch", str(world), options=("--nodes=2",))
    wait_until(lambda: ended(number))
    assert job(number, "JobState") == "COMPLETED", log_of(world, number)
    return world.parent / "runs" / "toy" / f"job-{number}"


@pytest.mark.slurm
def test_a_job_that_is_signalled_is_queued_again_and_ends_as_an_unbroken_one(
    world: Path, unbroken: Path
) -> None:
    number = submit(world, "fit-many.sbatch", str(world), options=("--nodes=2",))
    run = world.parent / "runs" / "toy" / f"job-{number}"
    wait_until(lambda: (run / "checkpoints" / "last.ckpt").is_file() or ended(number))
    time.sleep(1)  # the second epoch has begun
    subprocess.run(["scancel", "--signal=USR1", number], check=True)
    wait_until(lambda: job(number, "Restarts") == "1")
    stopped = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert stopped["global_step"] % 12, "it was to be stopped inside an epoch"
    identity = (run / "wandb_run_id.txt").read_text()
    # A job that was put back waits two minutes; who runs the cluster may begin it at once.
    subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True)
    wait_until(lambda: ended(number))
    told = log_of(world, number)
    assert job(number, "JobState") == "COMPLETED", told
    assert "Stopped by SIGUSR1 in epoch" in told
    assert "The job is in the queue again" in told
    assert "Going on from" in told
    assert (run / "wandb_run_id.txt").read_text() == identity
    assert sorted(path.name for path in run.parent.glob("job-*")) == sorted([unbroken.name, run.name])
    one, other = weights(run), weights(unbroken)
    assert all(torch.equal(one[name], other[name]) for name in other)
    figures = [
        json.loads((folder / "figures.json").read_text())["figures"]["val/miou"] for folder in (run, unbroken)
    ]
    assert figures[0] == figures[1]
    assert steps(run) == steps(unbroken)


@pytest.mark.slurm
def test_one_process_that_is_killed_ends_the_job_and_its_rerun_goes_on(world: Path, unbroken: Path) -> None:
    number = submit(world, "fit-many.sbatch", str(world), "--run.name=killed", options=("--nodes=2",))
    run = world.parent / "runs" / "killed" / f"job-{number}"
    wait_until(lambda: (run / "checkpoints" / "last.ckpt").is_file() or ended(number))
    victim = rank_pid("killed", 1)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: ended(number))
    told = log_of(world, number)
    assert job(number, "JobState") == "FAILED"
    assert "Traceback" not in told
    assert re.search(r"task 1: Killed", told), told
    # Each is a line of eoseg's or of SLURM's, whose daemon may name its node.
    lines = re.findall(r"^(?:srun: |slurmstepd\S*: )?error: ", told, re.MULTILINE)
    assert told.count("error: ") == len(lines), told
    assert told.count("\nerror: Another process of this training has ended") <= 1
    wait_until(lambda: rank_pid("killed", 0) is None, 30)
    again = submit(world, "fit-many.sbatch", "--resume", str(run), options=("--nodes=2",))
    wait_until(lambda: ended(again))
    assert job(again, "JobState") == "COMPLETED", log_of(world, again)
    one, other = weights(run), weights(unbroken)
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.slurm
def test_the_other_lines_of_the_readme_run(slurm: None, world: Path, unbroken: Path) -> None:
    """Each on what stands in the place of the demo."""
    model, scene = unbroken / "model.ckpt", next((world.parent / "images").iterdir())
    places = {
        "configs/demo.yaml": str(world),
        "runs/demo/latest/model.ckpt": str(model),
        "data/demo/unseen/image.tif": str(scene),
        "slurm.tif": str(world.parent / "slurm.tif"),
        "--array=0-4": "--array=0-2",
    }
    numbers = []
    for line in sbatch_lines():
        found = [places.get(part, part) for part in line[1:]]
        place = next(number for number, part in enumerate(found) if part.endswith(".sbatch"))
        options = tuple("--nodes=2" if part.startswith("--nodes") else part for part in found[:place])
        more = [] if "predict" in line[0] or "predict.sbatch" in found[place] else ["--trainer.max_epochs=1"]
        numbers.append(submit(world, Path(found[place]).name, *found[place + 1 :], *more, options=options))
    for number in numbers:
        wait_until(
            lambda number=number: all(state == "COMPLETED" for state in states(number)) or failed(number), 900
        )
        assert not failed(number), (number, states(number))
    assert (world.parent / "slurm.tif").is_file()
    names = sorted(path.name for path in (world.parent / "runs").iterdir())
    assert {"toy-seed0", "toy-seed2", "toy-blocks-fold1", "toy-blocks-fold1-test"} <= set(names)


def states(number: str) -> list[str]:
    """Of all jobs of an array."""
    done = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, check=True)
    return re.findall(r"JobState=(\S+)", done.stdout)


def failed(number: str) -> bool:
    return bool({"FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"} & set(states(number)))


@pytest.mark.slurm
def test_the_line_of_torchrun_in_the_readme_runs(world: Path) -> None:
    line = next(line for line in commands() if line[0] == "torchrun")
    own = [str(world) if part == "configs/demo.yaml" else part for part in line[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *own, "--no-wandb", "--trainer.max_epochs=1"],
        cwd=world.parent,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Effective batch: 8 chips x 2 processes x 1 accumulated = 16" in done.stderr
    assert done.stderr.count("Effective batch") == 1
    runs = list((world.parent / "runs" / "two").glob("2*"))
    assert len(runs) == 1
    assert (runs[0] / "model.ckpt").is_file()
