"""Networks with global context of each kind are found out, blended, and honestly reported."""

from collections.abc import Callable

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from conftest import MakeScene
from predict_factory import BANDS, make_network, make_recipe, smooth_noise
from torch import nn

from eoseg.models.architectures import deeplabv3plus, segformer
from eoseg.models.dimensions import Dimensions
from eoseg.predict import Disagreement, PredictOptions, predict_scene

SIZE, TILE, HALO = 320, 64, 32


def group_norm() -> nn.Module:
    """An FPN, whose decoder has GroupNorm."""
    return smp.FPN("resnet18", encoder_weights=None, classes=4, decoder_segmentation_channels=32)


def pooling() -> nn.Module:
    return deeplabv3plus(Dimensions(len(BANDS), 4), encoder="resnet18", channels=32)


def attention() -> nn.Module:
    return segformer(Dimensions(len(BANDS), 4), encoder="mit_b0", channels=32)


def calibrated(body: nn.Module) -> nn.Module:
    """Random weights, with the statistics of batch normalisation taken from an image."""
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    image = torch.from_numpy(smooth_noise(128, 128, seed=1)[None].astype(np.float32))
    body.train()
    with torch.no_grad():
        body(((image - 127.5) / 58.75).expand(2, -1, -1, -1))
    return body.eval()


@pytest.mark.parametrize(
    "make",
    [
        group_norm,
        pytest.param(pooling, marks=pytest.mark.slow),
        pytest.param(attention, marks=pytest.mark.slow),
    ],
)
def test_what_is_reported_is_within_a_factor_of_two_of_the_truth(
    make_scene: MakeScene, make: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(0)
    recipe = make_recipe(stride=32)
    network = make_network(calibrated(make()), stride=32, recipe=recipe)
    path = make_scene("s.tif", smooth_noise(SIZE, SIZE), names=BANDS)

    def disagreement(**more: object) -> Disagreement:
        options = PredictOptions(tile=TILE, halo=HALO, precision="float32", overwrite=True, **more)
        found = predict_scene(network, recipe, str(path), path.with_name("map.tif"), options=options)
        assert not found.exact
        assert "global context" in found.reason
        assert found.blended == 2 * HALO
        assert found.disagreement is not None
        return found.disagreement

    reported, true = disagreement(), disagreement(check_seams=10_000)
    assert true.pixels == SIZE * SIZE  # every pixel, from tiles on a lattice shifted by half a tile
    assert true.share > 0.005
    assert reported.pixels <= 4 * TILE**2
    assert true.share / 2 < reported.share < 2 * true.share
