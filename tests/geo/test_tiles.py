"""Tiles partition the scene, stay on the stride's lattice and inside the padded extent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoseg.errors import ConfigError
from eoseg.geo.tiles import TilePlan, plan_tiles, round_up
from eoseg.geo.window import Window


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    stride = draw(st.sampled_from([1, 2, 8, 32]))
    steps = draw(st.integers(1, 6))
    core = stride * steps
    return TilePlan(
        draw(st.integers(1, 5 * core)),
        draw(st.integers(1, 5 * core)),
        core=core,
        halo=stride * draw(st.integers(0, 4)),
        stride=stride,
        shift=stride * draw(st.integers(0, steps - 1)),
    )


@given(plans())
def test_each_pixel_is_written_exactly_once(plan: TilePlan) -> None:
    written = np.zeros((plan.height, plan.width), int)
    for tile in plan:
        written[tile.core.slices_in(Window(0, 0, 1, 1))] += 1
    assert (written == 1).all()
    assert len(list(plan)) == len(plan)


@given(plans())
def test_a_read_holds_its_core_and_the_halo_as_far_as_the_extent_goes(plan: TilePlan) -> None:
    for tile in plan:
        assert tile.read.contains(tile.core)
        wanted = tile.core.grow(plan.halo) if plan.halo else tile.core
        inside = wanted.intersection(plan.extent)
        assert inside is not None
        assert tile.read.contains(inside)
        assert plan.extent.contains(tile.read)


@given(plans())
def test_reads_start_and_end_on_the_lattice(plan: TilePlan) -> None:
    for tile in plan:
        read = tile.read
        assert all(size % plan.stride == 0 for size in (read.row, read.col, read.height, read.width))
        assert tile.core.row == 0 or tile.core.row % plan.core == plan.shift
        assert tile.core.col == 0 or tile.core.col % plan.core == plan.shift


@given(plans())
def test_all_reads_have_one_size_the_core_and_two_halos_if_the_scene_is_that_large(plan: TilePlan) -> None:
    largest = plan.core + 2 * plan.halo
    expected = (min(largest, plan.extent.height), min(largest, plan.extent.width))
    assert {(tile.read.height, tile.read.width) for tile in plan} == {expected} == {plan.read_size}


def test_tiles_come_row_by_row() -> None:
    corners = [(t.core.row, t.core.col) for t in plan_tiles(5, 9, core=4, halo=0, stride=4)]
    assert corners == [(0, 0), (0, 4), (0, 8), (4, 0), (4, 4), (4, 8)]


def test_a_scene_smaller_than_a_tile_is_one_read_of_the_padded_scene() -> None:
    (tile,) = plan_tiles(10, 10, core=256, halo=384, stride=32)
    assert tile.core == Window(0, 0, 10, 10)
    assert tile.read == Window(0, 0, 32, 32)


def test_the_last_core_is_not_moved_only_its_read() -> None:
    *_, last = plan_tiles(65, 65, core=64, halo=0, stride=32)
    assert last.core == Window(64, 64, 1, 1)
    assert last.read == Window(32, 32, 64, 64)


def test_read_pixels_counts_the_halo() -> None:
    assert plan_tiles(64, 64, core=32, halo=32, stride=32).read_pixels == 4 * 64 * 64


def test_a_shifted_lattice_begins_inside_a_core() -> None:
    plan = plan_tiles(200, 200, core=64, halo=32, stride=32).shifted()
    assert plan is not None
    assert (plan.shift, plan.rows, len(plan)) == (32, 4, 16)
    assert plan.tile(0).core == Window(0, 0, 32, 32)
    assert plan.tile(0).read == Window(0, 0, 128, 128)
    assert plan.tile(7).core == Window(32, 160, 64, 40)
    assert plan.tile(7).read == Window(0, 96, 128, 128)
    assert [plan.span(row, 200) for row in range(4)] == [(0, 32), (32, 96), (96, 160), (160, 200)]
    assert [plan.row_of(pixel) for pixel in (-32, 0, 31, 32, 95, 96)] == [0, 0, 0, 1, 1, 2]


def test_tiles_of_a_single_stride_cannot_be_shifted() -> None:
    assert plan_tiles(200, 200, core=32, halo=32, stride=32).shifted() is None


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (
            {"core": 100},
            "tile size must be a multiple of the network's output stride, 32 px; found 100.*96 or",
        ),
        ({"core": 20}, r"found 20\. Use 32\."),
        ({"core": 0}, "at least 32 px; found 0"),
        ({"halo": 16}, "halo must be a multiple .* found 16. Use 32"),
        ({"halo": -32}, "halo is 0 or more pixels; found -32"),
        ({"shift": 16}, "shift must be a multiple .* found 16. Use 32"),
        ({"shift": 64}, "moved by 0 to 63 pixels; found 64"),
        ({"stride": 0}, "stride is 1 or more; found 0"),
        ({"height": 0}, "at least one pixel; found 5 x 0"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, int], words: str) -> None:
    given_sizes = {"height": 5, "width": 5, "core": 64, "halo": 32, "stride": 32} | sizes
    with pytest.raises(ConfigError, match=words):
        TilePlan(**given_sizes)


def test_an_index_beyond_the_last_tile_is_refused() -> None:
    with pytest.raises(IndexError):
        plan_tiles(10, 10, core=8, halo=0, stride=1).tile(4)


@given(st.integers(0, 10_000), st.integers(1, 64))
def test_round_up_gives_the_next_multiple(pixels: int, multiple: int) -> None:
    rounded = round_up(pixels, multiple)
    assert rounded % multiple == 0
    assert pixels <= rounded < pixels + multiple
