"""What `--wandb` refuses; tests/test_board_runs.py has what it logs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from map_factory import label_values, write_map

from eoseg.cli import main
from eoseg.cli.wandb_log import wandb_mode
from eoseg.errors import ConfigError


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    truth = np.zeros((32, 32), np.uint8)
    mapped = write_map(tmp_path / "map.tif", truth)
    return [str(mapped), str(write_scene(tmp_path / "reference.tif", label_values(truth)))]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *arguments])
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_options_of_wandb_without_it_are_refused(
    files: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = f"--out={tmp_path / 'a.json'}"
    assert "--project maps is for --wandb: add it" in refused(capsys, *files, "--project=maps", out)
    assert "--model says in W&B what made the map: add --wandb" in refused(capsys, *files, "--model=m", out)
    assert not (tmp_path / "a.json").exists()


def test_a_checkpoint_that_did_not_make_the_map_is_refused(
    files: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    other = tmp_path / "other.ckpt"
    other.write_text("weights")
    told = refused(capsys, *files, "--wandb", f"--model={other}")
    assert "The map was made with the checkpoint abc, " in told
    assert "There is no checkpoint 'missing.ckpt'" in refused(
        capsys, *files, "--wandb", "--model=missing.ckpt"
    )


def test_disabled_an_evaluation_goes_on_as_without(
    files: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.chdir(tmp_path)
    main(["evaluate", *files, "--wandb"])
    assert "overall accuracy" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_without_wandb_installed_it_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(
        ConfigError, match=r'--wandb needs W&B, which is not installed: pip install "eoseg\[wandb\]"'
    ):
        wandb_mode(wanted=True, project=None)
