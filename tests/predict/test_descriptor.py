"""Which features a network has, and which networks have none."""

import pytest
import torch
from predict_factory import BANDS, Convolutions, FittedWindow, PairConvolutions, make_network, make_recipe
from torch import nn

from eoseg.errors import ConfigError
from eoseg.models import Network, build_network
from eoseg.predict.descriptor import Descriptor, chip_size_of


def network_of(arch: str, kind: str, chip_size: int = 64, **args: int | str | float) -> Network:
    torch.manual_seed(0)
    classes = len(BANDS) if kind == "pretraining" else 4
    network = build_network(arch, bands=BANDS, num_classes=classes, kind=kind, args=args, chip_size=chip_size)
    network.normalize.set_statistics(make_recipe().statistics)
    return network


def chips(size: int = 64) -> torch.Tensor:
    return torch.randn(2, len(BANDS), size, size, generator=torch.Generator().manual_seed(1))


def test_a_classifier_gives_what_its_last_layer_sees():
    network = network_of("lenet5", "classification", 32)
    found = Descriptor(network)(chips(32))
    assert found.shape == (2, 84)
    torch.testing.assert_close(network.body.head(found), network.body(chips(32)))
    assert Descriptor(network).count(len(BANDS), 32) == 84


def test_an_autoencoder_and_a_segmenter_give_the_deepest_features_averaged():
    for network in (network_of("autoencoder", "pretraining"), network_of("unet", "segmentation")):
        found = Descriptor(network)(chips())
        assert found.shape == (2, 512)
        deepest = network.body.encoder(chips())[-1]  # (2, 512, 2, 2)
        torch.testing.assert_close(found, deepest.mean(dim=(2, 3)))


def test_the_same_encoder_gives_the_same_features_in_every_network():
    unet, classifier = network_of("unet", "segmentation"), network_of("encoder", "classification")
    classifier.body.encoder.load_state_dict(unet.body.encoder.state_dict())
    torch.testing.assert_close(Descriptor(unet)(chips()), Descriptor(classifier)(chips()))


def test_features_do_not_depend_on_the_mode_the_network_was_in():
    network = network_of("unet", "segmentation").train()
    first = Descriptor(network)(chips())
    torch.testing.assert_close(Descriptor(network)(chips()), first)


@pytest.mark.parametrize(
    ("body", "recipe", "why"),
    [
        (FittedWindow(), make_recipe(), "is fitted in one go"),
        (PairConvolutions(1), make_recipe(time="pair", steps=2), "is for change and takes several dates"),
        (Convolutions(1), make_recipe(), "neither a descriptor of chips nor an encoder"),
    ],
)
def test_a_network_without_features_is_refused(body: nn.Module, recipe, why: str):
    with pytest.raises(ConfigError, match=why):
        Descriptor(make_network(body, recipe=recipe))


def test_a_classical_model_of_pixels_is_refused_though_it_has_an_attribute_features():
    network = network_of("logistic_regression", "segmentation", 8)
    assert hasattr(network.body, "features")
    with pytest.raises(ConfigError, match="fitted in one go"):
        Descriptor(network)


def test_chips_have_the_size_of_the_training_unless_the_network_takes_others():
    recipe = make_recipe(chip_size=64)
    unet = network_of("unet", "segmentation")
    assert chip_size_of(unet, recipe, None) == 64
    assert chip_size_of(unet, recipe, 96) == 96
    with pytest.raises(ConfigError, match="multiples of 32 pixels, found height 80"):
        chip_size_of(unet, recipe, 80)
    with pytest.raises(ConfigError, match="made for chips of 64 px; found --chip-size 96"):
        chip_size_of(network_of("lenet5", "classification", 64), recipe, 96)
