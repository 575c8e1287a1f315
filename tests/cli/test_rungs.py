"""Trainings of a ladder at the same time, and those that build on others."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eoseg.cli import configuration, main, rungs
from eoseg.cli.rungs import Training, open_pool, run_all
from eoseg.datasets.course_world import make_course_world
from eoseg.errors import ConfigError

ROOT = Path(__file__).parents[2]


def small(folder: Path, name: str, methods: dict[str, Any]) -> Path:
    """A shipped ladder with other methods and little to train on."""
    ladder = yaml.safe_load((ROOT / "configs" / "course" / f"{name}.yaml").read_text())
    ladder["data"]["init_args"] |= {"chip_size": 32, "chips_per_epoch": 16, "batch_size": 8}
    ladder["trainer"]["max_epochs"] = 1
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**ladder, "methods": methods}, sort_keys=False))
    return path


@pytest.mark.slow
def test_several_at_a_time_give_what_one_after_the_other_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_course_world(tmp_path / "world", size=96)
    first = small(tmp_path, "segmentation", {"forest": {"arch": "random_forest"}, "net": {"arch": "mlp"}})
    inner = {"arch": "post_classification", "network_args": {"checkpoint": "{segmentation/forest}"}}
    second = small(tmp_path, "change", {"compared maps": inner})
    figures = []
    for jobs in (1, 2):
        out = tmp_path / f"jobs-{jobs}"
        options = [f"--root={world}", f"--out={out}", f"--jobs={jobs}", "--no-wandb", "--run.panels_every=0"]
        main(["course", str(first), str(second), *options])
        tables = [json.loads((out / f"{path.stem}.json").read_text())["methods"] for path in (first, second)]
        figures.append([[one["figures"] for one in row] for table in tables for row in table.values()])
    assert figures[0] == figures[1]
    assert "segmentation: net, seed 0: " in (printed := capsys.readouterr().out)
    assert "2 of 2 done, about 0 min left." in printed
    assert "Best checkpoint" in (tmp_path / "jobs-2" / "logs" / "segmentation-net-0.log").read_text()


def training(tmp_path: Path, **model: Any) -> Training:
    config = {"data": {}, "model": {"init_args": model}}
    return Training(config, "change", "maps", 1, None, tmp_path, ("--no-wandb",))


def test_a_reference_is_the_checkpoint_with_the_same_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def train(command: str, arguments: list[str]) -> Path:
        if command == "fit":
            seen.append(yaml.safe_load(Path(arguments[0].removeprefix("--config=")).read_text()))
        return tmp_path

    monkeypatch.setattr(configuration, "train", train)
    monkeypatch.setattr(rungs, "read_measured", lambda *_: "measured")
    checkpoint = tmp_path / "runs" / "segmentation-u_net-1" / "latest" / "model.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    asked = training(tmp_path, network_args={"checkpoint": "{segmentation/U-Net}"}, encoder="{plain}")
    assert list(run_all([asked])) == ["measured"]
    (config,) = seen
    assert config["model"]["init_args"] == {
        "network_args": {"checkpoint": str(checkpoint)},
        "encoder": "{plain}",
    }


def test_a_reference_to_what_was_not_trained_is_refused(tmp_path: Path) -> None:
    asked = training(tmp_path, network_args={"checkpoint": "{segmentation/U-Net}"})
    with pytest.raises(ConfigError, match="First train 'U-Net' of the ladder 'segmentation'"):
        next(run_all([asked]))


def test_an_error_of_a_process_is_the_error_of_the_ladder(tmp_path: Path) -> None:
    asked = training(tmp_path, network_args={"checkpoint": "{segmentation/U-Net}"})
    with (
        open_pool(2) as pool,
        pytest.raises(ConfigError, match="First train 'U-Net' of the ladder 'segmentation'"),
    ):
        list(run_all([asked, asked], pool))
