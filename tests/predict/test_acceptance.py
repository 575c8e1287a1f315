"""What was found to go wrong elsewhere, and must not here: borders, odd sizes, gaps, waiting, memory."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from predict_factory import (
    BANDS,
    Brightness,
    Constant,
    Convolutions,
    Pooled,
    make_network,
    make_recipe,
    smooth_noise,
    whole_image,
)
from rio_cogeo import cog_validate
from torch import nn

from eoseg.geo import cog, overviews
from eoseg.geo.scene import Scene
from eoseg.geo.share import Share
from eoseg.models import build_network
from eoseg.predict import Prediction, PredictOptions, match, predict_scene
from eoseg.predict.classifier import Classifier
from eoseg.predict.receptive import network_context


def predict(path: Path, body: nn.Module, *, stride: int = 1, **options: object) -> Prediction:
    recipe = make_recipe(stride=stride)
    network = make_network(body, stride=stride, recipe=recipe)
    return predict_scene(
        network, recipe, str(path), path.with_name("map.tif"), options=PredictOptions(**options)
    )


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.mark.parametrize("size", [(1, 150), (150, 1), (1, 1), (2, 90)])
def test_a_line_of_pixels_is_a_scene_too(make_scene: MakeScene, size: tuple[int, int]) -> None:
    image = smooth_noise(*size)
    path = make_scene("s.tif", image, names=BANDS)
    for body, stride in ((Convolutions(3), 1), (Pooled(), 2)):
        network = make_network(body, stride=stride)
        prediction = predict(path, body, stride=stride, tile=32, overwrite=True)
        np.testing.assert_array_equal(read(prediction.path), whole_image(network, image))
        assert prediction.exact
        assert prediction.tiles == -(-max(size) // 32)
    if min(size) > 1:  # the validator tells overviews by their width
        assert cog_validate(prediction.path, strict=True) == (True, [], [])


@pytest.mark.parametrize("halo", [0, 8, "auto"])
@pytest.mark.parametrize("size", [(64, 64), (65, 64), (97, 131), (20, 300)])
def test_a_constant_network_gives_a_constant_map_with_any_halo(
    make_scene: MakeScene, size: tuple[int, int], halo: int | str
) -> None:
    path = make_scene("s.tif", smooth_noise(*size), names=BANDS)
    prediction = predict(path, Constant(), stride=8, tile=32, halo=halo)
    assert (read(prediction.path) == 2).all()
    assert prediction.valid_pixels == size[0] * size[1]


def test_nan_that_is_declared_is_nodata(make_scene: MakeScene) -> None:
    values = smooth_noise(40, 50).astype(np.float32)
    values[:, 10:20] = np.nan
    path = make_scene("s.tif", values, names=BANDS, nodata=np.nan)
    recipe = make_recipe(dtype="float32")
    prediction = predict_scene(make_network(Brightness()), recipe, str(path), path.with_name("map.tif"))
    np.testing.assert_array_equal(read(prediction.path) == 255, np.isnan(values[0]))


def test_a_dark_tile_is_scaled_like_any_other(make_scene: MakeScene) -> None:
    """No decision hangs on what a tile holds: its largest value here is 1."""
    image = smooth_noise(64, 96)
    image[:, :32, :32] = np.arange(32) % 2
    prediction = predict(make_scene("s.tif", image, names=BANDS), Brightness(), tile=32, halo=0)
    classes = read(prediction.path)
    np.testing.assert_array_equal(classes, whole_image(make_network(Brightness()), image))
    assert (classes[:32, :32] == 0).all()


def test_reading_computing_and_writing_happen_at_the_same_time(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 50 ms a tile. On a quiet machine the whole takes 1.1 times the longest of the three.

    Where others use the cores all becomes longer, so what is compared is the time of the three together: in
    turn they would take all of it, and with one of them in turn more than 0.66.
    """
    took = dict.fromkeys(("read", "compute", "write"), 0.0)

    def slowed[**P, T](name: str, call: Callable[P, T]) -> Callable[P, T]:
        def slow(*arguments: P.args, **options: P.kwargs) -> T:
            started = time.perf_counter()
            time.sleep(0.05)
            result = call(*arguments, **options)
            took[name] += time.perf_counter() - started
            return result

        return slow

    path = make_scene("s.tif", smooth_noise(16 * 4, 16 * 4), names=BANDS)
    monkeypatch.setattr(match, "range_misfit", lambda scene, recipe: None)
    monkeypatch.setattr(Scene, "read", slowed("read", Scene.read))
    monkeypatch.setattr(Classifier, "classify", slowed("compute", Classifier.classify))
    monkeypatch.setattr(Share, "write", slowed("write", Share.write))
    prediction = predict(path, Brightness(), tile=16, halo=0, precision="float32")
    assert prediction.tiles == 16
    assert min(took.values()) >= 16 * 0.05
    times = prediction.times
    assert times.read + times.compute + times.write < 0.6 * sum(took.values())


def test_memory_does_not_grow_with_the_scene(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of arrays, which would show any accumulator over the scene; GDAL's cache is bounded by itself."""
    for module in (cog, overviews):  # what is compared or halved at a time: else some megabytes
        monkeypatch.setattr(module, "_STRIP_BYTES", 2**18)
    monkeypatch.setattr(match, "range_misfit", lambda scene, recipe: None)  # of a sample, at most 512 px
    peaks = []
    for size in (640, 1280):
        path = make_scene("s.tif", smooth_noise(size, size), names=BANDS, tiled=True)
        tracemalloc.start()
        try:
            predict(path, Brightness(), tile=320, halo=0, overwrite=True)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "encoder"), [("deeplabv3plus", "resnet18"), ("segformer", "mit_b0"), ("upernet", "resnet18")]
)
def test_networks_with_global_context_are_told_from_others(arch: str, encoder: str) -> None:
    torch.manual_seed(0)
    network = build_network(arch, bands=BANDS, num_classes=4, encoder=encoder)
    network.normalize.set_statistics(make_recipe().statistics)
    context = network_context(network.eval())
    assert (context.exact, context.halo) == (False, None)
    assert "global context" in context.reason
