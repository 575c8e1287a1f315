"""`eoseg test --tta`, as a user gives it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from task_worlds import make_schema, make_statistics, seeded, use_local_models
from toy_world import write_config

from eoseg.cli import main
from eoseg.cli.configuration import expand
from eoseg.cli.symmetries import use_symmetries
from eoseg.errors import ConfigError
from eoseg.tasks import SegmentationTask


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> SegmentationTask:
    use_local_models(monkeypatch)
    seeded()
    task = SegmentationTask(make_schema(), 8, arch="local")
    task.use_statistics(make_statistics(task.schema))
    return task


def test_the_record_says_whether_a_figure_is_that_of_the_mean(tmp_path: Path) -> None:
    config, runs = write_config(tmp_path, max_epochs=1), tmp_path / "runs"
    options = [f"--run.folder={runs}", "--no-wandb", "--run.panels_every=0"]
    main(["fit", f"--config={config}", *options])
    found = {}
    for name, more in (("alone", []), ("mean", ["--tta"])):
        main(["test", str(runs / "toy" / "latest"), *options, f"--run.name={name}", *more])
        found[name] = json.loads((runs / f"{name}-test" / "latest" / "figures.json").read_text())
    told = {name: values["protocol"]["test_time_augmentation"] for name, values in found.items()}
    assert told == {"alone": False, "mean": True}
    assert found["alone"]["figures"]["test/nll"] != found["mean"]["figures"]["test/nll"]
    assert found["mean"]["protocol"]["training"]["test_time_augmentation"] is False


@pytest.mark.parametrize("command", ["fit", "validate"])
def test_other_commands_refuse_it(task: SegmentationTask, command: str) -> None:
    with pytest.raises(ConfigError, match=f"'eoseg {command}' looks at each chip once"):
        expand(command, ["--config=a.yaml", "--tta"])
    with pytest.raises(ConfigError, match=f"'eoseg {command}' looks at each chip once"):
        use_symmetries(task, wanted=True, command=command, checkpoint=None)
    use_symmetries(task, wanted=False, command=command, checkpoint=None)
    assert not task.tta


def test_a_model_of_single_pixels_and_a_pretraining_are_refused(
    task: SegmentationTask, tmp_path: Path
) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"eoseg": task.recipe().to_dict(), "state_dict": task.state_dict()}, path)
    with pytest.raises(ConfigError, match="looks at each pixel alone"):
        use_symmetries(task, wanted=True, command="test", checkpoint=str(path))
    assert not task.tta
    with pytest.raises(ConfigError, match="PretrainTask reconstructs"):
        use_symmetries(SimpleNamespace(kind="pretraining"), wanted=True, command="test", checkpoint=None)  # type: ignore[arg-type]
    use_symmetries(task, wanted=True, command="test", checkpoint=None)
    assert task.tta
