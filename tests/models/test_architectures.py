"""The options of each architecture have their effect."""

import pytest
import torch
from network_factory import BANDS, build, make_image, make_network, parameters

from eoseg.errors import ConfigError


@pytest.mark.parametrize(
    ("arch", "args", "message"),
    [
        ("unet", {"depth": 2}, "'unet': depth is a whole number from 3 to 5, found 2"),
        ("unet", {"depth": True}, "found True"),
        ("unet", {"channels": 0}, "channels is a whole number of at least 1"),
        ("unet", {"channels": "16"}, "found '16'"),
        ("unet", {"interpolation": "cubic"}, "interpolation is one of nearest, bilinear, found 'cubic'"),
        ("fcn", {"stride": 4}, "stride is one of 8, 16, 32, found 4"),
        ("fcn", {"dropout": 1.0}, "dropout is a number from 0 to below 1"),
        ("deeplabv3plus", {"stride": 32}, "stride is one of 8, 16"),
        ("deeplabv3plus", {"rate": 0}, "rate is a whole number"),
        ("upernet", {"depth": 6}, "depth is a whole number from 3 to 5"),
        ("segformer", {"channels": 2.5}, "channels is a whole number"),
    ],
)
def test_values_outside_an_options_limits_are_refused(arch, args, message):
    with pytest.raises(ConfigError, match=message):
        build(arch, **args)


@pytest.mark.parametrize(
    ("arch", "args", "stride"),
    [
        ("unet", {}, 32),
        ("unet", {"depth": 3}, 8),
        ("fcn", {"stride": 16}, 32),
        ("deeplabv3plus", {}, 16),
        ("deeplabv3plus", {"stride": 8}, 8),
        ("upernet", {"depth": 4}, 16),
        ("segformer", {}, 32),
    ],
)
def test_the_output_stride_follows_from_the_options(arch, args, stride):
    assert make_network(arch, BANDS[3], args=args).output_stride == stride


@pytest.mark.parametrize("arch", ["deeplabv3plus", "fcn", "segformer", "unet", "upernet"])
def test_fewer_channels_make_a_smaller_model(arch):
    assert parameters(arch, channels=8) < parameters(arch)


@pytest.mark.parametrize(
    ("arch", "args"),
    [
        ("unet", {"interpolation": "bilinear"}),
        ("fcn", {"stride": 16}),
        ("deeplabv3plus", {"rate": 2}),
    ],
)
def test_an_option_changes_the_output_of_the_same_weights(arch, args):
    usual, other = make_network(arch, BANDS[3]).eval(), make_network(arch, BANDS[3], args=args).eval()
    other.load_state_dict(usual.state_dict(), strict=False)
    image, valid = make_image(3, 96, 96, batch=1)
    with torch.inference_mode():
        assert not torch.allclose(usual(image, valid), other(image, valid))


@pytest.mark.parametrize("arch", ["fcn", "deeplabv3plus"])
def test_dropout_makes_training_random_unless_it_is_zero(arch):
    image, valid = make_image(3, 64, 64)
    for dropout, random in ((0.5, True), (0.0, False)):
        network = make_network(arch, BANDS[3], args={"dropout": dropout})
        first, second = network(image, valid), network(image, valid)
        assert torch.equal(first, second) is not random
