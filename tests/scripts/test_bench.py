"""The benches say which limits hold, and refuse what they do not know."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "scripts" / "bench"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.delitem(sys.modules, "figures", raising=False)
    import figures

    return figures


def test_a_figure_is_judged_by_its_limit(figures) -> None:
    found = [
        figures.Figure("a", "speed", 0.96, "", 0.95),
        figures.Figure("a", "memory", 301.0, "MB", 300.0, "smaller", "much"),
        figures.Figure("a", "tiles", 16),
    ]
    assert [figure.holds for figure in found] == [True, False, None]
    lines = figures.to_table(found).splitlines()
    assert lines[2] == "| a | speed | 0.96 | >= 0.95 | yes |  |"
    assert lines[3] == "| a | memory | 301 MB | <= 300 | **no** | much |"
    assert lines[4] == "| a | tiles | 16 |  |  |  |"
    entries = json.loads(figures.to_json(found))["figures"]
    assert entries[1]["holds"] is False
    assert entries[1]["limit"] == 300.0


def test_an_unknown_peer_is_refused(tmp_path: Path) -> None:
    command = [str(BENCH / "setup_peers"), str(tmp_path), "qgis"]
    environment = {**os.environ, "EOSEG_PYTHON": sys.executable}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 2
    assert "there is no peer 'qgis'; known: monai" in result.stderr


def test_a_small_bench_runs_and_writes_both_forms(tmp_path: Path) -> None:
    written, table = tmp_path / "f.json", tmp_path / "f.md"
    command = [sys.executable, str(BENCH), "capacity", "--side", "600", "--folder", str(tmp_path)]
    command += ["--out", str(written), "--table", str(table)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode in (0, 1), result.stderr  # whether the limits hold is not judged here
    assert len(json.loads(written.read_text())["figures"]) == 5
    assert "| capacity | reading the scene alone |" in table.read_text()


def test_a_step_is_measured_beside_a_bare_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    for name in ("figures", "training", "world", "overhead"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import overhead

    monkeypatch.setattr(overhead, "CASES", (("small", 32, 1, 10, {"arch": "mlp"}, True),))
    (found,) = overhead.measure(tmp_path)
    assert found.limit == 1.03
    assert found.value > 0
    taken = json.loads((tmp_path / "turns.json").read_text())
    assert (len(taken["bare"]), len(taken["eoseg"])) == (10, 9)


def test_the_chips_of_the_bench_of_reading_are_those_of_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    for name in ("figures", "world", "feed"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import feed

    for name, value in (("CHIP", 32), ("BATCH", 2), ("SIDE", 128), ("SCENES", 2)):
        monkeypatch.setattr(feed, name, value)
    feed.write_world(tmp_path)
    ours = next(iter(feed.eoseg_loader(tmp_path, labelled=True, chips=4)))
    theirs = next(iter(feed.torchgeo_loader(tmp_path, "RandomPatchSampler", labelled=True)))
    for batch in (ours, theirs):
        assert tuple(batch["image"].shape) == (2, 4, 32, 32)
        assert batch["mask"].shape[-2:] == (32, 32)
