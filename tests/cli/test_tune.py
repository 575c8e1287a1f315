"""A search with Optuna, and the sweep files of W&B, run for real with two trials."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages.journal import JournalFileBackend, JournalStorage
from toy_world import write_config

from eoseg.cli import main
from eoseg.cli.configuration import check_config, load_config
from eoseg.cli.options import check_class

ROOT = Path(__file__).parents[2]


def write_study(folder: Path, **changes: Any) -> Path:
    study = {
        "config": str(write_config(folder, max_epochs=1)),
        "trials": 2,
        "seed": 3,
        "search": {
            "model.init_args.network_args.channels": {"low": 4, "high": 8},
            "model.init_args.optimizer.lr": {"low": 1e-3, "high": 1e-1, "log": True},
            "model.init_args.class_weights": [None, "balanced"],
        },
        **changes,
    }
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


@pytest.mark.slow
def test_two_trials_are_run_kept_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study = write_study(tmp_path)
    options = ["--no-wandb", "--run.panels_every=0"]
    main(["tune", str(study), *options])
    told = capsys.readouterr().out
    journal = tmp_path / "runs" / "search.journal"
    storage = JournalStorage(JournalFileBackend(str(journal)))
    kept = optuna.load_study(study_name="search", storage=storage)
    assert [trial.state.name for trial in kept.trials] == ["COMPLETE", "COMPLETE"]
    for trial in kept.trials:
        run = tmp_path / trial.user_attrs["run"]
        best = json.loads((run / "figures.json").read_text())["best"]
        assert best == {"figure": "val/miou", "value": trial.value}
        assert 4 <= trial.params["model.init_args.network_args.channels"] <= 8
        assert 1e-3 <= trial.params["model.init_args.optimizer.lr"] <= 1e-1
        arguments = yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]
        assert arguments["optimizer"]["lr"] == pytest.approx(trial.params["model.init_args.optimizer.lr"])
    assert f"Best: trial {kept.best_trial.number}, val/miou" in told
    main(["tune", str(study), "--trials=1", *options])  # another process, or another day
    assert len(optuna.load_study(study_name="search", storage=storage).trials) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"serch": {}}, "Did you mean 'search'"),
        ({"search": None}, "under 'search' the options"),
        ({"trials": 0}, "at least 1; found 0"),
        ({"search": {"model.init_args.optimizer.lr": {"low": 1e-2, "high": 1e-3}}}, "low < high"),
        (
            {"search": {"model.init_args.optimizer.lr": {"low": "1e-4", "high": 1e-3}}},
            "1.0e-4 with its point",
        ),
        ({"search": {"model.init_args.optimizer.lr": {"lo": 1, "high": 2}}}, "Did you mean 'low'"),
        ({"search": {"model.init_args.optimizer.lr": {"low": 0, "high": 2, "log": True}}}, "low above 0"),
        ({"search": {"model.init_args.encoder": ["resnet18"]}}, "is a list of values"),
    ],
)
def test_a_study_that_makes_no_sense_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    study = write_study(tmp_path, **changes)
    with pytest.raises(SystemExit) as caught:
        main(["tune", str(study), f"--journal={tmp_path / 'j'}"])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "tune").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_studies_name_options_that_exist(path: Path) -> None:
    study = load_config(str(path))
    config = dict(load_config(str(ROOT / study["config"])))
    check_config(config, where=str(path))
    for key in study["search"]:
        head, _, rest = key.partition(".init_args.")
        check_class(config[head]["class_path"], {rest: None}, where=f"{head}.init_args")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem
)
def test_two_runs_of_a_shipped_sweep_are_drawn_and_run(path: Path, tmp_path: Path) -> None:
    """W&B's own search draws the options; its command line is run as an agent would run it."""
    sweeps = pytest.importorskip("sweeps")
    sweep = yaml.safe_load(path.read_text())
    toy = write_config(tmp_path, max_epochs=1)
    drawn: list[Any] = []
    for _ in range(2):
        run = sweeps.next_run({key: sweep[key] for key in ("method", "metric", "parameters")}, drawn)
        values = {key: entry["value"] for key, entry in run.config.items()}
        arguments: list[str] = []
        for item in sweep["command"]:
            if item == "${args_no_boolean_flags}":
                arguments += [f"--{key}={value}" for key, value in values.items()]
            elif item == "${env}":
                continue
            else:
                arguments.append(str(toy) if item.endswith("demo.yaml") else item)
        assert arguments[0] == "eoseg"
        done = subprocess.run(
            [sys.executable, "-m", *arguments, "--no-wandb", "--run.folder=runs", "--run.panels_every=0"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        best = json.loads((tmp_path / "runs" / "toy" / "latest" / "figures.json").read_text())["best"]
        assert best["figure"] == sweep["metric"]["name"]
        run.state = sweeps.RunState.finished
        run.history = [{sweep["metric"]["name"]: best["value"]}]
        drawn.append(run)
    assert drawn[0].config != drawn[1].config
