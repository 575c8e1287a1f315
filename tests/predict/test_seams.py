"""How much a map depends on where its tiles lie."""

import numpy as np
import pytest
import torch
from conftest import MakeScene
from predict_factory import Brightness, Convolutions, Global, make_network, make_recipe, smooth_noise
from torch import nn

from eoseg.geo.parts import Parts
from eoseg.geo.scene import Scene
from eoseg.geo.share import Share
from eoseg.geo.tiles import TilePlan, plan_tiles
from eoseg.predict.classifier import Classifier
from eoseg.predict.options import Disagreement
from eoseg.predict.products import ClassProduct
from eoseg.predict.reader import read_tile
from eoseg.predict.seams import measure_disagreement, sample_indices

IMAGE = smooth_noise(200, 200)


def measure(
    make_scene: MakeScene, body: nn.Module, plan: TilePlan, *, nodata: float | None = None
) -> Disagreement | None:
    product = ClassProduct(make_recipe().schema.classes)
    classifier = Classifier(make_network(body), product, device=torch.device("cpu"))
    path = make_scene("s.tif", IMAGE, nodata=nodata)
    with Scene(path) as scene:
        parts = Parts(
            path.with_name("m.tif"), scene.grid, product.layers(), plan, fingerprint={}, overwrite=True
        )
        with Share(parts, 0) as share:
            for index in sample_indices(plan):
                share.write(index, classifier.classify([read_tile(scene, plan.tile(index))])[0].layers)
        return measure_disagreement(scene, plan, classifier, parts)


def test_a_network_with_enough_context_does_not_depend_on_its_tiles(make_scene: MakeScene) -> None:
    found = measure(make_scene, Convolutions(3), plan_tiles(200, 200, core=50, halo=3, stride=1))
    assert found is not None
    assert found.pixels > 1000
    assert found.differing == 0


@pytest.mark.parametrize("body", [Global(), Convolutions(8)])
def test_a_network_with_too_little_context_does(make_scene: MakeScene, body: nn.Module) -> None:
    found = measure(make_scene, body, plan_tiles(200, 200, core=50, halo=0, stride=1))
    assert found is not None
    assert found.share > 0.01


def test_only_valid_pixels_are_compared(make_scene: MakeScene) -> None:
    plan = plan_tiles(200, 200, core=100, halo=0, stride=1)
    every = measure(make_scene, Brightness(), plan)
    some = measure(make_scene, Brightness(), plan, nodata=int(np.median(IMAGE)))
    assert every is not None
    assert some is not None
    assert 0 < some.pixels < every.pixels


def test_tiles_of_a_single_stride_cannot_be_compared(make_scene: MakeScene) -> None:
    plan = plan_tiles(200, 200, core=50, halo=0, stride=50)
    assert measure(make_scene, Brightness(), plan) is None


def test_a_scene_of_one_row_of_tiles_is_compared_along_it(make_scene: MakeScene) -> None:
    plan = plan_tiles(10, 200, core=50, halo=0, stride=1)
    found = measure(make_scene, Global(), plan)
    assert found is not None
    assert found.differing > 0


@pytest.mark.parametrize("size", [1, 90, 200, 5000])
def test_the_sample_is_a_few_tiles_of_the_plan(size: int) -> None:
    plan = plan_tiles(size, size, core=50, halo=0, stride=1)
    indices = sample_indices(plan)
    assert 1 <= len(indices) <= 4
    assert all(0 <= index < len(plan) for index in indices)
