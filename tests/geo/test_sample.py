"""A sample of a scene's values."""

import numpy as np
from conftest import MakeScene

from eoseg.geo.sample import sample_scene
from eoseg.geo.scene import Scene


def test_a_small_scene_is_sampled_whole(make_scene: MakeScene) -> None:
    values = np.arange(2 * 70 * 130, dtype=np.uint16).reshape(2, 70, 130)
    with Scene(make_scene("s.tif", values)) as scene:
        sample = sample_scene(scene)
    assert sample.complete
    assert sample.valid_share == 1
    np.testing.assert_array_equal(np.sort(sample.values), values.reshape(2, -1))


def test_a_large_scene_is_sampled_in_all_its_parts(make_scene: MakeScene) -> None:
    rows, cols = np.mgrid[:1200, :1000]
    values = (rows // 150 * 8 + cols // 125).astype(np.uint8)  # 8 x 8 fields
    with Scene(make_scene("s.tif", values)) as scene:
        sample = sample_scene(scene)
        again = sample_scene(scene)
    assert not sample.complete
    assert sample.values.shape == (1, 64 * 64 * 64)
    assert set(np.unique(sample.values)) == set(range(64))
    np.testing.assert_array_equal(sample.values, again.values)


def test_the_seed_moves_the_windows(make_scene: MakeScene) -> None:
    with Scene(make_scene("s.tif", np.arange(10**6, dtype=np.int32).reshape(1000, 1000))) as scene:
        first, second = sample_scene(scene), sample_scene(scene, seed=1)
    assert (first.values != second.values).any()


def test_invalid_pixels_are_counted_and_left_out(make_scene: MakeScene) -> None:
    values = np.ones((10, 10), np.uint8)
    values[:4] = 0
    with Scene(make_scene("s.tif", values, nodata=0)) as scene:
        sample = sample_scene(scene)
    assert sample.valid_share == 0.6
    assert sample.values.shape == (1, 60)


def test_a_scene_without_values_gives_none(make_scene: MakeScene) -> None:
    with Scene(make_scene("s.tif", np.zeros((10, 10), np.uint8), nodata=0)) as scene:
        sample = sample_scene(scene)
    assert sample.valid_share == 0
    assert sample.values.shape == (1, 0)
