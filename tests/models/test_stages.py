import pytest
import torch
from network_factory import BANDS, make_network

from eoseg.errors import ConfigError
from eoseg.models import build_network
from eoseg.models.stages import pretrained_part, stages_of

RGB = BANDS[3]


def names(arch: str, chip_size: int = 64, steps: int = 1, **options: object) -> list[str]:
    network = build_network(arch, bands=RGB, num_classes=3, chip_size=chip_size, steps=steps, **options)
    return [stage.name for stage in stages_of(network, chip_size=chip_size, steps=steps)]


@pytest.mark.parametrize(
    ("arch", "options", "expected"),
    [
        ("unet", {"encoder": "resnet18"}, ["conv1", "layer1", "layer2", "layer3", "layer4"]),
        ("resnet", {"kind": "classification"}, ["conv1", "layer1", "layer2", "layer3", "layer4"]),
        # registered in another order than an image passes them
        (
            "segformer",
            {"encoder": "mit_b0"},
            [f"{what}{n}" for n in (1, 2, 3, 4) for what in ("patch_embed", "block")],
        ),
        ("vit", {"kind": "classification"}, ["patch_embed", *(f"blocks.{n}" for n in range(12))]),
        (
            "fc_siam_diff",
            {"kind": "change", "steps": 2, "args": {"depth": 3}},
            ["conv1", "layer1", "layer2"],  # no image passes the deeper ones
        ),
    ],
)
def test_stages_are_those_that_an_image_passes_in_order(
    arch: str, options: dict[str, object], expected: list[str]
) -> None:
    assert names(arch, **options) == expected


def test_a_network_of_timm_is_looked_into() -> None:
    found = names("unet", encoder="tu-convnext_atto")
    assert len(found) == 5
    assert "stem" in found[0]


@pytest.mark.parametrize(("arch", "kind"), [("unet", "segmentation"), ("vit", "classification")])
def test_every_trained_value_of_the_part_is_in_one_stage(arch: str, kind: str) -> None:
    network = build_network(arch, kind=kind, bands=RGB, num_classes=3)
    found = [id(value) for stage in stages_of(network, chip_size=64) for value in stage.parameters]
    own = [id(value) for value in pretrained_part(network).parameters() if value.requires_grad]
    assert len(found) == len(set(found))
    assert set(found) == set(own)


def test_looking_changes_nothing() -> None:
    network = make_network("unet", RGB).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stages_of(network, chip_size=64)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_network_without_such_a_part_is_refused() -> None:
    network = build_network("plain_unet", bands=RGB, num_classes=3)
    with pytest.raises(ConfigError, match=r"neither an encoder nor a trunk that could be pretrained"):
        stages_of(network, chip_size=64)
