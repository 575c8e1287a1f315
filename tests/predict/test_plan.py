"""Tiles are as large as memory allows, and it is said whether the map is exact."""

import pytest
from affine import Affine

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.predict.options import PredictOptions
from eoseg.predict.plan import Layout, choose_layout, part_block
from eoseg.predict.receptive import Context

LOCAL = Context(32, 288, True, "a pixel matters up to 288 px away")
WHOLE = Context(32, None, False, "global context")


def layout(
    height: int, width: int, context: Context = LOCAL, *, pixel_bytes: float = 400.0, **options: object
) -> Layout:
    grid = Grid(None, Affine.identity(), height, width)
    return choose_layout(grid, context, PredictOptions(**options), pixel_bytes=pixel_bytes, chip_size=256)


def test_a_scene_that_fits_is_one_tile() -> None:
    chosen = layout(1000, 700)
    assert len(chosen.plan) == 1
    assert chosen.exact
    assert "whole scene" in chosen.reason


def test_a_scene_that_fits_is_exact_even_with_global_context() -> None:
    assert layout(500, 500, WHOLE).exact


def largest_read(chosen: Layout) -> int:
    return max(tile.read.height * tile.read.width for tile in chosen.plan)


def test_an_auto_tile_stays_within_the_memory() -> None:
    chosen = layout(20_000, 20_000, memory_mb=1024)
    assert largest_read(chosen) == 1536**2 <= 1024 * 2**20 / 400 < 2048**2
    assert chosen.plan.core == 1536 - 2 * 288
    assert chosen.exact


@pytest.mark.parametrize(
    ("memory", "pixel_bytes"), [(256, 100), (512, 400), (1024, 400), (None, 400), (None, 100)]
)
def test_a_small_scene_takes_about_as_much_memory_as_a_huge_one(
    memory: int | None, pixel_bytes: float
) -> None:
    small, huge = (
        largest_read(layout(size, size, memory_mb=memory, pixel_bytes=pixel_bytes)) for size in (2048, 20_000)
    )
    assert 0.85 * huge < small <= huge


@pytest.mark.parametrize(("halo", "side"), [(32, 768), (128, 1024), (192, 1536), (288, 2048), (544, 2048)])
def test_a_default_tile_is_larger_where_the_halo_is(halo: int, side: int) -> None:
    assert largest_read(layout(20_000, 20_000, Context(32, halo, True, ""), pixel_bytes=100)) == side**2


def test_more_memory_than_the_default_makes_larger_tiles() -> None:
    default, more = layout(20_000, 20_000), layout(20_000, 20_000, memory_mb=8192)
    assert largest_read(default) == 2048**2
    assert more.plan.core > default.plan.core


def test_tiles_at_the_border_may_be_larger_because_they_have_one_halo() -> None:
    assert layout(2048, 2048, memory_mb=1024).plan.core > layout(20_000, 20_000, memory_mb=1024).plan.core


@pytest.mark.parametrize("change", [{"memory_mb": 512}, {"batch_size": 4}, {"pixel_bytes": 1600.0}])
def test_less_memory_for_a_tile_makes_it_smaller(change: dict[str, float]) -> None:
    assert layout(20_000, 20_000, **change).plan.core < layout(20_000, 20_000).plan.core


def test_an_auto_tile_never_shrinks_to_nothing() -> None:
    assert layout(20_000, 20_000, memory_mb=64).plan.core == 256


def test_tile_and_halo_are_taken_as_given() -> None:
    chosen = layout(5000, 5000, tile=512, halo=64)
    assert (chosen.plan.core, chosen.plan.halo) == (512, 64)
    assert not chosen.exact
    assert "halo of 64 px is less than the 288 px" in chosen.reason


def test_a_halo_larger_than_needed_is_exact() -> None:
    assert layout(5000, 5000, tile=512, halo=320).exact


def test_a_network_with_global_context_gets_a_moderate_tile_and_is_not_exact() -> None:
    chosen = layout(5000, 5000, WHOLE)
    assert chosen.plan.halo == 128
    assert chosen.plan.core + 256 <= 1024
    assert not chosen.exact
    assert chosen.reason == "global context"


def test_a_halo_as_large_as_the_scene_is_exact_for_any_network() -> None:
    assert layout(500, 500, WHOLE, tile=256, halo=512).exact


@pytest.mark.parametrize("options", [{"tile": 100}, {"halo": 100}])
def test_a_size_off_the_stride_is_refused_with_the_nearest(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"multiple of the network's output stride, 32 px.* Use 96 or 128"):
        layout(5000, 5000, **options)


@pytest.mark.parametrize(("core", "block"), [(1024, 512), (1280, 320), (96, 96), (100, 1), (544, 272)])
def test_the_part_file_has_blocks_that_divide_a_tile(core: int, block: int) -> None:
    assert part_block(core) == block
