"""The command of the dashboard; what it shows is tested in tests/tracking."""

import json
from pathlib import Path

import pytest
import yaml

from eoseg.cli import main
from eoseg.tracking.dashboard import specification

ROOT = Path(__file__).parents[2]


def written(tmp_path: Path, *arguments: str) -> dict:
    path = tmp_path / "dashboard.json"
    main(["dashboard", *arguments, f"--out={path}"])
    return json.loads(path.read_text())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["dashboard", *arguments])
    assert caught.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_the_specification_is_written_and_publishing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(tmp_path, "change") == specification("change")
    assert "To publish it: eoseg dashboard change --publish ENTITY/PROJECT" in capsys.readouterr().out


def test_without_a_place_it_lies_in_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["dashboard", "regression"])
    assert json.loads(Path("dashboard.json").read_text()) == specification("regression")


def test_a_run_folder_says_its_task(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("model: {class_path: eoseg.tasks.SeriesTask}\n")
    assert written(tmp_path, str(run)) == specification("series")


def test_a_sweep_says_what_is_varied(tmp_path: Path) -> None:
    sweep = ROOT / "configs" / "sweeps" / "demo.yaml"
    varied = list(yaml.safe_load(sweep.read_text())["parameters"])
    spec = written(tmp_path, "segmentation", f"--sweep={sweep}")
    (section,) = [one for one in spec["workspace"]["sections"] if one["name"] == "Sweeps"]
    assert section["panels"][0]["config"] == varied


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["segmentatoin"], "Did you mean 'segmentation'"),
        (["change", "--publish=someone"], "names ENTITY/PROJECT, as in W&B's addresses; found 'someone'"),
        (["change", "--register=model/x"], "give its RUN_FOLDER and --publish ENTITY/PROJECT"),
        (["change", "--sweep=nothing.yaml"], "There is no configuration file 'nothing.yaml'"),
        (["change", "--out=nowhere/d.json"], "There is no folder 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model: {}\n")
    assert "is no sweep of W&B" in refused(
        capsys, "change", f"--sweep={path}", f"--out={tmp_path / 'd.json'}"
    )


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has no config.yaml" in refused(capsys, str(tmp_path), f"--out={tmp_path / 'd.json'}")


def test_a_name_that_is_no_collection_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("model: {class_path: SegmentationTask}\n")
    told = refused(capsys, str(tmp_path), "--publish=a/b", "--register=a/b/c", f"--out={tmp_path / 'd.json'}")
    assert "such as model/land-cover, or the collection alone; found 'a/b/c'" in told
