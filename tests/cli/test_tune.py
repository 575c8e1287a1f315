"""A search with Optuna, and the sweep files of W&B, run for real with two trials."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages.journal import JournalFileBackend, JournalStorage
from toy_world import write_config
from wandb_server import ENTITY, SweepServer, draw

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


def run_wandb(server: SweepServer, folder: Path, *arguments: str) -> str:
    """Run W&B's own program: a server of this machine, runs kept offline, none of the user's settings."""
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {
        "PATH": os.pathsep.join([str(programs), environment["PATH"]]),
        "NO_PROXY": "127.0.0.1",
        "NETRC": str(folder / "netrc"),
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "a" * 40,
        "WANDB_MODE": "offline",
        "WANDB_ERROR_REPORTING": "false",
        **{
            f"WANDB_{name}_DIR": str(folder / f"wandb_{name.lower()}") for name in ("CONFIG", "CACHE", "DATA")
        },
    }
    if environment.pop("PYTHONDONTWRITEBYTECODE", None):  # compiling torch again in each run takes 20 s
        environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    done = subprocess.run(
        [str(programs / "wandb"), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    assert not server.refused, done.stdout
    return done.stdout


def logged_records(run: Path) -> list[dict[str, Any]]:
    """All records of the one offline W&B run of a run folder."""
    (log,) = run.glob("wandb/offline-run-*/run-*.wandb")
    inspect = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(log)]
    done = subprocess.run(inspect, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def value_at(config: dict[str, Any], key: str) -> Any:
    for name in key.split("."):
        config = config[name]
    return config


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem
)
def test_two_runs_of_a_shipped_sweep_are_run_by_the_agent_of_wandb(path: Path, tmp_path: Path) -> None:
    """`wandb sweep` uploads the file as it is; `wandb agent` makes its command lines and runs them.

    The configuration that the command names is the toy's here, and the options are drawn by the stand-in for
    W&B's server, which alone can search.
    """
    sweep = yaml.safe_load(path.read_text())
    (named,) = (item for item in sweep["command"] if item.endswith(".yaml"))
    toy = yaml.safe_load(write_config(tmp_path, max_epochs=1).read_text())
    (tmp_path / named).parent.mkdir(parents=True)
    (tmp_path / named).write_text(yaml.safe_dump({**toy, "run": {"panels_every": 0}}))
    with SweepServer(runs=2, seed=1) as server:
        told = run_wandb(server, tmp_path, "sweep", str(path))
        assert server.sweep is not None
        assert server.sweep["command"] == sweep["command"]
        agent = f"{ENTITY}/{sweep['project']}/{server.sweep_id}"
        assert f"wandb agent {agent}" in told  # the line that a user copies
        told = run_wandb(server, tmp_path, "agent", agent)
    assert server.runs["run0"] != server.runs["run1"]
    folders = {
        file.read_text().strip(): file.parent for file in tmp_path.glob("runs/demo/2*/wandb_run_id.txt")
    }
    assert folders.keys() == server.runs.keys(), told
    for run_id, options in server.runs.items():
        run = folders[run_id]
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert {key: value_at(config, key) for key in options} == options
        assert config["run"]["group"] == "sweep"
        best = json.loads((run / "figures.json").read_text())["best"]
        assert best["figure"] == sweep["metric"]["name"]
        records = logged_records(run)
        (begun,) = (record["run"] for record in records if record["type"] == "run")
        assert (begun["run_id"], begun["sweep_id"]) == (run_id, server.sweep_id)
        (exit_code,) = (record["exit"].get("exit_code", 0) for record in records if record["type"] == "exit")
        assert exit_code == 0
        history = [record["history"]["item"] for record in records if record["type"] == "history"]
        assert best["value"] in [items[best["figure"]] for items in history if best["figure"] in items]


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("model.init_args.encoder", "model.init_args.encodr", "Did you mean 'encoder'"),
        (
            "data.init_args.batch_size",
            "data.init_arg.batch_size",
            "unrecognized arguments: --init_arg.batch_size",
        ),
        ("model.init_args.optimizer.lr", "modle.init_args.optimizer.lr", "Did you mean '--model'"),
    ],
)
def test_a_key_of_a_sweep_that_does_not_exist_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, right: str, wrong: str, told: str
) -> None:
    """With the command line that the agent makes of the file: `--key=value` for each parameter."""
    monkeypatch.chdir(ROOT)
    sweep = yaml.safe_load((ROOT / "configs" / "sweeps" / "demo.yaml").read_text())
    options = draw({name.replace(right, wrong): one for name, one in sweep["parameters"].items()}, Random(0))
    given = [f"--{name}={value}" for name, value in options.items()]
    fixed = [item for item in sweep["command"] if item not in ("${env}", "eoseg", "${args_no_boolean_flags}")]
    before = set((ROOT / "runs").iterdir()) if (ROOT / "runs").exists() else set()
    with pytest.raises(SystemExit) as stopped:
        main([*fixed, *given])
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert told in line
    assert before == (set((ROOT / "runs").iterdir()) if (ROOT / "runs").exists() else set())
