"""Building a network from its names."""

import pytest
from network_factory import BANDS, build, make_network

from eoseg.errors import ConfigError
from eoseg.models import build_network


def test_an_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no model 'unett'. Did you mean 'unet'"):
        build("unett")


@pytest.mark.parametrize(
    ("arch", "option", "message"),
    [
        ("unet", "chanels", "no option of 'unet' 'chanels'. Did you mean 'channels'.*depth, interpolation"),
        ("fcn", "depth", "no option of 'fcn' 'depth'.*Known: channels, dropout, stride"),
        ("segformer", "encoder_weights", "no option of 'segformer'"),
    ],
)
def test_an_unknown_option_is_refused_with_those_that_exist(arch, option, message):
    with pytest.raises(ConfigError, match=message):
        build(arch, **{option: 1})


def test_no_band_or_no_class_is_refused():
    with pytest.raises(ConfigError, match=r"found 0 bands and 3 classes"):
        build_network("unet", bands=[], num_classes=3)
    with pytest.raises(ConfigError, match=r"1 bands and 0 classes"):
        build_network("unet", bands=["grey"], num_classes=0)


def test_parameters_that_no_gradient_can_reach_are_frozen():
    network = make_network("unet", BANDS[3], args={"depth": 3})  # resnet18 keeps its last two stages
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert frozen
    assert all(name.startswith(("body.encoder.layer3", "body.encoder.layer4")) for name in frozen)


def test_building_leaves_batch_statistics_and_training_mode_as_they_were():
    network = build()
    assert network.training
    assert network.state_dict()["body.encoder.bn1.num_batches_tracked"] == 0
