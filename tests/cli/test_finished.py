"""The last lines of a training."""

import logging
from pathlib import Path
from typing import cast

import pytest
import torch
from task_worlds import make_schema
from toy_world import write_config

from eoseg.cli import finished, main
from eoseg.cli.finished import say_finished
from eoseg.datasets.base import EOData
from eoseg.predict.surroundings import Surroundings
from eoseg.tasks import ChangeTask, PretrainTask, Task


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            lambda: ChangeTask(make_schema(time="pair", steps=2), 32, network_args={"depth": 3}),
            "eoseg predict model.ckpt BEFORE.tif AFTER.tif --out map.tif",
        ),
        (
            lambda: PretrainTask(make_schema(), 32, network_args={"depth": 3}),
            "eoseg embed model.ckpt SCENE.tif --out features.parquet",
        ),
    ],
)
def test_the_next_command_is_that_of_the_task(task, expected, capsys: pytest.CaptureFixture[str]) -> None:
    made: Task = task()
    say_finished(made, cast(EOData, object()), Path("model.ckpt"), Path("runs/a/1"))
    printed = capsys.readouterr().out
    assert "Next: eoseg test runs/a/1\n" in printed
    assert expected in printed


def test_a_run_is_tested_without_what_it_started_from_and_a_worse_map_is_foretold(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = write_config(tmp_path, max_epochs=1)
    shared = [f"--config={config}", f"--run.folder={tmp_path / 'runs'}", "--no-wandb"]
    main(["fit", *shared])
    latest = tmp_path / "runs" / "toy" / "latest"
    start = tmp_path / "start.ckpt"
    start.write_bytes((latest / "model.ckpt").read_bytes())
    worse = Surroundings(pixels=1000, right_alone=900, right_in_place=700, halo=40)
    monkeypatch.setattr(finished, "measure_surroundings", lambda *_: worse)
    with caplog.at_level(logging.INFO):
        main(["fit", *shared, f"--model.init_args.weights={start}"])
    assert f"starts from '{start}'" in caplog.text
    assert "overall accuracy 0.900 as chips, 0.700 with what lies around them" in capsys.readouterr().out
    assert "A map will be worse than the figures on chips: the network looks 40 px around" in caplog.text

    start.unlink()
    main(["test", str(latest), f"--run.folder={tmp_path / 'runs'}", "--no-wandb"])
    assert torch.load(latest / "model.ckpt", weights_only=True)["eoseg"]
    with pytest.raises(SystemExit):
        main(["fit", *shared, f"--model.init_args.weights={start}"])
