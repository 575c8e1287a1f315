"""Pretrained weights, from files that the tests write where a download would have left them."""

import logging
import urllib.error
from pathlib import Path

import pytest
import torch
from torch import Tensor
from weights_factory import cache, serve

from eoseg.errors import ConfigError
from eoseg.models import build_network
from eoseg.models.encoders import make_encoder
from eoseg.models.weights import _LANDSAT_OLI, _LANDSAT_TM, _SENTINEL2, _canonical

SMP_ENCODER = "mobilenet_v2"
SMP_STEM = "features.0.0.weight"
TIMM_ENCODER = "mobilenetv3_small_050"
SENTINEL2 = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8a", "B9", "B10", "B11", "B12"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of huggingface_hub, without its attempts to reach the network."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.fixture
def imagenet(hub: Path) -> dict[str, Tensor]:
    """Weights of smp's mobilenet_v2 with known values, in the cache."""
    from segmentation_models_pytorch.encoders import encoders

    torch.manual_seed(7)
    state = dict(make_encoder(SMP_ENCODER, 3).state_dict())
    place = encoders[SMP_ENCODER]["pretrained_settings"]["imagenet"]
    cache(hub, place["repo_id"], place["revision"], state)
    return state


def encoder_state(
    bands: list[str], encoder: str = SMP_ENCODER, weights: str | None = "imagenet", arch: str = "unet"
):
    network = build_network(arch, bands=bands, num_classes=2, encoder=encoder, weights=weights)
    return network.body.encoder.state_dict()


