"""Training by the command line: what it refuses, and what its own options do."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import write_scene
from toy_world import LEVELS, write_config

from eoseg.cli import main
from eoseg.models.checkpoint import read_checkpoint


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


def leaking(folder: Path) -> list[str]:
    """Arguments of a training whose validation scene lies one row of pixels over a training scene."""
    config = write_config(folder, max_epochs=1)
    rng = np.random.default_rng(9)
    mask = rng.integers(0, 3, (12, 12)).repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)
    image = (
        (LEVELS[mask].transpose(2, 0, 1) + rng.normal(0, 60, (2, 192, 192))).clip(1, 9999).astype(np.uint16)
    )
    place = (5e5, 5.4e6 - 191 * 10)  # below scene_0
    write_scene(folder / "images" / "scene_1.tif", image, nodata=0, names=["red", "nir"], origin=place)
    write_scene(folder / "labels" / "scene_1.tif", mask, origin=place)
    values = yaml.safe_load(config.read_text())
    values["data"]["init_args"]["split"] = {"method": "files", "val": ["scene_1"], "test": ["scene_2"]}
    config.write_text(yaml.safe_dump(values))
    return ["fit", f"--config={config}", f"--run.folder={folder / 'runs'}", "--no-wandb"]


def test_a_split_that_leaks_is_refused_unless_it_is_allowed_and_then_said_beside_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    arguments = leaking(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "train and val share 19,200 m2 of ground in 1 place" in line
    assert line.endswith("add --allow-leakage.")
    assert not (tmp_path / "runs").exists()

    with caplog.at_level(logging.WARNING):
        main([*arguments, "--allow-leakage", "--run.panels_every=0"])
    assert "Leakage: train and val share" in caplog.text
    latest = tmp_path / "runs" / "toy" / "latest"
    figures = json.loads((latest / "figures.json").read_text())["leakage"]
    assert (figures["verdict"], figures["allowed"]) == ("leaking", True)
    assert figures["checks"]["ground"] == "error"
    split = read_checkpoint(latest / "model.ckpt")[0].provenance["split"]
    assert isinstance(split, dict)
    assert split["leakage"] == figures
    assert json.loads((latest / "leakage.json").read_text())["verdict"] == "leaking"

    main(["test", str(latest), f"--run.folder={tmp_path / 'runs'}", "--no-wandb"])
    tested = json.loads(next((tmp_path / "runs").glob("*-test/latest/figures.json")).read_text())
    assert tested["leakage"] == figures


def test_leakage_is_allowed_where_training_begins(tmp_path: Path) -> None:
    from eoseg.cli.configuration import expand
    from eoseg.errors import ConfigError

    assert expand("fit", ["--allow-leakage"]) == ["--allow_leakage=true"]
    with pytest.raises(ConfigError, match="--allow-leakage is for 'eoseg fit'"):
        expand("test", [str(tmp_path), "--allow-leakage"])


def test_a_run_says_what_it_waited_for_and_takes_the_largest_batch_and_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eoseg.models import Network

    forward = Network.forward

    def limited(self: Network, image: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if self.training and len(image) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, image, *rest)

    monkeypatch.setattr(Network, "forward", limited)
    cache = f"--data.init_args.cache={tmp_path / 'cache'}"
    latest = run(tmp_path, "--batch-size", "auto", cache, "--run.panels_every=0") / "toy" / "latest"
    assert json.loads((latest / "batch_size.json").read_text()) == {"batch_size": 5}
    assert 0 <= json.loads((latest / "figures.json").read_text())["figures"]["train/data_wait"] <= 1
    assert len(list((tmp_path / "cache").iterdir())) == 3
    main(["test", str(latest), "--no-wandb"])  # what the run was made with is in its configuration


def test_options_of_own_loggers_beside_another_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, logger=False)
    with pytest.raises(SystemExit):
        main(["fit", f"--config={config}", f"--run.folder={tmp_path / 'runs'}", "--register=x"])
    assert "but trainer.logger names others. Leave one of them out." in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
