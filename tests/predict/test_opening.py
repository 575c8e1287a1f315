"""Scenes are opened as often as they are read, at the pixel size of the training."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeScene
from predict_factory import BANDS, make_recipe, smooth_noise

from eoseg.geo.scene import Scene
from eoseg.predict.dated import find_rasters, match_rasters
from eoseg.predict.opening import Opened, open_scene
from eoseg.predict.options import PredictOptions

IMAGE = smooth_noise(40, 60)


def opened(stack: ExitStack, path: Path, *, metres: float | None, readers: int = 2) -> Opened:
    recipe, options = make_recipe(pixel_metres=metres), PredictOptions()
    matched = match_rasters(find_rasters(str(path), "single"), recipe, options)
    return open_scene(stack, matched, recipe, options, readers=readers)


@pytest.mark.parametrize("metres", [None, 10.0])
def test_a_scene_of_the_training_s_pixels_is_read_as_it_is(
    make_scene: MakeScene, metres: float | None
) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    with ExitStack() as stack:
        found = opened(stack, path, metres=metres)
        assert (found.home, found.pixel_size, found.scenes[0]) == (None, None, found.own)
        assert len({id(scene) for scene in found.scenes}) == 2
        np.testing.assert_array_equal(found.scenes[1].read(found.own.grid.window)[0], IMAGE)


def test_a_scene_of_other_pixels_is_read_at_the_training_s(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    with ExitStack() as stack:
        found = opened(stack, path, metres=20.0)
        assert isinstance(found.own, Scene)
        assert (found.own.grid.height, found.own.grid.width) == (40, 60)
        assert {(scene.grid.height, scene.grid.width) for scene in found.scenes} == {(20, 30)}
        assert found.home is not None
        assert found.home.grid == found.own.grid
        assert found.pixel_size == 20.0
        assert "20 m" in found.notices[-1]
