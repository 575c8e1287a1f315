"""Training by the command line: what it refuses, and what its own options do."""

import sys
from pathlib import Path

import pytest
import torch
from toy_world import write_config

from eoseg.cli import main


def test_everything_works_without_wandb_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", _without_wandb())
    config = write_config(tmp_path, max_epochs=1)
    main(["fit", f"--config={config}", f"--run.folder={tmp_path / 'runs'}"])
    assert (tmp_path / "runs" / "toy" / "latest" / "model.ckpt").is_file()
    assert "W&B is not installed" in caplog.text


def _without_wandb() -> object:
    import importlib.util

    real = importlib.util.find_spec
    return lambda name, package=None: None if name == "wandb" else real(name, package)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--data.init_args.chip_size=36", "chip_size 36 does not suit"),
        ("--data.init_args.scenes.images=nothing/*.tif", "nothing/"),
        ("--data.init_args.scenes.bands=[red,swir]", "swir"),
        ("--model.init_args.loss=dise", "Did you mean 'dice'"),
        ("--data.init_args.split.val=0", "needs a validation split"),
        ("--data.init_args.scenes.classes=[soil,grass]", "value 2"),
        ("--data.init_args.chip_size=many", "chip_size"),
        ("--weights_only=false", "weights_only is always true"),
        ("--run.register=land-cover", "--register is for W&B, which is switched off"),
        ("--run.panels_every=-1", "numbers of at least 0; found -1 and 100"),
        ("--run.block_size=100", "run.block_size is 64 px times a power of two, such as 128; found 100"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    config = write_config(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["fit", f"--config={config}", f"--run.folder={tmp_path / 'runs'}", "--no-wandb", override])
    assert caught.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "runs").exists()


def run(folder: Path, *options: str) -> Path:
    config = write_config(folder, max_epochs=1)
    main(["fit", f"--config={config}", f"--run.folder={folder / 'runs'}", "--no-wandb", *options])
    return folder / "runs"


def test_the_options_of_a_run_have_their_effect(tmp_path: Path) -> None:
    runs = run(tmp_path, "--run.name=mine", "--run.panels_every=0")
    assert (runs / "mine" / "latest" / "model.ckpt").is_file()
    assert not (runs / "mine" / "latest" / "panels").exists()


def test_the_seed_changes_the_weights(tmp_path: Path) -> None:
    weights = []
    for seed in (0, 1):
        latest = run(tmp_path / str(seed), f"--seed_everything={seed}") / "toy" / "latest"
        weights.append(torch.load(latest / "model.ckpt", weights_only=True)["state_dict"])
    name = "network.body.encoder.conv1.weight"
    assert not torch.equal(weights[0][name], weights[1][name])


def test_a_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    runs = run(tmp_path)
    last = (runs / "toy" / "latest" / "checkpoints" / "last.ckpt").resolve()
    assert torch.load(last, weights_only=True)["epoch"] == 0
    config = tmp_path / "toy.yaml"
    arguments = [f"--config={config}", f"--run.folder={runs}", "--no-wandb", f"--ckpt_path={last}"]
    main(["fit", *arguments, "--trainer.max_epochs=2"])
    last = runs / "toy" / "latest" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["epoch"] == 1


def test_options_of_own_loggers_beside_another_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, logger=False)
    with pytest.raises(SystemExit):
        main(["fit", f"--config={config}", f"--run.folder={tmp_path / 'runs'}", "--register=x"])
    assert "but trainer.logger names others. Leave one of them out." in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
