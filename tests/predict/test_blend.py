"""Averages of tiles: against a slow reference, and what must be true of any weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eoseg.geo.tiles import TilePlan, plan_tiles
from eoseg.geo.window import Window
from eoseg.predict.blend import (
    Blender,
    StripBytes,
    count_computed,
    overlap_of,
    panel_columns,
    panels,
    strip_size,
    weights,
)


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    stride = draw(st.sampled_from([1, 4]))
    steps = draw(st.integers(1, 5))
    sizes = st.integers(1, 4 * stride * steps)
    return TilePlan(
        draw(sizes),
        draw(sizes),
        core=stride * steps,
        halo=stride * draw(st.integers(0, 4)),
        stride=stride,
        shift=stride * draw(st.integers(0, steps - 1)),
    )


def slow_weight(start: int, stop: int, along: int, overlap: int, pixel: int) -> float:
    """The weight of a tile with core `start` to `stop`, by cases."""
    weight = 1.0
    if start > 0 and pixel < start + overlap:
        weight *= 0.5 - 0.5 * np.cos(np.pi * (pixel + 0.5 - start + overlap) / (2 * overlap))
    if stop < along and pixel >= stop - overlap:
        weight *= 0.5 + 0.5 * np.cos(np.pi * (pixel + 0.5 - stop + overlap) / (2 * overlap))
    return weight


def slow_blend(plan: TilePlan, overlap: int, results: list[np.ndarray]) -> np.ndarray:
    """Pixel by pixel; `results` are those of whole reads, `(C, height, width)`."""
    total = np.zeros((len(results[0]), plan.height, plan.width))
    for index, tile in enumerate(plan):
        core, read = tile.core, tile.read
        for row in range(plan.height):
            for col in range(plan.width):
                if not (
                    core.row - overlap <= row < core.row_stop + overlap
                    and core.col - overlap <= col < core.col_stop + overlap
                ):
                    continue
                down = slow_weight(core.row, core.row_stop, plan.height, overlap, row)
                right = slow_weight(core.col, core.col_stop, plan.width, overlap, col)
                total[:, row, col] += down * right * results[index][:, row - read.row, col - read.col]
    return total


def blend(
    plan: TilePlan, overlap: int, results: list[np.ndarray], windows: list[Window]
) -> dict[int, torch.Tensor]:
    blender = Blender(plan, overlap, windows)
    found: dict[int, torch.Tensor] = {}
    for index in blender.tiles:
        tile = blender.tile(index)
        assert tile.read.contains(tile.core)  # what a tile counts for is computed
        scores = torch.from_numpy(results[index])[:, *tile.core.slices_in(tile.read)]
        for number, average in blender.add(index, scores):
            assert average is not None
            found[number] = average
    return found


def some_results(plan: TilePlan, channels: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((channels, *plan.read_size), np.float32) for _ in range(len(plan))]


@settings(max_examples=30, deadline=None)
@given(plans(), st.data())
def test_windows_are_what_the_slow_reference_gives(plan: TilePlan, data: st.DataObject) -> None:
    overlap, results = overlap_of(plan), some_results(plan)
    row, col = (data.draw(st.integers(0, size - 1)) for size in (plan.height, plan.width))
    height = data.draw(st.integers(1, plan.height - row))
    width = data.draw(st.integers(1, plan.width - col))
    windows = [Window(row, col, height, width), Window(0, 0, plan.height, plan.width)]
    found, expected = blend(plan, overlap, results, windows), slow_blend(plan, overlap, results)
    assert sorted(found) == [0, 1]
    for number, window in enumerate(windows):
        part = expected[:, *window.slices_in(windows[1])]
        np.testing.assert_allclose(found[number].numpy(), part, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[0].numpy(), found[1][:, *windows[0].slices_in(windows[1])].numpy())


@given(plans())
def test_weights_add_up_to_one_and_none_is_zero(plan: TilePlan) -> None:
    overlap = overlap_of(plan)
    total = np.zeros(plan.height)
    for row in range(plan.rows):
        start, stop = plan.span(row, plan.height)
        found = weights(plan, overlap, row, along=plan.height).numpy()
        assert (found > 0).all()
        total[max(start - overlap, 0) : min(stop + overlap, plan.height)] += found
    np.testing.assert_allclose(total, 1, rtol=1e-6)


def test_a_tile_counts_fully_at_the_scene_s_border_and_half_at_that_of_a_neighbour() -> None:
    plan = plan_tiles(128, 128, core=64, halo=32, stride=32)
    found = weights(plan, 32, 0, along=128)
    assert (len(found), found[:32].tolist()) == (96, [1.0] * 32)
    assert found[63] > 0.5 > found[64]
    assert 0 < found[-1] < 0.001
    assert (found[32:].diff() < 0).all()


def test_an_overlap_reaches_to_the_middle_of_a_neighbour_at_most() -> None:
    assert overlap_of(plan_tiles(200, 200, core=64, halo=128, stride=32)) == 32
    assert overlap_of(plan_tiles(200, 200, core=64, halo=16, stride=16)) == 16


def test_a_window_is_given_out_with_its_last_tile_and_needs_no_other() -> None:
    plan = plan_tiles(100, 100, core=20, halo=4, stride=1)
    blender = Blender(plan, 4, [Window(0, 0, 10, 10), Window(18, 40, 4, 20)])
    assert blender.tiles == [0, 1, 2, 3, 6, 7, 8]
    done = {}
    for index in blender.tiles:
        core = blender.tile(index).core
        for number, _ in blender.add(index, torch.ones(2, core.height, core.width)):
            done[number] = index
    assert done == {0: 0, 1: 8}


def test_a_window_of_which_no_tile_matters_is_nothing() -> None:
    plan = plan_tiles(20, 20, core=20, halo=4, stride=1)
    assert Blender(plan, 4, [Window(0, 0, 5, 5)]).add(0, None) == [(0, None)]


def test_a_panel_is_as_wide_as_its_strip_may_be() -> None:
    plan = plan_tiles(1000, 1000, core=10, halo=4, stride=1)
    waiting = StripBytes(sums=12, results=2)
    of_one = strip_size(plan, 4, columns=1, pixel_bytes=waiting)
    assert of_one == 10 * (8 * 12 + 10 * 2)  # 8 rows of sums and 10 of results

    def columns(strip_bytes: int) -> int:
        return panel_columns(plan, 4, pixel_bytes=waiting, strip_bytes=strip_bytes)

    assert columns(100 * of_one) == 100
    assert columns(60 * of_one) == 50  # two of one width
    assert columns(1) == 4


def test_panels_share_out_the_cores_that_are_left() -> None:
    plan = plan_tiles(30, 50, core=10, halo=4, stride=1)
    assert list(panels(plan, 3, [0, 2, 3, 9, 10])) == [[0, 2, 10], [3, 9]]
    assert list(panels(plan, 3, [0, 5])) == [[0, 5]]


def test_tiles_that_several_need_are_counted_as_often() -> None:
    plan = plan_tiles(40, 50, core=10, halo=4, stride=1)
    assert count_computed(plan, 4, 5, 1) == 20
    assert count_computed(plan, 4, 3, 1) == 4 * (4 + 3)
    assert count_computed(plan, 4, 5, 2) == 2 * 15


def test_tiles_come_once_and_in_order() -> None:
    plan = plan_tiles(10, 20, core=10, halo=4, stride=1)
    with pytest.raises(ValueError, match="tiles come in their order"):
        Blender(plan, 4, [Window(0, 0, 10, 20)]).add(1, None)
    blender = Blender(plan, 4, [Window(0, 0, 10, 20)])
    blender.add(0, None)
    with pytest.raises(ValueError, match="found tile 0"):
        blender.add(0, None)
