"""Spatial blocks: cut, assigned to splits by class, separated by a buffer. Arithmetic only."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.window import Window

_SLIVER = 0.05
"""Share of a class's largest block below which a block is not placed for that class."""


def block_edges(length: int, size: int, cell: int) -> list[int]:
    """Where blocks begin and end along one side of a scene, from its first pixel on.

    Args:
        length: Pixels along the side.
        size: Least pixels of a block, a multiple of `cell`; a shorter side is one block.
        cell: Every inner edge is a multiple of this.
    """
    count = max(1, length // size)
    return [*(length * number // count // cell * cell for number in range(count)), length]


def block_counts(cells: NDArray[np.int64], rows: list[int], cols: list[int], cell: int) -> NDArray[np.int64]:
    """Sum cells over blocks, `(cell rows, cell columns, K)` to `(blocks down, blocks across, K)`."""
    down = np.add.reduceat(cells, [edge // cell for edge in rows[:-1]], axis=0)
    return np.asarray(np.add.reduceat(down, [edge // cell for edge in cols[:-1]], axis=1))


def assign_blocks(
    counts: NDArray[np.int64], shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Give each block to a split, so that each split has about its share of each class.

    Iterative stratification (Sechidis et al. 2011, https://doi.org/10.1007/978-3-642-23808-6_10) with
    pixels instead of examples: the class in the fewest blocks is placed first, each of its blocks into
    the split that lacks most pixels of it, and the last blocks into splits that have none.

    Args:
        counts: Labelled pixels per block and class, `(N, K)`, each block with at least one.
        shares: Share of each split, `(S,)`, summing to 1.
        rng: Draws the order of the blocks.

    Returns:
        Split number of each block, `(N,)`.
    """
    wanted = shares[:, None] * counts.sum(axis=0)[None, :]  # (S, K)
    held = np.zeros_like(wanted)
    splits = np.full(len(counts), -1, np.int64)
    active = shares > 0
    # A block that holds a sliver of a class, such as the corner of a polygon, is not placed for it.
    matters = counts >= np.maximum(1, _SLIVER * counts.max(axis=0))
    for index in np.argsort(matters.sum(axis=0) * rng.uniform(0.5, 1.5, counts.shape[1])):
        blocks = np.flatnonzero(matters[:, index] & (splits < 0))
        # Large blocks first, in an order that is a little different each time.
        order = np.argsort(-counts[blocks, index] * rng.uniform(0.2, 1, len(blocks)))
        for done, block in enumerate(blocks[order]):
            lacking = active & (held[:, index] < _SLIVER * wanted[:, index])
            few_left = len(blocks) - done <= lacking.sum()
            missing = (wanted - held)[:, index] + 1e-9 * (wanted - held).sum(axis=1)
            splits[block] = np.argmax(np.where(lacking if few_left else active, missing, -np.inf))
            held[splits[block]] += counts[block]
    rest = splits < 0
    splits[rest] = rng.choice(len(shares), size=int(rest.sum()), p=shares)
    return splits


def badness(
    held: NDArray[np.int64], total: NDArray[np.int64], shares: NDArray[np.float64]
) -> tuple[int, int, float]:
    """How far a division is from what is wanted; smaller is better.

    Args:
        held: Labelled pixels of each split and class, `(S, K)`, after the buffer has taken its part.
        total: Labelled pixels of each class, `(K,)`.
        shares: Share of each split, `(S,)`.

    Returns:
        Classes missing from the first split; pairs of split and class missing; mean difference between
        the share of a class that a split got and should get.
    """
    missing = (held == 0) & (total > 0) & (shares > 0)[:, None]
    got = held[:, total > 0] / total[total > 0]
    return int(missing[0].sum()), int(missing.sum()), float(np.abs(got - shares[:, None]).mean())


def assign_at_random(blocks: int, shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give each block to a split by lot, `(N,)`; a split with a share gets at least one if N suffices."""
    order = rng.permutation(blocks)
    stops = np.round(np.cumsum(shares) * blocks).astype(int)
    for number in range(len(shares) - 1, 0, -1):
        if shares[number] > 0:
            stops[number - 1] = min(stops[number - 1], stops[number] - 1)
    splits = np.empty(blocks, np.int64)
    splits[order] = np.searchsorted(stops, np.arange(blocks), side="right").clip(max=len(shares) - 1)
    return splits


def split_windows(
    splits: NDArray[np.int64], rows: list[int], cols: list[int], *, buffer: int, narrowest: int
) -> list[tuple[int, Window]]:
    """Rectangles of each split, at least `buffer` pixels away from those of any other split.

    Where two splits meet, the one with the lower number gives way. Neighbouring blocks of one split
    are joined, so that chips may lie across their border.

    Args:
        splits: Split number of each block, `(blocks down, blocks across)`; negative where a block is in none.
        rows: Edges of the blocks, one more than there are blocks down.
        cols: The same across.
        buffer: Width of the gap in pixels; blocks are wider than twice as much.
        narrowest: Rectangles that are narrower than this are left out, unless the scene is as narrow.

    Returns:
        Split number and window, which never overlap, in a fixed order.
    """
    if buffer:
        splits, rows, cols = _erode(splits, rows, cols, buffer)
    low, left = min(narrowest, rows[-1]), min(narrowest, cols[-1])
    found = []
    for number in np.unique(splits[splits >= 0]):
        for top, start, bottom, stop in _rectangles(splits == number):
            window = Window.from_stops(rows[top], cols[start], rows[bottom], cols[stop])
            if window.height >= low and window.width >= left:
                found.append((int(number), window))
    return found


def _erode(
    splits: NDArray[np.int64], rows: list[int], cols: list[int], buffer: int
) -> tuple[NDArray[np.int64], list[int], list[int]]:
    """Cut each block into 3 x 3 parts with outer parts as wide as the buffer, and empty some of them."""
    down, across = splits.shape
    padded = np.pad(splits, 1, constant_values=-1)
    parts = np.repeat(np.repeat(splits, 3, axis=0), 3, axis=1)
    for row in (-1, 0, 1):
        for col in (-1, 0, 1):
            near = [padded[1 + r : 1 + r + down, 1 + c : 1 + c + across] for r in {0, row} for c in {0, col}]
            part = parts[row + 1 :: 3, col + 1 :: 3]
            part[np.max(near, axis=0) > splits] = -1
    return parts, _thirds(rows, buffer), _thirds(cols, buffer)


def _thirds(edges: list[int], buffer: int) -> list[int]:
    cuts = []
    for start, stop in pairwise(edges):
        width = min(buffer, (stop - start) // 2)  # less only in a scene that is one narrow block across
        cuts += [start, start + width, stop - width]
    return [*cuts, edges[-1]]


def _rectangles(held: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Cover the true cells with disjoint rectangles (top, left, bottom, right): runs, joined downwards."""
    finished: list[tuple[int, int, int, int]] = []
    growing: dict[tuple[int, int], int] = {}
    for row in range(held.shape[0] + 1):
        runs = _runs(held[row]) if row < held.shape[0] else set()
        ended = [run for run in growing if run not in runs]
        finished += [(growing.pop(run), run[0], row, run[1]) for run in ended]
        for run in runs:
            growing.setdefault(run, row)
    return sorted(finished)


def _runs(held: NDArray[np.bool_]) -> set[tuple[int, int]]:
    changes = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(np.int8)))
    return {(int(start), int(stop)) for start, stop in zip(changes[::2], changes[1::2], strict=True)}
