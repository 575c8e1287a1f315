import json
import shlex
from pathlib import Path

import pytest
from run_factory import full_run, make_run

from eoseg.report.commands import commands, original_command
from eoseg.report.findings import gather


def test_the_commands_make_everything_again(tmp_path: Path) -> None:
    folder = full_run(tmp_path)
    first, *lines = commands(gather(folder))
    assert first == "# eoseg 0.1.0, git revision 0123456789abcdef"
    image, truth = tmp_path / "demo" / "images" / "scene.tif", tmp_path / "demo" / "truth.tif"
    assert [shlex.split(line) for line in lines] == [
        ["eoseg", "fit", "--config", f"{folder}/config.yaml"],
        ["eoseg", "test", f"{folder}"],
        ["eoseg", "predict", f"{folder}/model.ckpt", f"{image}", "--out", f"{folder}/map.tif"],
        [
            *("eoseg", "evaluate", f"{folder}/map.tif", f"{truth}", "--out", f"{folder}/evaluation.json"),
            *("--block-size", "16", "--draws", "100", "--seed", "0"),
        ],
        ["eoseg", "report", f"{folder}"],
    ]


def test_only_what_was_done_is_repeated(tmp_path: Path) -> None:
    lines = commands(gather(make_run(tmp_path)))
    assert [line.split()[1] for line in lines[1:]] == ["fit", "report"]


def test_the_options_of_map_and_evaluation_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = full_run(tmp_path)
    path = folder / "evaluation.json"
    values = json.loads(path.read_text())
    split = {"file": str(folder / "split.json"), "part": "test", "scene": "scene"}
    values["protocol"] |= {"label_encoding": "colors", "ignore": [9, "#FFFFFF"], "attribute": "kind"}
    values["protocol"] |= {"split": split, "reference": "gone.gpkg"}
    path.write_text(json.dumps(values))
    found = gather(folder)
    assert found.view is not None
    options = {"tta": "yes", "uncertainty": "no", "probabilities": "yes", "nodata_policy": "all"}
    tags = {"EOSEG_TILE": "320", "EOSEG_OPTIONS": json.dumps(options)}
    object.__setattr__(found.view, "tags", tags)
    lines = commands(found)
    assert lines[3].endswith("map.tif --tile 320 --probabilities --tta --nodata-policy all")
    for part in (
        "--attribute kind",
        "--label-encoding colors",
        "--ignore 9 '#FFFFFF'",
        f"--split {folder}/split.json --part test --split-scene scene",
    ):
        assert part in lines[4]
    tags = {"EOSEG_OPTIONS": json.dumps({"mc_dropout": "20", "tta": "no"})}
    tags["EOSEG_ENSEMBLE"] = json.dumps([{"checkpoint": f"{name}.ckpt", "sha256": "ab"} for name in "bc"])
    object.__setattr__(found.view, "tags", tags)
    assert commands(found)[3].endswith("map.tif --mc-dropout 20 --ensemble b.ckpt c.ckpt")
    object.__setattr__(
        found.view, "tags", {"EOSEG_OPTIONS": "no json", "EOSEG_TILE": "many", "EOSEG_ENSEMBLE": "[1]"}
    )
    assert commands(found)[3].endswith("map.tif")


def test_code_that_differed_from_its_revision_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "environment.json").write_text(json.dumps({"git": {"revision": "abc", "dirty": True}}))
    first = commands(gather(folder))[0]
    assert first == "# eoseg of unknown version, git revision abc, with changes that are not in it"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["/x/bin/eoseg", "fit", "--config", "a b.yaml"], "eoseg fit --config 'a b.yaml'"),
        (["/x/eoseg/__main__.py", "fit"], "eoseg fit"),
        (["train.py"], "train.py"),
        ([], None),
        (None, None),
    ],
)
def test_how_a_run_was_started(command: object, shown: str | None) -> None:
    assert original_command({"command": command}) == shown
