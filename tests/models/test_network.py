"""What a network refuses and passes on."""

import pytest
import torch
from network_factory import make_image, make_network

from eoseg.errors import ConfigError
from eoseg.models.network import Network


def test_an_output_stride_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"positive number of pixels, found 0"):
        Network(torch.nn.Identity(), bands=["grey"], output_stride=0)


def test_a_value_error_of_another_kind_is_passed_on():
    class Broken(torch.nn.Module):
        def forward(self, image):
            raise ValueError("something else")

    network = make_network("unet", ["grey"])
    network.body = Broken()
    with pytest.raises(ValueError, match=r"something else"):
        network(*make_image(1, 32, 32))
