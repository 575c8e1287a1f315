"""`eoseg compare`: its table, its file, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from eoseg.cli import main
from eoseg.spatial_blocks import Blocks


def run(folder: Path, right: int, runs: int = 1) -> Path:
    """Runs of a test on 40 blocks in which so many of 100 pixels are right, more or less."""
    for number in range(runs):
        rng = np.random.default_rng(right + number)
        counts = right + rng.integers(-3, 4, 40)
        matrices = np.zeros((40, 2, 2), np.int64)
        matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1] = counts, 100 - counts, 50
        inner = folder / str(number)
        inner.mkdir(parents=True)
        record = {"data": {"sha256": "d"}, "measured_on": {"sha256": "s"}, "border": "isprs-full"}
        blocks = Blocks(("soil", "[grass]"), tuple(("x", row, 0) for row in range(40)), matrices, 64)
        blocks.write(inner / "blocks_test.npz", record)
    return folder


def test_a_real_difference_is_told_from_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = run(tmp_path / "a", 70), run(tmp_path / "b", 80)
    out = tmp_path / "difference.json"
    main(["compare", str(first / "0"), str(second / "0"), f"--out={out}"])
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("overall_accuracy"))
    assert line.split()[-1] == "second"
    assert "iou/[grass]" in printed
    assert "Paired on 40 blocks of 64 x 64 px" in printed
    found = json.loads(out.read_text())
    entry = found["figures"]["overall_accuracy"]
    assert entry["interval"][0] > 0
    assert entry["higher"] == "second"
    main(["compare", str(first), str(first)])
    assert "no difference shown" in capsys.readouterr().out


def test_several_runs_of_a_side_are_mean_and_spread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run(tmp_path / "a", 70, runs=3), run(tmp_path / "b", 80, runs=2)
    main(["compare", *(str(first / name) for name in "012"), "--against", str(second), "--block-size=128"])
    printed = capsys.readouterr().out
    assert "± " in printed
    assert "(3)" in printed
    assert "(2)" in printed
    assert "Paired on 20 blocks of 128 x 128 px" in printed


def test_wrong_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = str(run(tmp_path / "a", 70))
    (tmp_path / "there.json").touch()
    for arguments, message in (
        ([first], "Two runs are compared; found 1"),
        ([first, str(tmp_path)], "holds no run of 'eoseg test'"),
        ([first, first, f"--out={tmp_path / 'there.json'}"], "exists already"),
        ([first, first, "--draws=9"], "at least 100 draws"),
        ([first, first, "--block-size=100"], "found 100 px"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["compare", *arguments])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
