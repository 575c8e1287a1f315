"""How much a map depends on where its tiles lie."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import MakeScene
from predict_factory import BANDS, Brightness, Convolutions, Global, make_network, make_recipe, smooth_noise
from torch import Tensor, nn

from eoseg.geo.parts import Parts
from eoseg.geo.scene import Scene
from eoseg.geo.share import Share
from eoseg.geo.tiles import TilePlan, plan_tiles
from eoseg.geo.window import Window
from eoseg.predict import Disagreement, PredictOptions, SeamLine, SeamSample, predict_scene
from eoseg.predict.blend import Blender, overlap_of
from eoseg.predict.classifier import Classifier
from eoseg.predict.plan import Layout
from eoseg.predict.products import ClassProduct
from eoseg.predict.reader import read_tile
from eoseg.predict.seams import measure_disagreement, read_map, sample_windows

IMAGE = smooth_noise(200, 200)


def classifier_of(body: nn.Module) -> Classifier:
    product = ClassProduct(make_recipe().schema.classes)
    return Classifier([make_network(body)], product, device=torch.device("cpu"))


def map_of(scene: Scene, plan: TilePlan, overlap: int, classifier: Classifier) -> np.ndarray:
    """The whole map, made of all tiles at once."""
    (window,) = windows = [Window(0, 0, plan.height, plan.width)]
    blender, product = Blender(plan, overlap, windows), classifier.product
    for index in blender.tiles:
        (logits,) = classifier.logits([read_tile(scene, blender.tile(index))])
        done = blender.add(index, product.scores(logits) if overlap else logits)
    average = done[0][1]
    assert average is not None
    _, valid = scene.read(window)
    return product.decode(product.logits(average) if overlap else average, valid)[0]


def measure(
    make_scene: MakeScene,
    body: nn.Module,
    plan: TilePlan,
    *,
    nodata: float | None = None,
    count: int | None = None,
    shares: int = 1,
    blend: bool = False,
    noise: int | None = None,
) -> Disagreement | None:
    """Write a map into parts and compare it; every other pixel of a row may be made wrong."""
    classifier = classifier_of(body)
    path = make_scene("s.tif", IMAGE[:, : plan.height, : plan.width], nodata=nodata)
    layout = Layout(plan, 1, False, "", overlap=overlap_of(plan) if blend else 0)
    with Scene(path) as scene:
        layers = classifier.product.layers()
        parts = Parts(
            path.with_name("m.tif"),
            scene.grid,
            layers,
            plan,
            fingerprint={"nodata": f"{nodata}"},
            shares=shares,
            overwrite=True,
        )
        values = map_of(scene, plan, layout.overlap, classifier)
        if noise is not None:
            values[noise, ::2] = (values[noise, ::2] + 1) % 4
        for number in range(shares):
            with Share(parts, number) as share:
                for index in list(share.pending):
                    core = plan.tile(index).core
                    share.write(index, (values[core.slices_in(Window(0, 0, 1, 1))],))
        np.testing.assert_array_equal(read_map(parts, Window(30, 20, 120, 150))[0], values[30:150, 20:170])
        return measure_disagreement(scene, layout, classifier, parts, count=count)


def test_a_network_with_enough_context_does_not_depend_on_its_tiles(make_scene: MakeScene) -> None:
    found = measure(make_scene, Convolutions(3), plan_tiles(200, 200, core=50, halo=3, stride=1))
    assert found is not None
    assert found.pixels > 1000
    assert (found.differing, found.worst, found.near_share) == (0, None, 0)


@pytest.mark.parametrize("blend", [True, False])
@pytest.mark.parametrize("body", [Global(), Convolutions(8)])
def test_a_network_with_too_little_context_does(make_scene: MakeScene, body: nn.Module, blend: bool) -> None:
    plan = plan_tiles(200, 200, core=50, halo=1, stride=1)
    found = measure(make_scene, body, plan, blend=blend, count=16)
    assert found is not None
    assert found.share > 0.001
    assert found.near_px == 1
    assert found.worst is not None
    assert found.worst.share >= found.share


@pytest.mark.parametrize("shares", [1, 3])
@pytest.mark.parametrize("blend", [True, False])
def test_all_of_a_map_compared_is_the_share_of_pixels_that_differ_on_a_shifted_lattice(
    make_scene: MakeScene, blend: bool, shares: int
) -> None:
    plan = plan_tiles(200, 200, core=50, halo=30, stride=1)
    overlap = overlap_of(plan) if blend else 0
    found = measure(make_scene, Global(), plan, count=16, blend=blend, shares=shares)
    assert found is not None
    classifier, shifted = classifier_of(Global()), plan.shifted()
    assert shifted is not None
    with Scene(make_scene("t.tif", IMAGE)) as scene:
        first, second = (map_of(scene, each, overlap, classifier) for each in (plan, shifted))
    differs = first != second
    assert (found.pixels, found.differing) == (200 * 200, differs.sum())
    for sample in found.samples:
        np.testing.assert_array_equal(sample.differs, differs[sample.window.slices_in(Window(0, 0, 1, 1))])


@pytest.mark.parametrize("row", [60, 63])
def test_where_pixels_differ_is_told(make_scene: MakeScene, row: int) -> None:
    plan = plan_tiles(200, 200, core=64, halo=3, stride=1)
    found = measure(make_scene, Convolutions(3), plan, count=16, noise=row)
    assert found is not None
    assert found.worst == SeamLine("row", row, 0.5)
    assert found.near_px == 2
    if row == 63:  # at the border at row 64
        assert found.near_differing == found.differing > 0
        assert found.inner_share == 0
    else:
        assert found.inner_share > found.near_share


class Undecided(nn.Module):
    """All classes are equally likely, up to less than float32 tells, by where the tile lies."""

    def forward(self, image: Tensor) -> Tensor:
        rows = torch.arange(image.shape[2]).view(1, 1, -1, 1) % 2
        logits = image.new_zeros(len(image), 4, *image.shape[2:])
        logits[:, 1:2] += 1e-6 * rows
        return logits


def test_ties_are_told_apart(make_scene: MakeScene) -> None:
    found = measure(make_scene, Undecided(), plan_tiles(200, 200, core=50, halo=0, stride=1))
    assert found is not None
    assert found.differing == found.ties > 0


def test_only_valid_pixels_are_compared(make_scene: MakeScene) -> None:
    plan = plan_tiles(200, 200, core=100, halo=0, stride=1)
    every = measure(make_scene, Brightness(), plan)
    some = measure(make_scene, Brightness(), plan, nodata=int(np.median(IMAGE)))
    assert every is not None
    assert some is not None
    assert 0 < some.pixels < every.pixels
    assert some.differing == 0


@pytest.mark.parametrize("plan", [(50, 50), (200, 1)])
def test_a_single_tile_or_a_single_stride_cannot_be_compared(
    make_scene: MakeScene, plan: tuple[int, int]
) -> None:
    core, stride = plan
    found = measure(make_scene, Brightness(), plan_tiles(200, 200, core=core, halo=0, stride=stride), count=9)
    assert found is None


def test_a_scene_of_one_row_of_tiles_is_compared_along_it(make_scene: MakeScene) -> None:
    classifier = classifier_of(Global())
    path, plan = make_scene("s.tif", IMAGE[:, :10]), plan_tiles(10, 200, core=50, halo=0, stride=1)
    layout = Layout(plan, 1, False, "")
    with Scene(path) as scene:
        layers = classifier.product.layers()
        parts = Parts(path.with_name("m.tif"), scene.grid, layers, plan, fingerprint={})
        with Share(parts, 0) as share:
            for index in list(share.pending):
                share.write(index, classifier.classify([read_tile(scene, plan.tile(index), index)])[0].layers)
        found = measure_disagreement(scene, layout, classifier, parts)
    assert found is not None
    assert found.differing > 0
    assert {sample.window.height for sample in found.samples} == {10}


@pytest.mark.parametrize("overlap", [0, 25])
@pytest.mark.parametrize(("size", "count"), [(1, None), (90, None), (200, 3), (200, 100), (5000, 9)])
def test_the_sample_is_some_parts_of_the_map(size: int, count: int | None, overlap: int) -> None:
    plan = plan_tiles(size, size, core=50, halo=25, stride=1)
    windows = sample_windows(plan, overlap, count)
    assert len(windows) == len(set(windows)) == min(count or 2, len(plan))
    scene = Window(0, 0, size, size)
    assert all(scene.contains(window) for window in windows)
    if len(windows) < len(plan):
        assert {(window.height, window.width) for window in windows} == {(50, 50)}


def test_many_tiles_are_sampled_more_often() -> None:
    assert len(sample_windows(plan_tiles(5000, 5000, core=50, halo=0, stride=1), 0)) == 4


def test_seams_of_an_exact_map_are_checked_when_asked_for(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    network, recipe = make_network(Convolutions(3)), make_recipe()
    unasked = PredictOptions(tile=48)
    made = predict_scene(network, recipe, str(path), path.with_name("a.tif"), options=unasked)
    assert made.disagreement is None
    asked = replace(unasked, check_seams=5)
    found = predict_scene(network, recipe, str(path), path.with_name("b.tif"), options=asked).disagreement
    assert found is not None
    assert (len(found.samples), found.pixels) == (5, 5 * 48 * 48)
    assert found.differing - found.ties == 0


def test_the_worst_line_is_of_the_scene() -> None:
    from eoseg.predict.seams import _worst_line

    known, differs = np.ones((4, 6), bool), np.zeros((4, 6), bool)
    differs[:3, 2] = True
    nothing = np.zeros((1, 4, 6), np.uint8)
    sample = SeamSample(Window(10, 20, 4, 6), nothing, nothing, known, differs, ((), ()), ((), ()))
    assert _worst_line([sample]) == SeamLine("column", 22, 0.75)
