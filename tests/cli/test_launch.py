"""`--processes N` is the same command several times."""

import sys
from pathlib import Path

import pytest

from eoseg.cli.launch import launch

SCRIPT = """#!/bin/sh
echo "$RANK of $WORLD_SIZE: $*" >> {log}
if [ "$RANK" = 1 ]; then {one}; else {other}; fi
"""


def start(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, one: str = "exit 0", other: str = "exit 0"
) -> list[str]:
    """Launch two processes of a script in the place of Python, and tell what they were."""
    script, log = folder / "python", folder / "log"
    script.write_text(SCRIPT.format(log=log, one=one, other=other))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    calls: list[int] = []
    try:
        launch("predict", ["model.ckpt", "a.tif"], 2, watch=lambda: calls.append(1))
    finally:
        lines = sorted(log.read_text().splitlines())
    return lines


def test_each_process_gets_the_command_and_its_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(tmp_path, monkeypatch) == [
        "0 of 2: -m eoseg predict model.ckpt a.tif",
        "1 of 2: -m eoseg predict model.ckpt a.tif",
    ]


def test_the_status_of_a_process_that_fails_is_that_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(tmp_path, monkeypatch, one="exit 2", other="exec sleep 600")
    assert stopped.value.code == 2


def test_a_process_that_is_killed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(tmp_path, monkeypatch, one="kill -9 $$", other="exec sleep 600")
    assert stopped.value.code == 1
    told = capsys.readouterr().err
    assert "was killed (signal 9)" in told
    assert "the same command goes on" in told
