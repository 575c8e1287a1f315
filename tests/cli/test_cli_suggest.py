"""`eoseg suggest`: what it refuses early; that it proposes the right places is in tests/predict."""

from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene

from eoseg.cli import suggest
from eoseg.errors import CheckpointError, DataError
from eoseg.predict import suggest as module


def test_a_missing_checkpoint_or_scene_is_said_before_torch_is_imported(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "no.ckpt"), "a.tif", "--out", str(tmp_path / "next.gpkg")]
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        suggest.main("suggest", arguments)
    (tmp_path / "no.ckpt").touch()
    with pytest.raises(DataError, match=r"There is no file 'a.tif'"):
        suggest.main("suggest", arguments)


def test_options_reach_their_place_and_the_report_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.ckpt").touch()
    scene = write_scene(tmp_path / "a.tif", np.ones((8, 8), np.uint8))
    asked: dict[str, object] = {}

    def propose(
        network: object, recipe: object, scenes: list[str], out: Path, **rest: object
    ) -> module.Suggestion:
        asked.update(rest, scenes=scenes, out=out)
        return module.Suggestion(out, 5, 60, 9, 32, 0.2, 0.6, "features of the network", 1.5, ("A note.",))

    monkeypatch.setattr(module, "suggest_places", propose)
    monkeypatch.setattr("eoseg.models.checkpoint.load_network", lambda path: (None, None))
    options = ["--count", "5", "--chip-size", "32", "--labelled", "l.gpkg", "--device", "cpu", "--overwrite"]
    reading = ["--bands", "x,y", "--nodata", "0", "--allow-range-mismatch"]
    out = tmp_path / "next.gpkg"
    suggest.main("suggest", [str(tmp_path / "model.ckpt"), str(scene), "--out", str(out), *options, *reading])
    assert asked["options"] == module.SuggestOptions(
        count=5,
        chip_size=32,
        labelled="l.gpkg",
        device="cpu",
        overwrite=True,
        bands=("x", "y"),
        nodata=0.0,
        allow_range_mismatch=True,
    )
    assert asked["scenes"] == [str(scene)]
    told = capsys.readouterr().out
    assert "Note: A note." in told
    assert "60 squares of 32 px looked at, 9 of them labelled already, in 1.5 s; compared by features" in told
    assert "5 proposed: mean uncertainty 0.60, of all squares 0.20" in told
