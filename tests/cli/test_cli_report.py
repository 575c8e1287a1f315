"""`eoseg report` as a user types it, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from run_factory import full_run, make_run, make_test, write_run_map, write_world

from eoseg.cli import main


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of an error, after which nothing was written."""
    with pytest.raises(SystemExit) as stopped:
        main(["report", *arguments])
    assert stopped.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1
    assert not (Path(arguments[0]) / "report.html").exists()
    return lines[0]


def test_the_page_lands_in_the_run_folder_and_is_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = full_run(tmp_path)
    main(["report", str(folder)])
    told = capsys.readouterr().out
    assert "On the test split it has overall accuracy 0.780" in told
    assert f"Written: {folder / 'report.html'}" in told
    (folder / "report.html").write_text("old")
    main(["report", str(folder)])
    assert "test split" in (folder / "report.html").read_text()


def test_page_and_card_go_where_they_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path, method="random")
    page, card = tmp_path / "page.html", tmp_path / "MODEL_CARD.md"
    options = [f"--out={page}", f"--card={card}", "--license=mit", "--dataset=me/demo"]
    main(["report", str(folder), *options])
    assert not (folder / "report.html").exists()
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "license: mit\n" in card.read_text()
    assert "- me/demo\n" in card.read_text()
    told = capsys.readouterr().out
    assert "Beware: Random split" in told
    assert f"Written: {card}" in told


def test_named_files_are_kept_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path)
    for option in ("--out", "--card"):
        old = tmp_path / f"old{option}"
        old.write_text("old")
        assert "exists already" in fails(capsys, str(folder), option, str(old))
        assert old.read_text() == "old"
    main(["report", str(folder), "--card", str(old), "--overwrite"])
    assert old.read_text() != "old"
    assert "There is no folder" in fails(capsys, str(tmp_path), "--out", str(tmp_path / "none" / "a.html"))


def test_options_of_the_card_need_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--license", "--dataset"):
        assert f"{option} stands in the model card" in fails(capsys, str(tmp_path), option, "mit")


def test_a_card_with_an_unknown_licence_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, card = make_run(tmp_path), tmp_path / "card.md"
    told = fails(capsys, str(folder), "--card", str(card), "--license", "mti")
    assert "Did you mean 'mit'" in told
    assert not card.exists()


def test_other_folders_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in fails(capsys, str(tmp_path / "none"))
    assert "is not a run folder" in fails(capsys, str(tmp_path))
    folder = make_run(tmp_path)
    assert "is the folder of 'eoseg test'" in fails(capsys, str(make_test(folder)))
    (folder / "model.ckpt").unlink()
    assert "has no model.ckpt" in fails(capsys, str(folder))


def test_files_that_are_something_else_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for option in ("--evaluation", "--accuracy"):
        assert "cannot be read as JSON" in fails(capsys, str(folder), option, str(broken))
        assert "There is no file" in fails(capsys, str(folder), option, str(tmp_path / "none.json"))
        broken.write_text("{}")
        assert "Use what 'eoseg" in fails(capsys, str(folder), option, str(broken))
        broken.write_text("{")
    assert "is not the folder of a test" in fails(capsys, str(folder), "--test", str(tmp_path))


def test_a_map_of_another_grid_than_its_scene_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path)
    path = write_run_map(folder, write_world(tmp_path))
    other = write_scene(tmp_path / "other.tif", np.ones((2, 50, 60), np.uint16), names=["red", "nir"])
    told = fails(capsys, str(folder), "--map", str(path), "--scene", str(other))
    assert "is not on the grid of" in told
    assert "size 60 x 50 px" in told
    assert "no map that eoseg wrote" in fails(capsys, str(folder), "--map", str(other))
