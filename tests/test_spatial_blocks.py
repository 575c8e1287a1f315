"""Counts by block against a slow loop, whatever chips and processes they came from."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from eoseg.errors import DataError, OutputError
from eoseg.spatial_blocks import CELL, GROUPS, WANTED, Blocks, BlockSums, read_blocks

NAMES = ("a", "b", "c")


def scene(seed: int = 0, size: tuple[int, int] = (300, 260)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.integers(-1, 3, size)
    return reference, rng.integers(0, 3, size)


def counted(size: int, scenes: tuple[str, ...] = ("x",), **options: int) -> BlockSums:
    """All pixels of some scenes, as chips of one size."""
    sums = BlockSums(NAMES, placed=True, **options)
    for number, name in enumerate(scenes):
        reference, mapped = scene(number)
        for row in range(0, 300, size):
            for col in range(0, 260, size):
                part = np.s_[row : row + size, col : col + size]
                sums.add_pixels(name, row, col, reference[part], mapped[part])
    return sums


def slow(side: int, name: str = "x", seed: int = 0) -> dict[tuple[str, int, int], np.ndarray]:
    reference, mapped = scene(seed)
    found: dict[tuple[str, int, int], np.ndarray] = defaultdict(lambda: np.zeros((3, 3), np.int64))
    for (row, col), truth in np.ndenumerate(reference):
        if truth >= 0:
            found[name, row // side, col // side][truth, mapped[row, col]] += 1
    return found


@pytest.mark.parametrize("size", [32, 50, 300])
def test_the_blocks_are_those_of_a_slow_loop_whatever_the_chips(size: int) -> None:
    blocks, expected = counted(size).blocks(), slow(CELL)
    assert set(blocks.keys) == set(expected)
    for key, matrix in zip(blocks.keys, blocks.matrices, strict=True):
        assert (matrix == expected[key]).all()


def test_blocks_of_twice_the_side_hold_the_same_counts() -> None:
    blocks, expected = counted(64).blocks().doubled(), slow(2 * CELL)
    assert blocks.side == 2 * CELL
    for key, matrix in zip(blocks.keys, blocks.matrices, strict=True):
        assert (matrix == expected[key]).all()


def test_blocks_are_as_large_as_leaves_enough_of_them() -> None:
    keys = tuple(("x", row, col) for row in range(16) for col in range(16))
    blocks = Blocks(("a",), keys, np.ones((256, 1, 1), np.int64), CELL)
    chosen = blocks.enlarged()
    assert (chosen.side, len(chosen.keys)) == (2 * CELL, 64)
    assert len(chosen.keys) >= WANTED > len(chosen.doubled().keys)
    assert blocks.enlarged(4 * CELL).matrices.tolist() == [[[16]]] * 16
    with pytest.raises(
        DataError, match="Blocks of 128 px can be put together to that times a power of two; found 96"
    ):
        chosen.enlarged(96)


def test_few_blocks_stay_as_small_as_they_are() -> None:
    assert counted(64).blocks().enlarged().side == CELL


def test_memory_is_bounded_by_larger_blocks_and_no_pixel_is_lost() -> None:
    sums = counted(50, most_bytes=8 * 9 * 6)  # six blocks at most
    blocks = sums.blocks()
    assert blocks.side == 4 * CELL
    assert len(blocks.keys) <= 6
    assert (blocks.matrices.sum(axis=0) == sum(slow(CELL).values())).all()


@pytest.mark.parametrize("bound", [10**6, 8 * 9 * 6])
def test_two_processes_count_what_one_does(bound: int) -> None:
    parts = [BlockSums(NAMES, placed=True), BlockSums(NAMES, placed=True, most_bytes=bound)]
    reference, mapped = scene()
    for number, row in enumerate(range(0, 300, 50)):
        part = np.s_[row : row + 50]
        parts[number % 2].add_pixels("x", row, 0, reference[part], mapped[part])
    total = BlockSums(NAMES, placed=True)
    for part in parts:
        total.add(part.blocks())
    blocks, expected = total.blocks(), counted(64).blocks()
    expected = expected.enlarged(blocks.side).sorted()
    assert blocks.keys == expected.keys
    assert (blocks.matrices == expected.matrices).all()


def test_items_without_a_place_stay_together_by_name() -> None:
    sums = BlockSums(NAMES, placed=False)
    for number in range(10_000):
        sums.add_item(f"field {number % 5000}", number % 3, 0)
    blocks = sums.blocks()
    assert 2000 < len(blocks.keys) <= GROUPS
    assert blocks.matrices.sum() == 10_000
    assert (blocks.matrices.sum(axis=(1, 2)) % 2 == 0).all()  # each name came twice
    assert blocks.enlarged().keys == blocks.keys


def test_a_file_gives_the_blocks_back(tmp_path: Path) -> None:
    blocks = counted(64, ("x", "y")).blocks()
    blocks.write(tmp_path / "b.npz", {"border": "isprs-full"})
    again, record = read_blocks(tmp_path / "b.npz")
    assert (again.names, again.keys, again.side) == (blocks.names, blocks.keys, blocks.side)
    assert (again.matrices == blocks.matrices).all()
    assert record == {"border": "isprs-full"}
    assert list(tmp_path.iterdir()) == [tmp_path / "b.npz"]


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file .* Test again"):
        read_blocks(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no blocks")
    with pytest.raises(DataError, match="does not hold the blocks of a test"):
        read_blocks(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", matrices=np.zeros((1, 2, 2)))
    with pytest.raises(DataError, match="does not hold the blocks of a test"):
        read_blocks(tmp_path / "other.npz")
    with pytest.raises(OutputError, match="cannot be written"):
        counted(300).blocks().write(tmp_path / "no" / "b.npz", {})
