from typing import Any

import pytest
import torch
from network_factory import BANDS

from eoseg.errors import ConfigError
from eoseg.models import build_network
from eoseg.models.plain_unet import PlainUNet
from eoseg.predict.receptive import network_context


def test_with_the_papers_width_it_has_the_papers_size() -> None:
    # 31.0 million parameters with one band and two classes; batch normalisation hardly adds to them.
    size = sum(weight.numel() for weight in PlainUNet(1, 2, width=64, depth=4, dropout=0).parameters())
    assert size == pytest.approx(31.03e6, rel=1e-3)


def test_its_finest_features_are_those_of_single_pixels() -> None:
    """All pixels around one that differs come out different: nothing is halved on the shortest way."""
    torch.manual_seed(0)
    network = PlainUNet(3, 2, width=4, depth=1, dropout=0).eval()
    image = torch.zeros(1, 3, 8, 8)
    image[..., 4, 4] = 1
    with torch.no_grad():
        answer = network(image)[0, 0]
    assert len(set(answer[3:6, 3:6].flatten().tolist())) == 9


@pytest.mark.parametrize(("depth", "stride"), [(1, 2), (4, 16)])
def test_each_level_halves_once(depth: int, stride: int) -> None:
    network = build_network("plain_unet", bands=BANDS[3], num_classes=3, args={"width": 2, "depth": depth})
    assert network.output_stride == stride


def test_it_has_no_global_context() -> None:
    network = build_network("plain_unet", bands=BANDS[3], num_classes=3, args={"width": 4, "depth": 2})
    context = network_context(network.eval())
    assert context.halo is not None
    assert context.halo <= 32


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"depth": 0}, "depth is a whole number from 1 to 5, found 0"),
        ({"width": 0}, "width is a whole number of at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_options_out_of_range_are_refused(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network("plain_unet", bands=BANDS[3], num_classes=3, args=args)
