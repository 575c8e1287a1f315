"""Encoders of both libraries are found by name."""

import pytest
import torch
from network_factory import BANDS, build, make_image, make_network

from eoseg.errors import ConfigError
from eoseg.models.encoders import resolve_encoder


@pytest.mark.parametrize(
    ("name", "near"), [("resnet19", "resnet18"), ("mit_b9", "mit_b"), ("convnext_tinny", "convnext_tiny")]
)
def test_an_unknown_encoder_is_refused_with_near_names(name, near):
    with pytest.raises(ConfigError, match=rf"no encoder '{name}'. Did you mean .*{near}") as error:
        build(encoder=name)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("resnet18", "resnet18"),
        ("tu-resnet18", "tu-resnet18"),
        ("convnext_tiny", "tu-convnext_tiny"),
        ("mobilenetv3_small_050.lamb_in1k", "tu-mobilenetv3_small_050.lamb_in1k"),
    ],
)
def test_encoders_of_both_libraries_are_found(name, resolved):
    assert resolve_encoder(name) == resolved


@pytest.mark.parametrize("arch", ["unet", "fcn"])
@pytest.mark.parametrize("encoder", ["mobilenetv3_small_050", "tu-resnet18"])
def test_encoders_of_timm_work_with_any_bands(arch, encoder):
    network = make_network(arch, BANDS[13], encoder=encoder).eval()
    image, valid = make_image(13, 64, 96, batch=1)
    with torch.inference_mode():
        assert network(image, valid).shape == (1, 4, 64, 96)


def test_a_windowed_transformer_takes_any_image_size():
    network = make_network(
        "upernet", BANDS[3], encoder="swin_tiny_patch4_window7_224", args={"channels": 16}
    ).eval()
    image, valid = make_image(3, 96, 64, batch=1)
    with torch.inference_mode():
        assert network(image, valid).shape == (1, 4, 96, 64)


@pytest.mark.parametrize(("arch", "encoder"), [("deeplabv3plus", "vgg11"), ("unet", "vit_tiny_patch16_224")])
def test_an_encoder_that_an_architecture_cannot_use_is_refused_in_one_line(arch, encoder):
    with pytest.raises(
        ConfigError, match=rf"'{arch}' cannot be built over the encoder '{encoder}': .*Choose another"
    ) as error:
        build(arch, encoder)
    assert "\n" not in str(error.value)
