from pathlib import Path

import numpy as np
import pytest
from conftest import write_scene
from task_worlds import make_schema, make_statistics

from eoseg.errors import BandError, ConfigError
from eoseg.predict.several import grid_of, match_each, require_scenes
from eoseg.predict.suggest import SuggestOptions
from eoseg.recipe import Recipe

SCHEMA = make_schema()
RECIPE = Recipe("SegmentationTask", SCHEMA, make_statistics(SCHEMA), {"arch": "unet"}, 16, 1, {})


def test_no_scene_and_one_that_is_given_twice_are_refused() -> None:
    require_scenes(["a.tif", "b.tif"])
    with pytest.raises(ConfigError, match="No scene was given"):
        require_scenes([])
    with pytest.raises(ConfigError, match="'b.tif' is given twice"):
        require_scenes(["b.tif", "a.tif", "b.tif"])


def test_each_scene_is_matched_as_the_options_say(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        values = np.random.default_rng(number).normal(0, 1, (2, 20, 30 + number)).astype(np.float32)
        paths.append(str(write_scene(tmp_path / f"{number}.tif", values)))
    with pytest.raises(BandError):
        match_each(paths, RECIPE, SuggestOptions())
    matched = match_each(paths, RECIPE, SuggestOptions(bands=("y", "x")))
    assert [scene.path for scene in matched] == paths
    assert [(grid_of(scene).height, grid_of(scene).width) for scene in matched] == [(20, 30), (20, 31)]
