"""scripts/setup with a PATH of our own: nothing is installed, interpreters are small shell scripts."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("bash", "cksum", "dirname", "mkdir", "mv", "rm", "touch", "cat", "sleep")

# Stands for Python: answers what scripts/setup asks. `-m venv` and `-m pip` leave a trace in calls.log.
FAKE_PYTHON = """#!/bin/bash
echo "$0 $*" >>"{calls}"
case "$*" in
  *version_info*) exit {too_old} ;;
  *"import ensurepip"*) exit {no_ensurepip} ;;
  *flock*) exec {python} "$@" ;;
  *"print(sys.version)"*) echo "3.12.99 (fake)" ;;
  --version) echo "Python 3.12.99" ;;
  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  *"pip install"*" uv") exit 1 ;;
  *"pip install"*) [[ -e fail ]] && exit 1; sleep 0.2; echo install >>"{calls}"; touch .venv/bin/eoseg
    chmod +x .venv/bin/eoseg ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with scripts/setup and a pyproject.toml, and `path/` with the few commands it needs."""
    root = tmp_path / "clone"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup", root / "scripts" / "setup")
    (root / "pyproject.toml").write_text("[project]\nname = 'eoseg'\n")
    commands = tmp_path / "path"
    commands.mkdir()
    for name in (*NEEDED, "cp", "chmod"):
        found = shutil.which(name)
        assert found, name
        (commands / name).symlink_to(found)
    return root


def fake_python(clone: Path, name: str, *, too_old: bool = False, ensurepip: bool = True) -> None:
    script = clone.parent / "path" / name
    text = FAKE_PYTHON.format(
        calls=clone.parent / "calls.log",
        too_old=int(too_old),
        no_ensurepip=int(not ensurepip),
        python=sys.executable,
    )
    script.write_text(text)
    script.chmod(0o755)


def environment(clone: Path, **extra: str) -> dict[str, str]:
    return {"PATH": str(clone.parent / "path"), "HOME": str(clone.parent), **extra}


def setup(clone: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone / "scripts" / "setup"],
        env=environment(clone, **extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def calls(clone: Path) -> str:
    log = clone.parent / "calls.log"
    return log.read_text() if log.exists() else ""


def test_without_any_python_one_line_says_what_to_do(clone: Path) -> None:
    result = setup(clone)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "found no Python 3.12 or newer" in result.stderr
    assert "EOSEG_PYTHON" in result.stderr
    assert not (clone / ".venv").exists()


def test_a_python_that_is_too_old_is_not_taken(clone: Path) -> None:
    fake_python(clone, "python3", too_old=True)
    result = setup(clone)
    assert result.returncode == 1
    assert "found no Python 3.12 or newer" in result.stderr


def test_a_chosen_python_that_is_too_old_is_refused_by_name(clone: Path) -> None:
    fake_python(clone, "python3.12")
    fake_python(clone, "ancient", too_old=True)
    result = setup(clone, EOSEG_PYTHON="ancient")
    assert result.returncode == 1
    assert "EOSEG_PYTHON is 'ancient'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_chosen_python_comes_before_those_on_the_path(clone: Path) -> None:
    fake_python(clone, "python3.12")
    fake_python(clone, "chosen")
    assert setup(clone, EOSEG_PYTHON="chosen").returncode == 0
    assert "chosen -m venv" in calls(clone)


def test_a_python_without_ensurepip_and_no_uv_says_what_to_install(clone: Path) -> None:
    fake_python(clone, "python3", ensurepip=False)
    result = setup(clone)
    assert result.returncode == 1
    assert "has no ensurepip" in result.stderr
    assert "python3-venv" in result.stderr


def test_a_python_with_ensurepip_comes_before_one_without(clone: Path) -> None:
    fake_python(clone, "python3.12", ensurepip=False)
    fake_python(clone, "python3")
    assert setup(clone).returncode == 0
    assert "python3 -m venv" in calls(clone)


def test_pythons_of_pyenv_are_found_though_none_is_on_the_path(clone: Path) -> None:
    fake_python(clone, "python3")
    home = clone.parent / "pyenv" / "versions" / "3.13.1" / "bin"
    home.mkdir(parents=True)
    (clone.parent / "path" / "python3").rename(home / "python")
    assert setup(clone).returncode == 1
    assert setup(clone, PYENV_ROOT=str(clone.parent / "pyenv")).returncode == 0


def test_the_second_call_does_nothing_and_is_quick(clone: Path) -> None:
    fake_python(clone, "python3")
    first = setup(clone)
    assert first.returncode == 0, first.stderr
    assert calls(clone).count("\ninstall\n") == 1
    start = time.perf_counter()
    second = setup(clone)
    assert time.perf_counter() - start < 0.9
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert calls(clone).count("\ninstall\n") == 1


def test_a_change_of_requirements_installs_into_the_same_environment(clone: Path) -> None:
    fake_python(clone, "python3")
    setup(clone)
    with (clone / "pyproject.toml").open("a") as file:
        file.write("version = '2'\n")
    assert setup(clone).returncode == 0
    assert calls(clone).count("\ninstall\n") == 2
    assert calls(clone).count("-m venv") == 1


def test_an_environment_whose_python_is_gone_is_made_anew(clone: Path) -> None:
    fake_python(clone, "python3")
    setup(clone)
    (clone / ".venv" / "bin" / "python").unlink()
    assert setup(clone).returncode == 0
    assert calls(clone).count("-m venv") == 2


def test_a_failed_installation_is_an_error_and_the_next_call_starts_afresh(clone: Path) -> None:
    fake_python(clone, "python3")
    (clone / "fail").touch()
    failed = setup(clone)
    assert failed.returncode == 1
    assert "the installation failed" in failed.stderr
    (clone / "fail").unlink()
    (clone / ".venv" / "rubbish").touch()
    assert setup(clone).returncode == 0
    assert not (clone / ".venv" / "rubbish").exists()


def test_a_clone_that_was_moved_installs_again(clone: Path) -> None:
    fake_python(clone, "python3")
    setup(clone)
    moved = clone.rename(clone.with_name("moved"))
    assert setup(moved).returncode == 0
    assert calls(moved).count("\ninstall\n") == 2


def test_two_calls_at_once_install_once(clone: Path) -> None:
    fake_python(clone, "python3")
    both = [
        subprocess.Popen([clone / "scripts" / "setup"], env=environment(clone), stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in both:
        process.communicate(timeout=60)
    assert [process.returncode for process in both] == [0, 0]
    assert calls(clone).count("\ninstall\n") == 1


@pytest.mark.parametrize(
    "script", ["scripts/setup", "scripts/test", "scripts/check", "scripts/demo", ".ci/run"]
)
def test_each_script_can_be_executed_and_is_sound_bash(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    text = path.read_bytes()
    assert text.startswith(b"#!/usr/bin/env bash\n")
    assert b"\r" not in text
    assert b"set -euo pipefail" in text
    subprocess.run(["bash", "-n", path], check=True)


def test_ci_runs_the_check_and_the_check_runs_the_tests() -> None:
    assert "scripts/check" in (ROOT / ".ci" / "run").read_text()
    check = (ROOT / "scripts" / "check").read_text()
    for step in ("scripts/test", "ruff format --check", "ruff check", "mypy"):
        assert step in check