@pytest.mark.parametrize(
    "bands",
    [
        ["red", "green", "blue"],
        ["B02", "B03", "B04"],
        ["B4", "B3", "B2"],
        ["nir", "Red", "SR_B3", "B02", "swir"],
    ],
)
def test_each_colour_starts_from_its_own_kernel_and_any_other_band_from_the_mean(imagenet, bands):
    own = encoder_state(bands)[SMP_STEM]
    kernels = imagenet[SMP_STEM]
    place = {
        "red": 0,
        "b04": 0,
        "b4": 0,
        "green": 1,
        "b03": 1,
        "b3": 1,
        "sr_b3": 1,
        "blue": 2,
        "b02": 2,
        "b2": 2,
    }
    for channel, band in enumerate(bands):
        index = place.get(band.lower())
        expected = kernels.mean(dim=1) if index is None else kernels[:, index]
        torch.testing.assert_close(own[:, channel], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("arch", ["unet", "deeplabv3plus", "fcn"])
def test_all_other_layers_are_those_of_the_weights(imagenet, arch):
    state = encoder_state(["grey"], arch=arch)
    for key, value in imagenet.items():
        if key != SMP_STEM:
            assert torch.equal(state[key], value), key


def test_without_weights_the_values_are_random(imagenet):
    key = "features.1.conv.0.0.weight"
    assert not torch.equal(encoder_state(["red", "green", "blue"], weights=None)[key], imagenet[key])


def test_what_was_copied_is_logged(imagenet, caplog):
    caplog.set_level(logging.INFO)
    encoder_state(["B04", "B08"])
    assert "B04 from the kernels of their own band; B08 from the mean of red, green, blue" in caplog.text


@pytest.mark.parametrize("depth", [5, 3])
def test_weights_of_timm_are_fitted_in_the_same_way(hub, depth):
    import timm

    torch.manual_seed(7)
    full = timm.create_model(TIMM_ENCODER, pretrained=False)
    cache(hub, f"timm/{full.pretrained_cfg['hf_hub_id'].split('/')[-1]}", "0" * 40, dict(full.state_dict()))
    network = build_network(
        "unet",
        bands=["nir", "blue"],
        num_classes=2,
        encoder=TIMM_ENCODER,
        weights="imagenet",
        args={"depth": depth},
    )
    own = network.body.encoder.state_dict()["model.conv_stem.weight"]
    kernels = full.state_dict()["conv_stem.weight"]
    torch.testing.assert_close(own, torch.stack([kernels.mean(dim=1), kernels[:, 2]], dim=1))


def test_without_a_network_one_line_says_what_to_do(hub):
    with pytest.raises(
        ConfigError, match=r"'imagenet' could not be downloaded .*or set weights to null"
    ) as error:
        encoder_state(["grey"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("encoder", "weights", "message"),
    [
        ("resnet18", "imagnet", "no weights of encoder 'resnet18' 'imagnet'. Did you mean 'imagenet'"),
        ("tu-resnet18", "ssl", "no weights of encoder 'tu-resnet18' 'ssl'.*Known: imagenet"),
        (
            "efficientnet_b0_g8_gn",
            "imagenet",
            "'tu-efficientnet_b0_g8_gn' has no pretrained weights. Set weights to null",
        ),
    ],
)
def test_weights_that_an_encoder_does_not_have_are_refused(encoder, weights, message):
    with pytest.raises(ConfigError, match=message):
        encoder_state(["grey"], encoder=encoder, weights=weights)


def test_a_broken_file_is_refused_in_one_line(hub):
    from segmentation_models_pytorch.encoders import encoders

    place = encoders[SMP_ENCODER]["pretrained_settings"]["imagenet"]
    cache(hub, place["repo_id"], place["revision"], {"other": torch.zeros(1)})
    with pytest.raises(ConfigError, match=r"'imagenet' is broken .*Delete it from the cache"):
        encoder_state(["grey"])


# torchgeo


@pytest.fixture
def sentinel2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """A file with known values behind the address of torchgeo's ResNet-18 for 13 Sentinel-2 bands."""
    from torchgeo.models import ResNet18_Weights

    torch.manual_seed(7)
    state = dict(make_encoder("resnet18", 13).state_dict())
    serve(state, tmp_path, monkeypatch, ResNet18_Weights.SENTINEL2_ALL_MOCO)
    return state


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_sensor_weights_are_matched_by_band_name(sentinel2, encoder):
    bands = ["B12", "B08", "red", "B8A", "elevation"]
    state = encoder_state(bands, encoder, "ResNet18_Weights.SENTINEL2_ALL_MOCO")
    prefix = "model." if encoder.startswith("tu-") else ""
    kernels, own = sentinel2["conv1.weight"], state[f"{prefix}conv1.weight"]
    for channel, source in enumerate(["B12", "B8", "B4", "B8a"]):
        assert torch.equal(own[:, channel], kernels[:, SENTINEL2.index(source)]), source
    torch.testing.assert_close(own[:, 4], kernels.mean(dim=1))
    assert torch.equal(state[f"{prefix}layer4.1.conv2.weight"], sentinel2["layer4.1.conv2.weight"])


def test_bands_in_another_order_are_not_taken_by_place(sentinel2):
    state = encoder_state(SENTINEL2[::-1], "resnet18", "ResNet18_Weights.SENTINEL2_ALL_MOCO")
    assert torch.equal(state["conv1.weight"], sentinel2["conv1.weight"].flip(1))


def test_of_a_whole_unet_the_encoder_is_taken(tmp_path, monkeypatch):
    from torchgeo.models import Unet_Weights

    torch.manual_seed(7)
    state = {f"encoder.{key}": value for key, value in make_encoder("resnet18", 4).state_dict().items()}
    serve(
        {**state, "decoder.x": torch.zeros(1)},
        tmp_path,
        monkeypatch,
        Unet_Weights.NAIP_RGBN_RESNET18_CHESAPEAKERSC,
    )
    own = encoder_state(["nir", "red"], "resnet18", "Unet_Weights.NAIP_RGBN_RESNET18_CHESAPEAKERSC")
    assert torch.equal(own["conv1.weight"], state["encoder.conv1.weight"][:, [3, 0]])


@pytest.mark.parametrize(
    ("weights", "encoder", "message"),
    [
        (
            "ResNet18_Weights.SENTINEL2_ALL_MOCOO",
            "resnet18",
            "no weights .*Did you mean ResNet18_Weights.SENTINEL2_ALL_MOCO",
        ),
        (
            "ResNet50_Weights.SENTINEL2_ALL_MOCO",
            "resnet18",
            "for the encoder resnet50, the configuration says resnet18. Set encoder to resnet50",
        ),
        ("ViTSmall16_Weights.SENTINEL2_ALL_MOCO", "resnet18", "which is no encoder of eoseg|Set encoder to"),
    ],
)
def test_torchgeo_weights_that_do_not_fit_are_refused_in_one_line(weights, encoder, message):
    with pytest.raises(ConfigError, match=message) as error:
        encoder_state(["grey"], encoder, weights)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_failed_download_of_torchgeo_weights_says_what_to_do(sentinel2, monkeypatch):
    from torchgeo.models import ResNet18_Weights

    monkeypatch.setattr(
        ResNet18_Weights.SENTINEL2_ALL_MOCO.value, "url", "https://example.invalid/w-00000000.pth"
    )
    with pytest.raises(ConfigError, match=r"could not be downloaded .URLError") as error:
        encoder_state(["grey"], "resnet18", "ResNet18_Weights.SENTINEL2_ALL_MOCO")
    assert isinstance(error.value.__cause__, urllib.error.URLError)


def test_a_file_with_another_hash_is_refused(sentinel2, monkeypatch):
    from torchgeo.models import ResNet18_Weights

    entry = ResNet18_Weights.SENTINEL2_ALL_MOCO
    path = Path(entry.url.removeprefix("file://"))
    wrong = path.rename(path.with_name("weights-00000000.pth"))
    monkeypatch.setattr(entry.value, "url", wrong.as_uri())
    with pytest.raises(ConfigError, match=r"is broken .invalid hash"):
        encoder_state(["grey"], "resnet18", str(entry))


def test_a_state_dict_of_another_network_is_refused(tmp_path, monkeypatch):
    from torchgeo.models import ResNet18_Weights

    serve(
        {"conv1.weight": torch.zeros(64, 13, 3, 3)},
        tmp_path,
        monkeypatch,
        ResNet18_Weights.SENTINEL2_ALL_MOCO,
    )
    with pytest.raises(
        ConfigError, match=r"do not fit the encoder 'resnet18': .* missing and 1 have another shape"
    ):
        encoder_state(["grey"], "resnet18", "ResNet18_Weights.SENTINEL2_ALL_MOCO")


@pytest.mark.parametrize(
    ("sensor", "name", "same"),
    [
        (_SENTINEL2, "red", "B4"),
        (_SENTINEL2, "B8A", "B8a"),
        (_SENTINEL2, "swir16", "B11"),
        (_SENTINEL2, "NIR", "B08"),
        (_LANDSAT_TM, "red", "SR_B3"),
        (_LANDSAT_OLI, "red", "B4"),
        (_LANDSAT_OLI, "nir", "SR_B5"),
    ],
)
def test_one_band_has_one_spelling(sensor, name, same):
    assert _canonical(name, sensor) == _canonical(same, sensor)
    assert _canonical("B8", _SENTINEL2) != _canonical("B8A", _SENTINEL2)
