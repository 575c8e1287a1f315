"""Every command and every Python block of the README is run, in its order, on a small world."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest
import yaml
from test_extending import CONFIG, MODEL

from eoseg.cli import COMMANDS, main
from eoseg.datasets.course_world import make_course_world
from eoseg.datasets.world import make_world
from eoseg.geo.scene import read_all

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# These set the environment up before they call what is run here; tests/scripts and tests/cli/test_demo.py
# test both halves.
SCRIPTS = {"scripts/demo", "scripts/test", "scripts/check"}

# These start eoseg; tests/scripts/test_slurm.py runs every one of them.
LAUNCHERS = {"sbatch", "torchrun"}


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return found


def commands() -> list[list[str]]:
    lines = (line for block in blocks("bash") for line in block.splitlines() if line.strip())
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user has after the demo, in small: the configuration, with fewer epochs, and a world."""
    folder = tmp_path_factory.mktemp("readme")
    config = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    config["trainer"]["max_epochs"] = 1
    config["data"]["init_args"] |= {"chips_per_epoch": 48, "chip_size": 64}
    (folder / "configs").mkdir()
    (folder / "configs" / "demo.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    make_world(folder / "data" / "demo", scenes=3, size=256, unseen_size=(150, 170))
    for name in ("tune/demo.yaml", "sweeps/demo.yaml", "course/change.yaml"):
        (folder / "configs" / name).parent.mkdir()
        (folder / "configs" / name).write_text((ROOT / "configs" / name).read_text())
    make_course_world(folder / "data" / "course", size=96)  # the least with change in every place
    return folder


def test_the_scripts_that_the_readme_names_can_be_run() -> None:
    named = {line[0] for line in commands() if line[0].startswith("scripts/")}
    assert named
    assert named <= SCRIPTS
    for name in named:
        assert os.access(ROOT / name, os.X_OK)


def test_the_commands_of_the_readme_and_its_python_run(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("WANDB_MODE", "disabled")  # tests/tracking looks at what W&B gets
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = [line for line in commands() if line[0] == "eoseg"]
    assert {line[1] for line in run} == set(COMMANDS) - {"demo", "validate"}
    for line in run:
        main(line[1:])
    assert (workplace / "accuracy.html").is_file()
    assert (workplace / "map.tif").is_file()
    capsys.readouterr()
    for block in (block for block in blocks("python") if block != MODEL):
        exec(compile(block, "README.md", "exec"), {})
    assert (workplace / "again.tif").is_file()
    _check_areas(workplace)
    assert "True" in capsys.readouterr().out


def _check_areas(workplace: Path) -> None:
    """The intervals of the README's sample hold the areas that are known of the demo world."""
    found = json.loads((workplace / "areas.json").read_text())
    truth = read_all(workplace / "data" / "demo" / "unseen" / "truth.tif")[0]
    mapped = read_all(workplace / "map.tif")[0]
    held = 0
    for number, entry in enumerate(found["classes"]):
        area = 100.0 * ((truth == number) & (mapped != 255)).sum()
        low, high = entry["area"]["interval_95"]
        held += low <= area <= high
    assert held >= len(found["classes"]) - 1  # each of them holds in 95 of 100 samples


def test_the_configuration_in_the_readme_is_the_demos() -> None:
    shown, _ = (yaml.safe_load(block) for block in blocks("yaml"))
    assert shown == yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())


def test_what_the_readme_adds_is_what_is_tested() -> None:
    assert MODEL in blocks("python")
    assert CONFIG in blocks("yaml")
