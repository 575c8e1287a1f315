"""Tiles are read ahead in another thread, and its errors are not lost."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import MakeScene

from eoseg.errors import DataError
from eoseg.geo.scene import Scene
from eoseg.geo.stack import SceneStack
from eoseg.geo.tiles import Tile, TilePlan, plan_tiles
from eoseg.predict.reader import READ_AHEAD, read_tile, read_tiles

PLAN = plan_tiles(20, 30, core=8, halo=4, stride=4)


@pytest.fixture
def scene(make_scene: MakeScene) -> Iterator[Scene]:
    values = np.arange(1, 601, dtype=np.uint16).reshape(20, 30)
    values[0, 0] = 0
    with Scene(make_scene("s.tif", values, nodata=0)) as opened:
        yield opened


def test_a_pixel_of_a_map_needs_both_dates_of_a_pair_and_any_of_a_series(make_scene: MakeScene) -> None:
    values = np.random.default_rng(0).integers(0, 2, (2, 20, 30)).astype(np.uint8)
    paths = [make_scene(f"{n}.tif", image, nodata=0) for n, image in enumerate(values)]
    with SceneStack(paths) as stack:
        for tile in PLAN:
            known = values[:, *tile.core.slices_in(stack.grid.window)] != 0
            pair, series = read_tile(stack, tile, time="pair"), read_tile(stack, tile, time="series")
            assert pair.image.shape == (2, 1, tile.read.height, tile.read.width)
            np.testing.assert_array_equal(pair.core_valid, known.all(axis=0))
            np.testing.assert_array_equal(series.core_valid, known.any(axis=0))


def reader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("eoseg-reader")]


def test_all_tiles_come_in_their_order(scene: Scene) -> None:
    with read_tiles([scene], enumerate(PLAN)) as tiles:
        found = list(tiles)
    assert [item.tile for item in found] == list(PLAN)
    assert [item.index for item in found] == list(range(len(PLAN)))
    for item in found:
        image, valid = scene.read(item.tile.read)
        np.testing.assert_array_equal(item.image, image)
        np.testing.assert_array_equal(item.valid, valid)


def test_validity_of_the_core_is_cut_from_that_of_the_read(scene: Scene) -> None:
    expected = np.ones((20, 30), bool)
    expected[0, 0] = False
    for tile in PLAN:
        rows, cols = tile.core.slices_in(scene.grid.window)
        np.testing.assert_array_equal(read_tile(scene, tile).core_valid, expected[rows, cols])


@pytest.mark.parametrize("ahead", [READ_AHEAD, 4])
def test_only_a_few_tiles_are_read_ahead(scene: Scene, ahead: int) -> None:
    asked: list[Tile] = []

    def slowly(plan: TilePlan) -> Iterator[Tile]:
        for tile in plan:
            asked.append(tile)
            yield tile

    with read_tiles([scene], enumerate(slowly(PLAN)), ahead=ahead) as tiles:
        next(tiles)
        time.sleep(0.3)
        assert len(asked) == 1 + ahead


def test_the_thread_ends_when_its_tiles_are_not_wanted_any_more(scene: Scene) -> None:
    with read_tiles([scene], enumerate(PLAN)) as tiles:
        next(tiles)
    assert reader_threads() == []


def test_the_thread_ends_when_the_other_side_fails(scene: Scene) -> None:
    with pytest.raises(KeyError), read_tiles([scene], enumerate(PLAN)) as tiles:
        raise KeyError(next(tiles).index)
    assert reader_threads() == []


def test_an_error_of_the_thread_is_raised_with_its_own_words(make_scene: MakeScene) -> None:
    values = np.random.default_rng(0).integers(0, 255, (512, 512), dtype=np.uint8)
    path = make_scene("s.tif", values, tiled=True, blockxsize=128, blockysize=128, compress="deflate")
    path.write_bytes(path.read_bytes()[:150_000])
    with (
        Scene(path) as scene,
        pytest.raises(DataError, match=r"s\.tif' cannot be read at rows .* may be truncated"),
        read_tiles([scene], enumerate(plan_tiles(512, 512, core=128, halo=0, stride=1))) as tiles,
    ):
        list(tiles)
