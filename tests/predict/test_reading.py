"""Blocks are decoded once where the cache can hold them, and panels keep the cache small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoseg.geo.tiles import TilePlan, plan_tiles
from eoseg.predict.reading import Reading, plan_reading

MB = 2**20


def decoded(plan: TilePlan, reading: Reading, block: int, pixel_bytes: int) -> float:
    """How often a block is decoded on average, with a cache that gives up what was used longest ago."""
    held: dict[tuple[int, int], None] = {}
    count = 0
    for index in reading.order(range(len(plan)), plan.columns):
        read = plan.tile(index).read
        for row in range(read.row // block, -(-min(read.row_stop, plan.height) // block)):
            for col in range(read.col // block, -(-min(read.col_stop, plan.width) // block)):
                count += (row, col) not in held
                held.pop((row, col), None)
                held[row, col] = None
                while len(held) * block**2 * pixel_bytes > reading.cache_bytes:
                    held.pop(next(iter(held)))
    return count / (-(-plan.height // block) * -(-plan.width // block))


@pytest.mark.parametrize(
    ("side", "core", "halo", "bands", "at_most"),
    [
        (4096, 1024, 288, 4, 1.0),
        (4096, 1024, 288, 10, 1.35),
        (16384, 1184, 288, 4, 1.6),
        (16384, 1024, 32, 4, 1.3),
    ],
)
def test_few_blocks_are_decoded_twice(side: int, core: int, halo: int, bands: int, at_most: float) -> None:
    plan = plan_tiles(side, side, core=core, halo=halo, stride=32)
    reading = plan_reading(plan, block_shape=(512, 512), pixel_bytes=2 * bands, at_most=256 * MB)
    assert reading.cache_bytes <= 256 * MB
    assert decoded(plan, reading, 512, 2 * bands) <= at_most


def test_panels_decode_less_than_rows_do_with_the_same_cache() -> None:
    plan = plan_tiles(16384, 16384, core=1024, halo=32, stride=32)
    reading = plan_reading(plan, block_shape=(512, 512), pixel_bytes=8, at_most=256 * MB)
    assert 1 < reading.columns < plan.columns
    rows = Reading(reading.cache_bytes, plan.columns)
    assert decoded(plan, reading, 512, 8) < 0.7 * decoded(plan, rows, 512, 8)


def test_the_cache_does_not_grow_with_a_scene_of_square_blocks() -> None:
    sizes = {
        plan_reading(
            plan_tiles(side, side, core=1024, halo=288, stride=32),
            block_shape=(512, 512),
            pixel_bytes=8,
            at_most=256 * MB,
        ).cache_bytes
        for side in (4096, 8192, 16384, 65536)
    }
    assert sizes == {128 * MB}


def test_lines_of_the_whole_width_need_a_row_of_tiles_in_the_cache() -> None:
    plan = plan_tiles(16384, 16384, core=512, halo=32, stride=32)
    reading = plan_reading(plan, block_shape=(1, 16384), pixel_bytes=8, at_most=1024 * MB)
    assert reading.columns == plan.columns
    assert reading.cache_bytes >= 576 * 16384 * 8
    assert plan_reading(plan, block_shape=(1, 16384), pixel_bytes=8, at_most=20 * MB).cache_bytes == 20 * MB


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 15), st.sets(st.integers(0, 143)))
def test_each_tile_is_read_once(rows: int, columns: int, panel: int, chosen: set[int]) -> None:
    indices = sorted(index for index in chosen if index < rows * columns)
    order = Reading(0, panel).order(indices, columns)
    assert sorted(order) == indices
    panels = np.array([index % columns // panel for index in order], int)
    assert (np.diff(panels) >= 0).all()
