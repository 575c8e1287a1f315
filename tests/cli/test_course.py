"""A ladder of methods, trained for real on a small world; and how often each is trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eoseg.cli import configuration, main, rungs
from eoseg.cli.course import Plan, climb
from eoseg.cli.ladder import Measured
from eoseg.datasets.course_world import make_course_world
from eoseg.errors import ConfigError
from eoseg.tracking import ladder_run

ROOT = Path(__file__).parents[2]


def write_ladder(folder: Path, **changes: Any) -> Path:
    """The shipped ladder for change, small and with two quick methods."""
    ladder = yaml.safe_load((ROOT / "configs" / "course" / "change.yaml").read_text())
    ladder["data"]["init_args"] |= {"chip_size": 32, "chips_per_epoch": 16, "batch_size": 8}
    ladder["trainer"]["max_epochs"] = 1
    ladder["methods"] = {
        "image differencing": {"arch": "image_differencing"},
        "FC-EF, small": {"arch": "fc_ef", "network_args": {"width": 4}, "trainer": {"max_epochs": 2}},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**ladder, **changes}, sort_keys=False))
    return path


@pytest.mark.slow
def test_a_ladder_is_trained_tested_and_laid_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, out = make_course_world(tmp_path / "world", size=96), tmp_path / "out"
    ladder = write_ladder(tmp_path)
    main(["course", str(ladder), f"--root={world}", f"--out={out}", "--no-wandb", "--run.panels_every=0"])
    lines = (out / "small.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| most frequent class",
        "| image differencing",
        "| FC-EF, small",
    ]
    assert "F1 of change" in lines[0]
    assert lines[-1] in capsys.readouterr().out
    assert (out / "small.png").read_bytes().startswith(b"\x89PNG")
    assert len((out / "small.csv").read_text().splitlines()) == 4
    kept = json.loads((out / "small.json").read_text())["methods"]
    assert kept["most frequent class"][0]["figures"]["change_f1"] == 0  # no change is the most frequent
    assert kept["FC-EF, small"][0]["parameters"] > kept["image differencing"][0]["parameters"] == 0
    run = out / "runs" / "small-fc_ef__small-0" / "latest"
    assert json.loads((run / "figures.json").read_text())["epochs"] == 2  # the method's own trainer
    assert yaml.safe_load((run / "config.yaml").read_text())["run"]["group"] == "course-small"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[str]]]:
    """Configuration and arguments of each training, in place of the trainings."""
    calls: list[tuple[dict[str, Any], list[str]]] = []

    def train(command: str, arguments: list[str]) -> Path:
        if command == "fit":
            path = arguments[0].removeprefix("--config=")
            calls.append((yaml.safe_load(Path(path).read_text()), arguments[1:]))
        return Path()

    monkeypatch.setattr(configuration, "train", train)
    result = Measured({"oa": 0.5, "mean_f1": 0.5}, 1, 1.0, (2, 1), ((1, 1), (1, 1)))
    monkeypatch.setattr(rungs, "read_measured", lambda *_: result)
    monkeypatch.setattr(ladder_run, "log_ladder", lambda *_, **__: None)
    return calls


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ((), [("eoseg", "course-small")]),
        (("--run.project=course", "--run.group=mine"), [("course", "mine")]),
        (("--no-wandb",), []),
        (("--run.wandb=false",), []),
    ],
)
def test_the_table_goes_to_wandb_where_the_runs_go(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: list[Any],
    options: tuple[str, ...],
    known: list[tuple[str, str]],
) -> None:
    shown: list[tuple[str, str]] = []

    def log_ladder(base: Path, name: str, columns: Any, rows: Any, **where: Any) -> None:
        assert (base, name) == (tmp_path / "out" / "runs", "small-table")
        assert columns[:2] == ["method", "seed"]
        assert [row[0] for row in rows] == ["most frequent class", "image differencing", "FC-EF, small"]
        assert where["chart"].is_file()
        shown.append((where["project"], where["group"]))

    monkeypatch.setattr(ladder_run, "log_ladder", log_ladder)
    plan = Plan(1, None, ())
    climb(write_ladder(tmp_path), plan, root=None, out=tmp_path / "out", fit_options=options)
    assert shown == known


def test_each_method_is_trained_with_each_seed(tmp_path: Path, trained: list[Any]) -> None:
    ladder = climb(write_ladder(tmp_path), Plan(3, None, ()), root=None, out=tmp_path / "out")
    assert [config["model"]["init_args"]["arch"] for config, _ in trained] == [
        *["image_differencing"] * 3,
        *["fc_ef"] * 3,
    ]
    seeds = [item for _, arguments in trained for item in arguments if item.startswith("--seed_everything")]
    assert seeds == [f"--seed_everything={seed}" for seed in (0, 1, 2)] * 2
    assert [len(row.measured) for row in ladder.rows] == [3, 3, 3]


def test_or_on_each_fold_of_the_configurations_own_split(tmp_path: Path, trained: list[Any]) -> None:
    climb(write_ladder(tmp_path), Plan(1, 4, ("FC-EF, small",)), root=None, out=tmp_path / "out")
    splits = [config["data"]["init_args"]["split"] for config, _ in trained]
    assert splits == [{"method": "files", "folds": 4, "fold": fold} for fold in range(4)]
    assert not [item for _, arguments in trained for item in arguments if item.startswith("--seed")]


def test_options_of_a_method_are_the_models_unless_they_are_of_trainer_or_data(
    tmp_path: Path, trained: list[Any]
) -> None:
    methods = {"net": {"arch": "fc_ef", "data": {"chip_size": 48}, "trainer": {"max_epochs": 7}}}
    path = write_ladder(tmp_path, methods=methods)
    climb(path, Plan(1, None, ()), root="elsewhere", out=tmp_path / "out", fit_options=["--no-wandb"])
    ((config, arguments),) = trained
    assert config["model"]["init_args"] == {"arch": "fc_ef"}
    assert config["trainer"] == {"max_epochs": 7, "accelerator": "cpu"}
    assert config["data"]["init_args"]["chip_size"] == 48
    assert config["data"]["init_args"]["scenes"]["root"] == "elsewhere"
    assert "--no-wandb" in arguments
    assert "methods" not in config


@pytest.mark.parametrize(
    ("methods", "chosen", "message"),
    [
        (None, (), "names no methods. Add 'methods:'"),
        ([], (), "names no methods"),
        ({"a": "unet"}, (), "The method 'a' of .* needs options, such as {arch: unet}"),
        ({"a": {"arch": "unet"}}, ("b",), "has no method 'b'. Known: a"),
    ],
)
def test_a_ladder_without_usable_methods_is_refused(
    tmp_path: Path, trained: list[Any], methods: Any, chosen: tuple[str, ...], message: str
) -> None:
    path = write_ladder(tmp_path, methods=methods)
    with pytest.raises(ConfigError, match=message):
        climb(path, Plan(1, None, chosen), root=None, out=tmp_path / "out")
    assert not trained


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--seeds=0"], "at least 1, found '0'"), (["--seeds=2", "--folds=3"], "not allowed with")],
)
def test_a_number_of_trainings_that_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["course", str(write_ladder(tmp_path)), *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
