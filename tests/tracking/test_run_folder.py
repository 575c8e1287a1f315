import itertools
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eoseg import __version__
from eoseg.errors import ConfigError, OutputError
from eoseg.tracking import run_folder
from eoseg.tracking.run_folder import (
    FOLDER_VARIABLE,
    create_run_folder,
    git_state,
    is_requeued,
    job_name,
    planned_folder,
    process_rank,
    write_environment,
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launcher, no folder given; what a test sets is taken back."""
    for name in (FOLDER_VARIABLE, run_folder._OWNER_VARIABLE, *run_folder._RANK_VARIABLES):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "20250102-030405")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_a_run_folder_is_named_by_experiment_and_time(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path / "runs", "demo")
    assert folder.is_dir()
    assert folder.parent == tmp_path / "runs" / "demo"
    assert time.strptime(folder.name, "%Y%m%d-%H%M%S")


@pytest.mark.usefixtures("stopped_clock")
def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    names = [create_run_folder(tmp_path, "demo").name for _ in range(3)]
    assert names == ["20250102-030405", "20250102-030405-2", "20250102-030405-3"]


@pytest.mark.usefixtures("stopped_clock")
def test_runs_that_start_at_once_never_share_a_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: run_folder._make_new(tmp_path), range(64)))
    assert len(set(folders)) == 64


def test_further_processes_take_the_folder_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = create_run_folder(tmp_path, "demo")
    (first / "config.yaml").write_text("seed: 1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert process_rank() == 1
    assert create_run_folder(tmp_path, "demo") == first.resolve()


def test_a_second_run_of_one_process_gets_a_new_folder(tmp_path: Path) -> None:
    assert create_run_folder(tmp_path, "demo") != create_run_folder(tmp_path, "demo")


def test_a_run_started_by_a_run_gets_a_new_folder(tmp_path: Path) -> None:
    first = create_run_folder(tmp_path, "demo")
    code = (
        "import sys; from pathlib import Path; from eoseg.tracking.run_folder import create_run_folder; "
        "print(create_run_folder(Path(sys.argv[1]), 'demo'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert Path(done.stdout.strip()) != first


def test_a_folder_given_by_the_job_script_is_used_by_all_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "job" / "17"))
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert create_run_folder(tmp_path / "runs", "demo") == tmp_path / "job" / "17"
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert create_run_folder(tmp_path / "runs", "demo") == tmp_path / "job" / "17"
    assert not (tmp_path / "runs").exists()


def test_a_given_folder_that_holds_a_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.ckpt").write_text("precious")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(OutputError, match="not empty; a run never overwrites another"):
        create_run_folder(tmp_path / "runs", "demo")


def test_a_further_process_without_folder_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(ConfigError, match="set EOSEG_RUN_FOLDER to a new folder in the job script"):
        create_run_folder(tmp_path, "demo")


@pytest.mark.parametrize("name", ["", "..", "../other", "a/b", ".hidden", "a b"])
def test_names_that_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="The name of a run holds letters"):
        create_run_folder(tmp_path, name)


def test_a_base_that_is_a_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(OutputError, match="A run folder cannot be made"):
        create_run_folder(tmp_path / "runs", "demo")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "runs" / "inside"))
    with pytest.raises(OutputError, match="cannot be made"):
        create_run_folder(tmp_path / "runs", "demo")


def test_the_environment_is_recorded(tmp_path: Path) -> None:
    record = write_environment(tmp_path)
    assert json.loads((tmp_path / "environment.json").read_text()) == record
    assert record["eoseg"] == __version__
    assert record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["command"] == sys.argv
    assert record["packages"]["torch"]
    assert record["packages"]["lightning"]
    assert [path.name for path in tmp_path.iterdir()] == ["environment.json"]


def test_git_gives_revision_and_whether_files_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    git(tmp_path, "init")
    assert git_state(tmp_path) is None  # nothing is committed yet
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    state = git_state(tmp_path)
    assert len(state["revision"]) == 40
    assert state["dirty"] is False
    (tmp_path / "untracked").write_text("")
    assert git_state(tmp_path)["dirty"] is False
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path)["dirty"] is True
    monkeypatch.chdir(tmp_path)
    assert write_environment(tmp_path)["git"]["revision"] == state["revision"]


def test_without_git_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(Path(__file__).parent) is None
    assert write_environment(tmp_path)["git"] is None


def test_latest_leads_to_the_newest_run(tmp_path: Path) -> None:
    create_run_folder(tmp_path, "run")
    newest = create_run_folder(tmp_path, "run")
    assert (tmp_path / "run" / "latest").resolve() == newest.resolve()
    assert sorted(path.name for path in (tmp_path / "run").iterdir())[-1] == "latest"


def test_a_run_is_gone_on_with_in_its_folder_and_stays_the_latest(tmp_path: Path) -> None:
    first = create_run_folder(tmp_path, "demo")
    second = create_run_folder(tmp_path, "demo")
    (first / "config.yaml").write_text("seed: 1")
    with pytest.raises(OutputError, match=f"is not empty; .*eoseg fit --resume {first}"):
        create_run_folder(tmp_path, "demo", chosen=first)
    assert create_run_folder(tmp_path, "demo", chosen=first, resume=True) == first
    assert (tmp_path / "demo" / "latest").resolve() == first.resolve() != second.resolve()
    (second / "map.tif").write_text("precious")
    with pytest.raises(OutputError, match="is not the folder of a run: it has no config.yaml"):
        create_run_folder(tmp_path, "demo", chosen=second, resume=True)


def test_a_chosen_folder_is_begun(tmp_path: Path) -> None:
    assert create_run_folder(tmp_path, "demo", chosen=tmp_path / "new" / "run", resume=True).is_dir()


def test_a_planned_folder_is_new_and_not_made(tmp_path: Path) -> None:
    first = create_run_folder(tmp_path, "demo")
    planned = planned_folder(tmp_path, "demo")
    assert planned.parent == tmp_path / "demo"
    assert planned != first
    assert not planned.exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "17"}, None),  # the job script itself
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0"}, "job-17"),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "2"}, "job-17-2"),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "interactive"}, None),
    ],
)
def test_a_step_of_a_job_names_its_folder(environment: dict[str, str], expected: str | None) -> None:
    assert job_name(environment) == expected


def test_all_processes_of_a_step_share_its_folder_also_after_a_requeue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_JOB_NAME", "fit")
    found = set()
    for rank in ("1", "0", "1"):
        monkeypatch.setenv("SLURM_PROCID", rank)
        found.add(create_run_folder(tmp_path, "demo"))
    (tmp_path / "demo" / "job-17" / "config.yaml").write_text("")
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv(run_folder._OWNER_VARIABLE, raising=False)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert is_requeued()
    for rank in ("0", "1"):
        monkeypatch.setenv("SLURM_PROCID", rank)
        found.add(create_run_folder(tmp_path, "demo", resume=True))
    assert found == {tmp_path / "demo" / "job-17"}
    # A search makes several runs of one name, alone.
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert create_run_folder(tmp_path, "demo") not in found


def test_the_processes_of_torchrun_are_told_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.distributed import TCPStore

    agent = TCPStore("127.0.0.1", 0, is_master=True)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(agent.port))
    counts = [itertools.count(), itertools.count()]  # of two processes, each of which makes two runs
    for _ in range(2):
        found = []
        for rank in (0, 1):
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setattr(run_folder, "_RUNS", counts[rank])
            if rank == 1:
                monkeypatch.delenv(FOLDER_VARIABLE)
            found.append(create_run_folder(tmp_path, "demo").resolve())
        assert found[0] == found[1]
