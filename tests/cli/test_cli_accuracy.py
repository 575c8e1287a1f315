"""`eoseg accuracy`: what is printed and written, and one line for what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from map_factory import write_map
from PIL import Image
from sample_factory import LAND, answers_of, draw, fill, land
from wandb_records import isolate_wandb, read_run

from eoseg.cli import main


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A map and its filled sample."""
    truth, mapped = land()
    drawn = draw(write_map(tmp_path / "map.tif", mapped, names=LAND), tmp_path / "s.gpkg")
    fill(drawn.path, answers_of(drawn, truth))
    return drawn.design.map, str(drawn.path)


def run(*arguments: str) -> None:
    main(["accuracy", *arguments, "--no-progress"])


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    return told


def test_tables_and_notes_are_printed(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    run(*files)
    printed = capsys.readouterr().out
    assert printed.startswith("overall accuracy 0.")
    lines = [line.split() for line in printed.splitlines()]
    forest = next(line for line in lines if line[:1] == ["forest"])
    assert forest.count("±") == 3
    assert ["reference", "\\", "map", "forest", "clearing", "water", "sum"] in lines
    assert "150 points, stratified random sample" in printed
    assert "900 pixels without a class" in printed


def test_everything_is_written_where_it_is_wanted(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {
        option: tmp_path / name
        for option, name in (
            ("--out", "a.json"),
            ("--markdown", "a.md"),
            ("--figure", "a.png"),
            ("--page", "a.html"),
        )
    }
    options = [text for option, path in paths.items() for text in (option, str(path))]
    run(*files, *options)
    assert capsys.readouterr().out.count("Written: ") == 4
    values = json.loads(paths["--out"].read_text())
    overall = f"{values['overall_accuracy']['value']:.3f}"
    assert f"**{overall} ±" in paths["--markdown"].read_text()
    assert np.asarray(Image.open(paths["--figure"])).shape[2] == 3
    page = paths["--page"].read_text()
    assert overall in page
    assert f"eoseg accuracy {files[0]} {files[1]}" in page
    for option, path in paths.items():
        assert "exists already" in fails(capsys, *files, option, str(path))
    before = paths["--out"].read_text()
    run(*files, *options, "--overwrite")
    assert paths["--out"].read_text() == before


def test_labels_stand_for_answers(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*files)
    answered = capsys.readouterr().out
    truth = land()[0].copy()
    truth[-1] = 42
    labels = str(write_scene(tmp_path / "truth.tif", truth))
    empty = draw(Path(files[0]), tmp_path / "empty.gpkg")
    sample = str(empty.path)
    if any(row == 119 for row, _, _ in empty.design.points):
        assert "the label value 42" in fails(capsys, files[0], sample, "--reference", labels)
    last = ["--reference", labels, "--ignore", "42", "--skip-unanswered"]
    run(files[0], sample, *last)
    assert "overall accuracy" in capsys.readouterr().out
    run(files[0], sample, "--reference", str(write_scene(tmp_path / "whole.tif", land()[0])))
    assert capsys.readouterr().out == answered
    last = ["--reference", labels]
    assert "holds no colours" in fails(capsys, files[0], sample, *last, "--label-encoding", "colors")
    assert "is for vector files" in fails(capsys, files[0], sample, *last, "--attribute", "cover")


@pytest.mark.parametrize(
    "option", [("--attribute", "cover"), ("--label-encoding", "colors"), ("--ignore", "42")]
)
def test_how_labels_are_read_is_refused_without_labels(
    files: tuple[str, str], option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{option[0]} says how labels are read: add --reference" in fails(capsys, *files, *option)


def test_unanswered_points_are_skipped_only_if_told(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(Path(files[1]), [None])
    assert "1 of 150 points" in fails(capsys, *files)
    run(*files, "--skip-unanswered")
    assert "1 points without an answer are left out" in capsys.readouterr().out


def test_a_convenience_sample_is_refused(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import geopandas

    path = tmp_path / "clicked.gpkg"
    geopandas.read_file(files[1], layer="points").to_file(path, layer="points")
    assert "so it is no probability sample" in fails(capsys, files[0], str(path))


def test_classes_are_named_for_a_map_that_does_not(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = str(write_scene(tmp_path / "bare.tif", land()[1], nodata=255))
    assert "does not name its classes" in fails(capsys, bare, files[1])
    run(bare, files[1], "--classes", "forest=0,clearing=1,water=2")
    assert "overall accuracy" in capsys.readouterr().out


def test_with_wandb_figures_and_files_are_in_an_offline_run(
    files: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    isolate_wandb(monkeypatch, tmp_path)
    run(*files, "--wandb", f"--out={tmp_path / 'a.json'}")
    folder = (tmp_path / "runs" / "map-accuracy" / "latest").resolve()
    records = read_run(folder)
    (logged,) = [record["history"]["item"] for record in records if record["type"] == "history"]
    written = json.loads((tmp_path / "a.json").read_text())
    assert logged["sample/overall_accuracy"] == written["overall_accuracy"]["value"]
    forest = next(entry for entry in written["classes"] if entry["name"] == "forest")
    assert logged["sample/area/forest"] == forest["area"]["value"]
    assert {record["artifact"]["type"] for record in records if record["type"] == "artifact"} >= {
        "map",
        "evaluation",
    }
    capsys.readouterr()
    assert "--project p is for --wandb" in fails(capsys, *files, "--project", "p")
    assert "--model says in W&B" in fails(capsys, *files, "--model", "m.ckpt")


def test_neither_torch_nor_matplotlib_is_imported(files: tuple[str, str]) -> None:
    code = (
        "import sys; from eoseg.cli import main; main(sys.argv[1:]); "
        "print([name for name in ('torch', 'lightning', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "accuracy", *files], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""
