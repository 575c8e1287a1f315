"""Cross-validation by the command line."""

import json
from pathlib import Path

import pytest
import yaml
from toy_world import write_config

from eoseg.cli import main
from eoseg.cli.folds import fold_split
from eoseg.errors import ConfigError


def fit(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line of an error."""
    with pytest.raises(SystemExit) as caught:
        main(["fit", *arguments])
    assert caught.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1 or lines[0].startswith("usage")
    return lines[-1]


def forest_config(folder: Path) -> Path:
    config = write_config(folder, max_epochs=1)
    changed = yaml.safe_load(config.read_text())
    changed["model"]["init_args"] = {"arch": "random_forest", "network_args": {"trees": 10}}
    config.write_text(yaml.safe_dump(changed))
    return config


@pytest.mark.slow
def test_folds_are_trained_tested_summed_up_and_compared_with_random_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = forest_config(tmp_path)
    options = [f"--run.folder={tmp_path / 'runs'}", "--no-wandb", "--run.panels_every=0"]
    main(["fit", f"--config={config}", "--folds", "3", "--compare-random", *options])
    found = json.loads((tmp_path / "runs" / "toy-folds.json").read_text())
    assert found["folds"] == 3
    for method in ("blocks", "random"):
        folds = found["methods"][method]["folds"]
        assert len(folds) == 3
        summary = found["methods"][method]["summary"]["oa"]
        assert summary["mean"] == pytest.approx(sum(one["oa"] for one in folds) / 3)
        assert summary["folds"] == 3
        assert summary["mean"] > 0.9  # the toy world is easy
    gain = found["optimism"]["oa"]
    means = [found["methods"][name]["summary"]["oa"]["mean"] for name in ("random", "blocks")]
    assert gain == pytest.approx(means[0] - means[1])
    assert "optimism" in capsys.readouterr().out
    for fold in range(3):
        assert (tmp_path / "runs" / f"toy-blocks-fold{fold}" / "latest" / "model.ckpt").is_file()


def test_one_fold_is_trained_and_tested_alone(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    options = [f"--run.folder={runs}", "--no-wandb", "--run.panels_every=0"]
    main(["fit", f"--config={forest_config(tmp_path)}", "--folds", "3", "--fold", "1", *options])
    assert not (runs / "toy-folds.json").exists()  # the others are jobs of their own
    assert sorted(path.name for path in runs.glob("toy*")) == [
        "toy-blocks-fold1",
        "toy-blocks-fold1-test",
    ]
    split = json.loads((runs / "toy-blocks-fold1" / "latest" / "split.json").read_text())
    assert (split["parameters"]["folds"], split["parameters"]["fold"]) == (3, 1)


def test_folds_replace_the_shares_of_a_split() -> None:
    config = {
        "data": {
            "class_path": "SceneData",
            "init_args": {"split": {"val": 0.3, "test": 0.1, "buffer": 4, "seed": 7}},
        }
    }
    changed = fold_split(config, folds=4, fold=2)
    assert changed["data"]["init_args"]["split"] == {
        "method": "blocks",
        "buffer": 4,
        "seed": 7,
        "folds": 4,
        "fold": 2,
    }
    random = fold_split(config, folds=4, fold=2, method="random")
    assert random["data"]["init_args"]["split"] == {"method": "random", "seed": 7, "folds": 4, "fold": 2}
    assert config["data"]["init_args"]["split"]["val"] == 0.3  # type: ignore[index]


def test_benchmark_data_have_no_folds() -> None:
    with pytest.raises(ConfigError, match="splits of their own"):
        fold_split({"data": {"class_path": "TorchGeoData"}}, folds=3, fold=0)


def test_folds_of_a_fixed_split_are_refused() -> None:
    config = {"data": {"class_path": "SceneData", "init_args": {"split": {"path": "split.json"}}}}
    with pytest.raises(ConfigError, match="split.path names one fixed split"):
        fold_split(config, folds=3, fold=0)


def test_what_cannot_be_cross_validated_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, max_epochs=1)
    assert "goes with --folds" in fit(capsys, f"--config={config}", "--compare-random")
    assert "at least 3" in fit(capsys, f"--config={config}", "--folds=2")
    assert "takes one --config" in fit(capsys, "--folds=3")
    single = [f"--config={config}", "--folds=3", "--fold"]
    assert "--fold is a number from 0 to 2 (--folds 3); found 3." in fit(capsys, *single, "3")
    assert "--fold trains one fold alone" in fit(capsys, *single, "0", "--compare-random")
    changed = yaml.safe_load(config.read_text())
    changed["data"]["init_args"]["split"] = {"method": "random"}
    config.write_text(yaml.safe_dump(changed))
    assert "is random already" in fit(capsys, f"--config={config}", "--folds=3", "--compare-random")
