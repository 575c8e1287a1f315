import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from map_factory import label_values, write_map
from sample_factory import LAND, answers_of, draw, fill, land

from eoseg.cli import main
from eoseg.datasets.splits import Region, Split
from eoseg.geo.window import Window


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    truth = np.kron(np.arange(2, dtype=np.uint8), np.ones((96, 48), np.uint8))
    mapped = truth.copy()
    mapped[:24] = 0
    mapped[:2] = 255
    return (
        str(write_map(tmp_path / "map.tif", mapped)),
        str(write_scene(tmp_path / "reference.tif", label_values(truth))),
    )


def run(*arguments: str) -> None:
    main(["evaluate", *arguments])


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_the_tables_are_printed(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    run(*files, "--block-size", "16")
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    wood = next(line for line in lines if line[:1] == ["wood"])
    assert wood[1] == f"{72 / 94:.3f}"  # of 94 mapped rows the map shows 72
    assert "undefined" in next(line for line in lines if line[:1] == ["town"])
    assert ["overall", "accuracy", "0.883", "95", "%:"] in [line[:5] for line in lines]
    assert "192 labelled pixels (2.1%) lie where the map has no class" in printed
    assert "36 blocks of 16 x 16 px" in printed
    assert "reference \\ map" in printed


def test_json_holds_everything(files: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    run(*files, "--out", str(out), "--seed", "3", "--draws", "200", "--block-size", "16")
    values = json.loads(out.read_text())
    assert values["protocol"]["seed"] == 3
    assert values["protocol"]["draws"] == 200
    assert values["confusion_matrix"]["classes"] == ["water", "wood", "town"]
    assert sum(map(sum, values["confusion_matrix"]["pixels"])) == 94 * 96


def test_a_page_is_written_with_the_scene(files: tuple[str, str], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.ones((3, 96, 96), np.uint8))
    run(*files, "--page", str(tmp_path / "page.html"), "--scene", str(scene))
    text = (tmp_path / "page.html").read_text()
    assert 'alt="map.tif: image"' in text
    assert "eoseg evaluate" in text


def test_existing_files_are_kept_unless_told_otherwise(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, name in (("--out", "old.json"), ("--page", "old.html")):
        old = tmp_path / name
        old.write_text("old")
        assert "exists already" in fails(capsys, *files, option, str(old))
        assert old.read_text() == "old"
        run(*files, option, str(old), "--overwrite")
        assert old.read_text() != "old"


def test_a_missing_folder_is_found_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = fails(capsys, "none.tif", "none.tif", "--out", str(tmp_path / "none" / "a.json"))
    assert "There is no folder" in told


def test_a_scene_without_a_page_is_refused(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "add --page FILE.html" in fails(capsys, *files, "--scene", "scene.tif")


def test_a_sample_is_a_section_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, mapped = land()
    drawn = draw(write_map(tmp_path / "land.tif", mapped, names=LAND), tmp_path / "s.gpkg")
    fill(drawn.path, answers_of(drawn, truth))
    both = (drawn.design.map, str(write_scene(tmp_path / "truth.tif", truth)))
    assert "--sample is a section of the page" in fails(capsys, *both, "--sample", str(drawn.path))
    run(*both, "--sample", str(drawn.path), "--page", str(tmp_path / "page.html"))
    assert "from a probability sample" in (tmp_path / "page.html").read_text()


def test_one_part_of_a_split_is_compared(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regions = [Region("north", Window(40, 0, 30, 96), "val"), Region("south", Window(0, 0, 9, 9), "val")]
    split = tmp_path / "split.json"
    split.write_text(Split("blocks", 0, {}, tuple(regions)).to_json())
    assert "has 2 scenes" in fails(capsys, *files, "--split", str(split), "--part", "val")
    run(*files, "--split", str(split), "--part", "val", "--split-scene", "north")
    printed = capsys.readouterr().out
    assert "2,880 pixels compared" in printed
    assert "the part 'val' of the split" in printed
    assert "add --split" in fails(capsys, *files, "--part", "val")


def test_values_to_ignore_are_numbers_or_names(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.full((96, 96), 1, np.uint8)
    values[0] = 42
    reference = str(write_scene(tmp_path / "other.tif", values))
    assert "the label value 42" in fails(capsys, files[0], reference)
    run(files[0], reference, "--ignore", "42")
    assert "96 without label" in capsys.readouterr().out


def test_an_attribute_is_for_polygons_and_an_encoding_for_rasters(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "attribute 'cover' is for vector files" in fails(capsys, *files, "--attribute", "cover")
    assert "holds no colours" in fails(capsys, *files, "--label-encoding", "colors")


def test_errors_are_one_line(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    told = fails(capsys, files[1], files[0])
    assert told.count("\n") == 1
    assert told.startswith("error: ")


def test_neither_torch_nor_matplotlib_is_imported(files: tuple[str, str]) -> None:
    code = (
        "import sys; from eoseg.cli import main; main(sys.argv[1:]); "
        "print([name for name in ('torch', 'lightning', 'matplotlib', 'geopandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", *files], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
