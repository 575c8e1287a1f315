"""Tiles are as large as memory allows, and it is said whether the map is exact."""

import pytest
from affine import Affine

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window
from eoseg.predict.options import PredictOptions
from eoseg.predict.plan import Layout, choose_chips, choose_layout
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
    height, width = chosen.plan.read_size
    return height * width


def test_an_auto_tile_stays_within_the_memory_and_leaves_room_for_the_next() -> None:
    chosen = layout(20_000, 20_000, max_memory_mb=1024)
    assert 0.5 * 1536**2 < largest_read(chosen) < 0.75 * 1536**2
    assert 1536**2 <= 1024 * 2**20 / 400 < 2048**2
    assert chosen.exact


def test_an_auto_tile_leaves_little_over_at_the_scene_s_edge() -> None:
    chosen = layout(4096, 4096)  # 1184 px would fit the memory, and take 4 x 4 tiles as well
    assert chosen.plan.core == 1024


@pytest.mark.parametrize(
    ("memory", "pixel_bytes"), [(256, 100), (512, 400), (1024, 400), (None, 400), (None, 100)]
)
def test_a_small_scene_takes_about_as_much_memory_as_a_huge_one(
    memory: int | None, pixel_bytes: float
) -> None:
    small, huge = (
        largest_read(layout(size, size, max_memory_mb=memory, pixel_bytes=pixel_bytes))
        for size in (2048, 20_000)
    )
    assert 0.85 * huge < small < 1.4 * huge


@pytest.mark.parametrize(("halo", "side"), [(32, 1024), (128, 1024), (192, 1536), (288, 2048), (544, 2048)])
def test_a_default_tile_is_larger_where_the_halo_is(halo: int, side: int) -> None:
    read = largest_read(layout(20_000, 20_000, Context(32, halo, True, ""), pixel_bytes=100))
    assert 0.6 * side**2 < read < 0.75 * side**2


def test_more_memory_than_the_default_makes_larger_tiles() -> None:
    default, more = layout(20_000, 20_000), layout(20_000, 20_000, max_memory_mb=8192)
    assert 0.6 * 2048**2 < largest_read(default) < 0.75 * 2048**2
    assert more.plan.core > default.plan.core


def test_a_narrow_scene_has_longer_tiles() -> None:
    assert (
        layout(640, 20_000, max_memory_mb=1024).plan.core
        > layout(20_000, 20_000, max_memory_mb=1024).plan.core
    )


@pytest.mark.parametrize("change", [{"max_memory_mb": 512}, {"batch_size": 4}, {"pixel_bytes": 1600.0}])
def test_less_memory_for_a_tile_makes_it_smaller(change: dict[str, float]) -> None:
    assert layout(20_000, 20_000, **change).plan.core < layout(20_000, 20_000).plan.core


def test_an_auto_tile_never_shrinks_to_nothing() -> None:
    assert layout(20_000, 20_000, max_memory_mb=64).plan.core == 256


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


def test_memory_that_is_given_decides_on_global_context_too() -> None:
    assert layout(20_000, 20_000, WHOLE).plan.core + 256 <= 1024
    more = [layout(20_000, 20_000, WHOLE, max_memory_mb=memory) for memory in (2048, 5120)]
    assert 1024 < more[0].plan.core < more[1].plan.core
    strip = [PredictOptions(max_memory_mb=memory).strip_bytes for memory in (64, 1024, 4096)]
    assert strip == [8 * 2**20, 128 * 2**20, 256 * 2**20]
    assert layout(20_000, 20_000, WHOLE, blend="off", max_memory_mb=2048).plan.core >= more[0].plan.core


def test_what_is_not_exact_is_blended_over_its_halo() -> None:
    chosen = layout(5000, 5000, WHOLE)
    assert chosen.overlap == 128
    assert chosen.panel == chosen.plan.columns
    assert chosen.strip_bytes == 5000 * (2 * 128 * 4 + chosen.plan.core * 2)
    assert layout(5000, 5000, tile=512, halo=64).overlap == 64
    assert layout(5000, 5000, WHOLE, tile=64, halo=64).overlap == 32


@pytest.mark.parametrize(
    ("context", "options"), [(LOCAL, {}), (WHOLE, {"blend": "off"}), (WHOLE, {"tile": 512, "halo": 0})]
)
def test_what_is_exact_or_asked_for_apart_is_not_blended(
    context: Context, options: dict[str, object]
) -> None:
    chosen = layout(5000, 5000, context, **options)
    assert (chosen.overlap, chosen.panel, chosen.strip_bytes) == (0, 0, 0)


def test_a_strip_is_cut_into_panels_where_memory_is_short() -> None:
    wide = layout(5000, 100_000, WHOLE, tile=256, max_memory_mb=64)
    assert wide.panel < wide.plan.columns
    assert wide.strip_bytes <= 8 * 2**20
    assert layout(5000, 100_000, WHOLE, tile=256).panel == wide.plan.columns


def test_a_halo_as_large_as_the_scene_is_exact_for_any_network() -> None:
    assert layout(500, 500, WHOLE, tile=256, halo=512).exact


@pytest.mark.parametrize("options", [{"tile": 100}, {"halo": 100}])
def test_a_size_off_the_stride_is_refused_with_the_nearest(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"multiple of the network's output stride, 32 px.* Use 96 or 128"):
        layout(5000, 5000, **options)


def chips(height: int, width: int, *, pixel_bytes: float = 400.0, **options: object) -> Layout:
    grid = Grid(None, Affine.identity(), height, width)
    return choose_chips(grid, PredictOptions(**options), pixel_bytes=pixel_bytes, chip_size=64)


def test_a_core_is_as_large_as_a_chip_by_default() -> None:
    chosen = chips(130, 100)
    assert (len(chosen.plan), chosen.plan.core, chosen.plan.halo, chosen.exact) == (6, 64, 0, True)


def test_smaller_cores_lie_in_the_middle_of_chips_that_reach_outside() -> None:
    chosen = chips(100, 90, tile=40)
    tiles = list(chosen.plan)
    assert len(tiles) == len(chosen.plan) == 9
    assert tiles[0].core == Window(0, 0, 40, 40)
    assert tiles[0].read == Window(-12, -12, 64, 64)
    assert tiles[8].core == Window(80, 80, 20, 10)
    assert tiles[8].read == Window(68, 68, 64, 64)


@pytest.mark.parametrize(
    ("options", "chips_per_pass"),
    [({}, 32), ({"batch_size": 5}, 5), ({"max_memory_mb": 64, "pixel_bytes": 1600.0}, 8)],
)
def test_chips_of_a_pass_stay_within_the_memory(options: dict[str, float], chips_per_pass: int) -> None:
    assert chips(1000, 1000, **options).batch_size == chips_per_pass


def test_one_chip_is_always_taken() -> None:
    assert chips(1000, 1000, max_memory_mb=64, pixel_bytes=1e6).batch_size == 1


def test_tiles_of_a_pass_are_one_or_as_given() -> None:
    assert (layout(500, 500).batch_size, layout(500, 500, batch_size=3).batch_size) == (1, 3)
