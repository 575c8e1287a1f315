"""The promise: a map made of tiles is the network's result on the whole scene."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from predict_factory import (
    BANDS,
    Convolutions,
    Pooled,
    make_network,
    make_recipe,
    smooth_noise,
    whole_logits,
)

from eoseg.models import build_network
from eoseg.models.network import Network
from eoseg.predict import Prediction, PredictOptions, predict_scene


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
