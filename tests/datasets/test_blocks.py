from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eoseg.datasets.blocks import (
    assign_at_random,
    assign_blocks,
    badness,
    block_counts,
    block_edges,
    split_windows,
)
from eoseg.geo.window import Window

SHARES = np.array([0.6, 0.2, 0.2])


@given(st.integers(1, 2000), st.integers(1, 12), st.integers(1, 40))
def test_blocks_cover_a_side_and_are_large_enough(length: int, cells: int, cell: int):
    size = cells * cell
    edges = block_edges(length, size, cell)
    assert edges[0] == 0
    assert edges[-1] == length
    assert all(edge % cell == 0 for edge in edges[:-1])
    assert all(stop - start >= min(size, length) for start, stop in pairwise(edges))


def test_blocks_of_a_given_size_begin_at_its_multiples():
    assert block_edges(70, 20, 20) == [0, 20, 40, 70]


def test_block_counts_sum_their_cells():
    cells = np.arange(6 * 5 * 2).reshape(6, 5, 2)
    rows, cols = [0, 8, 24], [0, 12, 18]
    counts = block_counts(cells, rows, cols, 4)
    np.testing.assert_array_equal(counts[0, 1], cells[:2, 3:].sum(axis=(0, 1)))
    assert counts.sum() == cells.sum()


def held_by(counts: np.ndarray, splits: np.ndarray) -> np.ndarray:
    return np.array([counts[splits == number].sum(axis=0) for number in range(3)])


def test_each_split_gets_its_share_of_each_class():
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 1000, (60, 4)) * (rng.random((60, 4)) < 0.4)
    counts = counts[counts.any(axis=1)]
    draws = np.random.default_rng(0)
    drawn = [assign_blocks(counts, SHARES, draws) for _ in range(16)]
    splits = min(drawn, key=lambda s: badness(held_by(counts, s), counts.sum(axis=0), SHARES))
    got = held_by(counts, splits) / counts.sum(axis=0)
    np.testing.assert_allclose(got, np.repeat(SHARES[:, None], 4, axis=1), atol=0.08)


def test_a_class_in_three_blocks_reaches_all_three_splits():
    counts = np.array([[100, 0]] * 12 + [[100, 50]] * 3)
    splits = assign_blocks(counts, SHARES, np.random.default_rng(0))
    assert sorted(splits[12:]) == [0, 1, 2]


def test_the_corner_of_a_polygon_does_not_decide_where_a_block_goes():
    counts = np.array([[1000, 0], [900, 0], [800, 0], [0, 500], [10, 450], [0, 480]])
    for seed in range(5):
        splits = assign_blocks(counts, SHARES, np.random.default_rng(seed))
        assert sorted(splits[:3]) == sorted(splits[3:]) == [0, 1, 2]


def test_a_split_without_a_share_gets_nothing():
    splits = assign_blocks(np.ones((30, 1), int), np.array([0.5, 0.5, 0]), np.random.default_rng(0))
    assert set(splits) == {0, 1}


@given(st.integers(3, 50), st.integers(0, 99))
def test_random_assignment_keeps_shares_and_fills_each_split(blocks: int, seed: int):
    splits = assign_at_random(blocks, SHARES, np.random.default_rng(seed))
    counts = np.bincount(splits, minlength=3)
    assert counts.sum() == blocks
    assert (counts >= 1).all()
    np.testing.assert_allclose(counts, SHARES * blocks, atol=2)


def test_badness_puts_a_class_missing_from_training_first():
    total = np.array([100, 100])
    lacks_train = badness(np.array([[60, 0], [20, 50], [20, 50]]), total, SHARES)
    lacks_test = badness(np.array([[60, 80], [20, 20], [20, 0]]), total, SHARES)
    even = badness(np.array([[60, 60], [20, 20], [20, 20]]), total, SHARES)
    assert even < lacks_test < lacks_train
    assert even == (0, 0, pytest.approx(0))


@st.composite
def divisions(draw: st.DrawFn) -> tuple[np.ndarray, list[int], list[int], int]:
    down, across = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    buffer = draw(st.integers(0, 4))
    sizes = st.integers(2 * buffer + 1, 2 * buffer + 9)
    rows = np.cumsum([0, *(draw(sizes) for _ in range(down))]).tolist()
    cols = np.cumsum([0, *(draw(sizes) for _ in range(across))]).tolist()
    splits = np.array(draw(st.lists(st.integers(-1, 2), min_size=down * across, max_size=down * across)))
    return splits.reshape(down, across), rows, cols, buffer


@given(divisions())
@settings(max_examples=150, deadline=None)
def test_no_pixel_of_one_split_comes_within_the_buffer_of_another(
    division: tuple[np.ndarray, list[int], list[int], int],
):
    splits, rows, cols, buffer = division
    owner = np.full((rows[-1], cols[-1]), -1)
    for number, window in split_windows(splits, rows, cols, buffer=buffer, narrowest=1):
        part = owner[window.row : window.row_stop, window.col : window.col_stop]
        assert (part == -1).all()  # no pixel is in two rectangles
        part[:] = number
    wanted = np.repeat(np.repeat(splits, np.diff(rows), axis=0), np.diff(cols), axis=1)
    assert ((owner == -1) | (owner == wanted)).all()
    for number in (0, 1, 2):
        others = (owner >= 0) & (owner != number)
        reach = np.zeros_like(others)
        for row, col in np.argwhere(owner == number):
            reach[max(0, row - buffer) : row + buffer + 1, max(0, col - buffer) : col + buffer + 1] = True
        assert not (reach & others).any()


@given(divisions())
@settings(max_examples=100, deadline=None)
def test_only_the_earlier_split_gives_way(division: tuple[np.ndarray, list[int], list[int], int]):
    splits, rows, cols, buffer = division
    held = dict.fromkeys((0, 1, 2), 0)
    for number, window in split_windows(splits, rows, cols, buffer=buffer, narrowest=1):
        held[number] += window.height * window.width
    areas = np.diff(rows)[:, None] * np.diff(cols)[None, :]
    assert held[2] == areas[splits == 2].sum()
    assert held[0] <= areas[splits == 0].sum()


def test_neighbouring_blocks_of_one_split_are_joined():
    splits = np.array([[0, 0, 1], [0, 0, 1]])
    windows = split_windows(splits, [0, 10, 20], [0, 10, 20, 30], buffer=4, narrowest=1)
    assert windows == [(0, Window(0, 0, 20, 16)), (1, Window(0, 20, 20, 10))]


def test_slivers_are_left_out_but_narrow_scenes_are_not():
    splits = np.array([[0, 0], [0, 1]])
    windows = split_windows(splits, [0, 20, 40], [0, 20, 40], buffer=4, narrowest=5)
    assert min(min(window.height, window.width) for _, window in windows) >= 5
    narrow = split_windows(np.array([[0, 1]]), [0, 3], [0, 20, 40], buffer=4, narrowest=5)
    assert narrow == [(0, Window(0, 0, 3, 16)), (1, Window(0, 20, 3, 20))]
