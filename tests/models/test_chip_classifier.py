"""The frame of all chip classifiers."""

import pytest
import torch
from torch import nn

from eoseg.errors import ConfigError
from eoseg.models.chip_classifier import TrunkClassifier, require_chip
from eoseg.models.dimensions import Dimensions


def test_the_descriptor_is_what_the_trunk_gives_and_the_head_is_linear():
    network = TrunkClassifier(nn.Flatten(), 12, Dimensions(3, 2, 2)).eval()
    image = torch.arange(24.0).view(2, 3, 2, 2)
    assert torch.equal(network.features(image), image.flatten(1))
    torch.testing.assert_close(network(image), image.flatten(1) @ network.head.weight.T + network.head.bias)


def test_dropout_acts_on_the_descriptor():
    network = TrunkClassifier(nn.Flatten(), 12, Dimensions(3, 2, 2), dropout=0.99).train()
    torch.manual_seed(0)
    image = torch.ones(1, 3, 2, 2)
    assert torch.equal(network.features(image), image.flatten(1))
    assert not torch.equal(network(image), network.head(network.features(image)))


@pytest.mark.parametrize(
    ("size", "least", "multiple", "message"),
    [
        (7, 8, 1, r"X takes chips of at least 8 pixels, found chip_size 7\. The nearest size that fits: 8\."),
        (7, 9, 4, r"at least 9 pixels, .* fits: 12\."),
        (13, 9, 4, r"multiple of 4 pixels, .* fits: 12 or 16\."),
        (11, 9, 4, r"multiple of 4 pixels, .* fits: 12\."),
    ],
)
def test_a_size_that_does_not_fit_is_refused_with_the_nearest(size, least, multiple, message):
    with pytest.raises(ConfigError, match=message):
        require_chip("X", Dimensions(3, 2, size), least, multiple=multiple)


def test_a_size_that_fits_is_taken_and_a_remedy_is_told():
    require_chip("X", Dimensions(3, 2, 12), 9, multiple=4)
    with pytest.raises(ConfigError, match=r"fits: 9\. Or take Y\."):
        require_chip("X", Dimensions(3, 2, 8), 9, remedy="Or take Y.")
