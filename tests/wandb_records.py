"""A user of W&B without login, and a way to read an offline run back from disk."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def isolate_wandb(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A user without login and settings, whose home is a temporary folder."""
    import wandb

    wandb.teardown()
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    for name in ("EOSEG_RUN_FOLDER", "EOSEG_RUN_FOLDER_OWNER"):  # what a run sets is gone after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)


def read_run(folder: Path) -> list[dict[str, Any]]:
    """All records of the one offline run in a run folder."""
    (log,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return records_of(log)


def records_of(log: Path) -> list[dict[str, Any]]:
    """All records of a run, from its file on disk."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(log)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
