"""A checkpoint is whole or not there, and there is always one to go on from."""

from pathlib import Path

import pytest
import torch
from full_disk import largest_file

from eoseg.errors import CheckpointError, OutputError
from eoseg.tracking.checkpoints import LAST, PREVIOUS, AtomicCheckpoints, find_last


def save(path: Path, step: int, size: int = 10) -> None:
    AtomicCheckpoints().save_checkpoint({"step": step, "weights": torch.ones(size)}, path)


def step_of(path: Path | None) -> int:
    assert path is not None
    return int(torch.load(path, weights_only=True)["step"])


def test_the_last_but_one_is_kept(tmp_path: Path) -> None:
    for step in range(3):
        save(tmp_path / LAST, step)
    assert step_of(tmp_path / LAST) == step_of(find_last(tmp_path)) == 2
    assert step_of(tmp_path / PREVIOUS) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS, LAST]


def test_others_are_replaced(tmp_path: Path) -> None:
    for step in range(2):
        save(tmp_path / "best.ckpt", step)
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]
    assert step_of(find_last(tmp_path)) == 1


def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    save(folder / LAST, 1)
    with (
        largest_file(20_000),
        pytest.raises(OutputError, match="cannot be written: .* --resume .*run goes on"),
    ):
        save(folder / LAST, 2, size=100_000)
    assert [path.name for path in folder.iterdir()] == [LAST]
    assert step_of(find_last(folder)) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_broken_last_one_falls_back_to_the_one_before_and_says_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(2):
        save(tmp_path / LAST, step, size=10_000)
    content = bytearray((tmp_path / LAST).read_bytes())
    content[len(content) // 2] ^= 0xFF
    wanted = {"cut": content[: len(content) // 2], "flipped": content, "empty": b""}
    (tmp_path / LAST).write_bytes(wanted[damage])
    assert step_of(find_last(tmp_path)) == 0
    assert "last.ckpt is " in caplog.text
    assert f"Going on from {tmp_path / PREVIOUS}, which is older" in caplog.text


def test_one_that_was_just_being_replaced_is_no_loss(tmp_path: Path) -> None:
    for step in range(2):
        save(tmp_path / LAST, step)
    (tmp_path / LAST).rename(tmp_path / f"{LAST}.part")  # killed between the two renamings
    assert step_of(find_last(tmp_path)) == 0


def test_none_at_all_is_a_run_that_has_not_begun(tmp_path: Path) -> None:
    assert find_last(tmp_path) is None
    (tmp_path / LAST).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="There is nothing to go on from: .*last.ckpt is cut off"):
        find_last(tmp_path)
