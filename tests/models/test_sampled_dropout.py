"""Samples of a network by dropout: the same everywhere, the mean of which is the network."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.network import Network
from eoseg.models.sampled_dropout import sampled_dropout


def samples_of(network: nn.Module, image: Tensor, count: int) -> Tensor:
    with sampled_dropout(network.eval()) as sample, torch.inference_mode():
        found = []
        for number in range(count):
            with sample.drawn(number):
                found.append(network(image))
    return torch.stack(found)


def test_without_a_sample_a_network_gives_what_it_always_gives() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Dropout2d(0.5), nn.Conv2d(8, 2, 1)).eval()
    image = torch.randn(2, 3, 9, 9)
    with torch.inference_mode():
        plain = network(image)
        with sampled_dropout(network) as sample:
            assert torch.equal(network(image), plain)
            with sample.drawn(0):
                assert not torch.equal(network(image), plain)
            assert torch.equal(network(image), plain)
        assert torch.equal(network(image), plain)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("layer", [nn.Dropout(0.25), nn.Dropout2d(0.25), nn.Dropout(0.25, inplace=True)])
def test_an_image_loses_whole_channels_everywhere_alike(layer: nn.Module) -> None:
    (found,) = samples_of(layer, torch.ones(2, 400, 5, 6), 1)
    assert (found == found[:1, :, :1, :1]).all()
    assert found.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (found[0, :, 0, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.07)


def test_vectors_and_series_of_pixels_lose_single_values() -> None:
    (dense,) = samples_of(nn.Dropout(0.5), torch.ones(3, 50), 1)
    assert (dense == dense[:1]).all()
    assert 0 < (dense[0] == 0).sum() < 50
    (series,) = samples_of(nn.Dropout(0.5), torch.ones(3, 20, 7), 1)
    assert (series == series[:1]).all()
    assert (series[0] != series[0, :, :1]).any()
    (whole,) = samples_of(nn.Dropout1d(0.5), torch.ones(3, 20, 7), 1)
    assert (whole[0] == whole[0, :, :1]).all()


def test_a_sample_depends_on_its_number_and_on_the_layer_alone() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    image = torch.ones(1, 64)
    first, again = samples_of(network, image, 3), samples_of(network, image, 5)
    assert torch.equal(first, again[:3])
    assert len({tuple(one.flatten().tolist()) for one in again}) == 5
    one = samples_of(nn.Sequential(nn.Dropout(0.5)), image, 1)
    assert (first[0] != 0).sum() < (one[0] != 0).sum()  # the second layer drops others than the first


def test_the_mean_over_samples_of_a_linear_network_is_the_network() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.3), nn.Linear(40, 1))
    image, count = torch.randn(1, 40), 1500
    found = samples_of(network, image, count).flatten().double()
    with torch.inference_mode():
        plain = network(image).item()
    # Each value is kept or not on its own, so variances add up: w^2 x^2 p / (1 - p).
    terms = (network[1].weight * image).detach().double() ** 2
    deviation = math.sqrt(terms.sum().item() * 0.3 / 0.7)
    assert found.std().item() == pytest.approx(deviation, rel=0.1)
    assert found.mean().item() == pytest.approx(plain, abs=4 * deviation / math.sqrt(count))


def test_copies_follow_the_same_sample() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Dropout(0.5)).eval()
    image = torch.randn(1, 3, 4, 4)
    with sampled_dropout(network) as sample, torch.inference_mode():
        twin = copy.deepcopy(network)
        half = copy.deepcopy(network).to(torch.bfloat16)
        with sample.drawn(3):
            found = network(image)
            assert torch.equal(twin(image), found)
            assert half(image.to(torch.bfloat16)).dtype == torch.bfloat16
        assert torch.equal(twin(image), network[0](image))
    np.testing.assert_array_equal(samples_of(network, image, 4)[3], found)


def test_a_failure_leaves_no_sample_behind() -> None:
    network = nn.Sequential(nn.Dropout(0.5)).eval()
    with sampled_dropout(network) as sample:
        with pytest.raises(RuntimeError, match="stop"), sample.drawn(1):
            raise RuntimeError("stop")
        assert sample.number is None


@pytest.mark.parametrize("body", [nn.Conv2d(3, 2, 1), nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout(0.0))])
def test_a_network_that_drops_nothing_is_refused(body: nn.Module) -> None:
    network = Network(body, bands=["a", "b", "c"], output_stride=1)
    with (
        pytest.raises(ConfigError, match=r"'x.ckpt' has no layer that drops anything.*'dropout'.*--ensemble"),
        sampled_dropout(network, name="'x.ckpt'"),
    ):
        pass
