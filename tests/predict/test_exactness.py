"""The promise: a map made of tiles is the network's result on the whole scene."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from predict_factory import (
    BANDS,
    Convolutions,
    PairConvolutions,
    Pooled,
    SeriesConvolutions,
    make_network,
    make_recipe,
    smooth_noise,
    whole_image,
    whole_logits,
)
from torch import nn

from eoseg.models import build_network
from eoseg.models.change import fc_ef
from eoseg.models.change_baselines import image_differencing
from eoseg.models.classical import PIXEL_MODELS, SERIES_MODELS
from eoseg.models.dimensions import Dimensions
from eoseg.models.network import Network
from eoseg.models.series import ltae, tempcnn
from eoseg.models.series_dense import convlstm
from eoseg.predict import Prediction, PredictOptions, predict_scene
from eoseg.recipe import Time


def differing(path: Path, network: Network, **options: object) -> tuple[int, Prediction]:
    """How many pixels of a map differ from the whole-image result.

    A convolution adds in another order on arrays of another size. Where the two best classes tie within the
    rounding of float32, either may win, depending on the processor; such pixels are left out, and rare.
    """
    recipe = make_recipe(stride=network.output_stride)
    out = path.with_name("map.tif")
    prediction = predict_scene(
        network, recipe, str(path), out, options=PredictOptions(overwrite=True, **options)
    )
    with rasterio.open(path) as scene, rasterio.open(out) as found:
        logits = whole_logits(network, scene.read(), np.ones(scene.shape, bool))
        differs = found.read(1) != logits.argmax(dim=0).numpy()
    best, second = logits.topk(2, dim=0).values
    ties = (best - second <= 1e-5 * logits.abs().max()).numpy()
    assert ties.mean() < 1e-3
    return int((differs & ~ties).sum()), prediction


SIZES = [(10, 10), (64, 64), (65, 64), (97, 131), (200, 150)]


@pytest.mark.parametrize("tile", [16, 32, 64])
@pytest.mark.parametrize("size", SIZES)
def test_convolutions_of_known_reach_are_exact(
    make_scene: MakeScene, size: tuple[int, int], tile: int
) -> None:
    path = make_scene("s.tif", smooth_noise(*size), names=BANDS)
    wrong, prediction = differing(path, make_network(Convolutions(6)), tile=tile)
    assert wrong == 0
    assert (prediction.halo, prediction.exact) == (6, True)
    wrong, prediction = differing(path, make_network(Pooled(), stride=2), tile=tile)
    assert wrong == 0
    assert prediction.exact


def test_one_pixel_of_halo_less_is_not_exact(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", smooth_noise(400, 400), names=BANDS)
    network = make_network(Convolutions(3))
    assert differing(path, network, tile=16, halo=3)[0] == 0
    wrong, prediction = differing(path, network, tile=16, halo=2)
    assert wrong > 0
    assert not prediction.exact


def calibrated_unet(encoder: str) -> Network:
    """Random weights, with the statistics of batch normalisation taken from an image."""
    torch.manual_seed(0)
    network = build_network("unet", bands=BANDS, num_classes=4, encoder=encoder)
    network.normalize.set_statistics(make_recipe().statistics)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    image = torch.from_numpy(smooth_noise(128, 128, seed=1)[None].astype(np.float32))
    network.train()
    with torch.no_grad():
        network(image.expand(2, -1, -1, -1), torch.ones(2, 128, 128, dtype=torch.bool))
    return network.eval()


@pytest.fixture(scope="module")
def resnet34() -> Network:
    return calibrated_unet("resnet34")


# Narrow scenes, so that reads end inside them on both sides: a wide one would take minutes.
@pytest.mark.slow
@pytest.mark.parametrize("size", [(10, 10), (129, 128), (200, 310), (40, 1301), (1500, 33)])
def test_a_unet_over_resnet34_is_exact(
    make_scene: MakeScene, resnet34: Network, size: tuple[int, int]
) -> None:
    path = make_scene("s.tif", smooth_noise(*size), names=BANDS)
    for tile in (128, 256, 512):
        wrong, prediction = differing(path, resnet34, tile=tile)
        assert wrong == 0, f"tile {tile}"
        assert prediction.exact
        assert prediction.halo == 544


@pytest.mark.slow
def test_a_unet_over_resnet34_is_not_exact_with_a_small_halo(
    make_scene: MakeScene, resnet34: Network
) -> None:
    path = make_scene("s.tif", smooth_noise(40, 1301), names=BANDS)
    wrong, prediction = differing(path, resnet34, tile=128, halo=64)
    assert wrong > 0
    assert not prediction.exact
    assert prediction.disagreement is not None
    assert prediction.disagreement.differing > 0


@pytest.mark.parametrize("tile", [32, 96])
def test_a_shallow_unet_needs_its_halo(make_scene: MakeScene, tile: int) -> None:
    torch.manual_seed(0)
    network = build_network("unet", bands=BANDS, num_classes=4, encoder="resnet18", args={"depth": 3})
    network.normalize.set_statistics(make_recipe().statistics)
    network.eval()
    path = make_scene("s.tif", smooth_noise(257, 300), names=BANDS)
    wrong, prediction = differing(path, network, tile=tile)
    assert (wrong, prediction.exact) == (0, True)
    assert prediction.halo < 100
    assert differing(path, network, tile=tile, halo=0)[0] > 0


def differing_of_dates(
    make_scene: MakeScene, network: Network, *, dates: int, size: tuple[int, int], **options: object
) -> tuple[int, Prediction]:
    """As `differing`, for dates with gaps that are not the same on all of them."""
    time: Time = "pair" if network.kind == "change" else "series"
    recipe = make_recipe(time=time, steps=dates, stride=network.output_stride)
    images = np.stack([smooth_noise(*size, seed=seed).clip(1) for seed in range(dates)])
    paths = []
    for date, image in enumerate(images):
        image[:, date * 9 : date * 9 + 30, 5:40] = 0
        name = f"s_2021-0{date + 1}-01.tif"
        paths.append(make_scene(name, image, names=BANDS, nodata=0))
    out = paths[0].with_name("map.tif")
    prediction = predict_scene(
        network, recipe, list(map(str, paths)), out, options=PredictOptions(overwrite=True, **options)
    )
    valid = (images != 0).all(axis=1)
    days = [1.0, 32.0, 60.0, 91.0][:dates] if network.kind == "series" else None
    logits = whole_logits(network, images, valid, days)
    best, second = logits.topk(2, dim=0).values
    ties = (best - second <= 1e-5 * logits.abs().max()).numpy()
    known = valid.all(axis=0) if time == "pair" else valid.any(axis=0)
    assert (ties & known).mean() < 1e-3
    with rasterio.open(out) as dataset:
        found = dataset.read(1)
    np.testing.assert_array_equal(found != 255, known)
    return int(((found != logits.argmax(dim=0).numpy()) & known & ~ties).sum()), prediction


@pytest.mark.parametrize("tile", [16, 64])
@pytest.mark.parametrize("size", [(41, 30), (97, 131)])
def test_change_is_exact_and_needs_its_halo(make_scene: MakeScene, size: tuple[int, int], tile: int) -> None:
    network = make_network(PairConvolutions(4), recipe=make_recipe(time="pair", steps=2))
    wrong, prediction = differing_of_dates(make_scene, network, dates=2, size=size, tile=tile)
    assert (wrong, prediction.exact, prediction.halo) == (0, True, 4)
    if tile == 16:
        wrong, prediction = differing_of_dates(make_scene, network, dates=2, size=size, tile=tile, halo=1)
        assert wrong > 0
        assert not prediction.exact


@pytest.mark.parametrize("dates", [1, 3, 4])
def test_a_series_is_exact_and_needs_its_halo(make_scene: MakeScene, dates: int) -> None:
    network = make_network(SeriesConvolutions(4), recipe=make_recipe(time="series", steps=dates))
    wrong, prediction = differing_of_dates(make_scene, network, dates=dates, size=(97, 60), tile=16)
    assert (wrong, prediction.exact, prediction.halo) == (0, True, 4)
    wrong, prediction = differing_of_dates(make_scene, network, dates=dates, size=(97, 60), tile=16, halo=1)
    assert wrong > 0
    assert not prediction.exact


def dated_network(make: Callable[..., nn.Module], time: Time, *, steps: int, **options: int) -> Network:
    """A model of eoseg with random weights."""
    torch.manual_seed(0)
    body = make(Dimensions(len(BANDS), 4, steps=steps), **options)
    stride = body.output_stride
    return make_network(body, stride=stride, recipe=make_recipe(time=time, steps=steps, stride=stride))


def test_the_early_fusion_network_is_exact(make_scene: MakeScene) -> None:
    network = dated_network(fc_ef, "pair", steps=2, width=4)
    wrong, prediction = differing_of_dates(make_scene, network, dates=2, size=(200, 130), tile=48)
    assert (wrong, prediction.exact) == (0, True)
    assert prediction.tiles == 15


@pytest.mark.parametrize("make", [ltae, tempcnn])
def test_series_of_pixels_are_exact_without_halo(
    make_scene: MakeScene, make: Callable[..., nn.Module]
) -> None:
    network = dated_network(make, "series", steps=4)
    wrong, prediction = differing_of_dates(make_scene, network, dates=4, size=(70, 45), tile=32)
    assert (wrong, prediction.exact, prediction.halo) == (0, True, 0)


def test_a_dense_network_of_series_is_exact(make_scene: MakeScene) -> None:
    network = dated_network(convlstm, "series", steps=3, hidden=4)
    wrong, prediction = differing_of_dates(make_scene, network, dates=3, size=(70, 45), tile=32)
    assert (wrong, prediction.exact) == (0, True)
    assert prediction.tiles > 1


def fitted(network: Network, dates: tuple[int, ...]) -> Network:
    """Fitted to noise in which the class is how bright the first band of the last date is."""
    values = torch.from_numpy(smooth_noise(60, 60, bands=3 * int(np.prod(dates)), seed=9))
    image = values.unflatten(0, (*dates, 3))[None].float()  # (1, [T,] 3, H, W)
    bright = image[0, 0] if not dates else image[0, -1, 0]
    valid = torch.ones((1, *dates, 60, 60), dtype=torch.bool)
    days = torch.linspace(1, 300, dates[0])[None] if network.kind == "series" else None
    target = (bright // 64).long()[None]
    network.body.collect(network.prepare(image, valid), valid, target, days=days)
    network.body.fit()
    return network


def test_differences_of_a_window_are_exact(make_scene: MakeScene) -> None:
    recipe = make_recipe(time="pair", steps=2)
    body = image_differencing(Dimensions(len(BANDS), 2, steps=2), window=7)
    network = fitted(make_network(body, recipe=recipe), (2,))
    recipe = make_recipe(time="pair", steps=2, classes=("same", "changed"))
    images = np.stack([smooth_noise(50, 70, seed=seed) for seed in range(2)])
    paths = [make_scene(f"{n}.tif", image, names=BANDS) for n, image in enumerate(images)]
    out = paths[0].with_name("map.tif")
    options = PredictOptions(tile=16)
    prediction = predict_scene(network, recipe, list(map(str, paths)), out, options=options)
    assert (prediction.exact, prediction.halo) == (True, 3)
    expected = whole_logits(network, images, np.ones((2, 50, 70), bool)).argmax(dim=0)
    with rasterio.open(out) as dataset:
        np.testing.assert_array_equal(dataset.read(1), expected)
    assert 0 < expected.float().mean() < 1


@pytest.mark.parametrize("features", ["bands", "texture"])
def test_a_forest_is_exact(make_scene: MakeScene, features: str) -> None:
    body = PIXEL_MODELS["random_forest"](Dimensions(len(BANDS), 4), trees=5, features=features)
    network = fitted(make_network(body), ())
    image = smooth_noise(60, 50)
    path = make_scene("s.tif", image, names=BANDS)
    for tile in (16, 37):
        options = PredictOptions(tile=tile, overwrite=True)
        prediction = predict_scene(
            network, make_recipe(), str(path), path.with_name("map.tif"), options=options
        )
        assert (prediction.exact, prediction.halo) == (True, body.halo)
        with rasterio.open(prediction.path) as dataset:  # its trees often tie, always in the same way
            np.testing.assert_array_equal(dataset.read(1), whole_image(network, image))
    assert (body.halo > 0) == (features == "texture")


def test_a_forest_of_series_is_exact(make_scene: MakeScene) -> None:
    body = SERIES_MODELS["random_forest"](Dimensions(len(BANDS), 4, steps=3), trees=5)
    network = fitted(make_network(body, recipe=make_recipe(time="series", steps=3)), (3,))
    wrong, prediction = differing_of_dates(make_scene, network, dates=3, size=(60, 45), tile=16)
    assert (wrong, prediction.exact, prediction.halo) == (0, True, 0)
