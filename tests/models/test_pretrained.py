"""What networks start from: files that the tests write where a download would have left them."""

import logging
from pathlib import Path

import pytest
import torch
from network_factory import BANDS, make_recipe, shuffle_parameters
from torch import nn
from weights_factory import cache, serve

from eoseg.errors import CheckpointError, ConfigError
from eoseg.models.architectures import unet
from eoseg.models.autoencoder import autoencoder
from eoseg.models.classifiers import alexnet, encoder_classifier, lenet5, resnet, timm_model, vgg, vit
from eoseg.models.dimensions import Dimensions
from eoseg.models.pixelwise import chip_mlp, mlp, perceptron
from eoseg.models.pretrained import load_classifier_weights, load_weights

RGB = BANDS[3]
CHIP = Dimensions(3, 4, 64)


def chips(size: int = 64, channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of huggingface_hub, without its attempts to reach the network."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


# torchvision


def torchvision_model(name: str) -> nn.Module:
    from torchvision import models

    torch.manual_seed(7)
    return models.get_model(name, weights=None).eval()


def narrow(inputs: int, units: int) -> nn.Sequential:
    """The dense layers of AlexNet, with fewer units."""
    return nn.Sequential(
        *(
            nn.Dropout(),
            nn.Linear(inputs, units),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(units, units),
            nn.ReLU(),
        ),
        nn.Linear(units, 1000),
    ).eval()


def test_alexnet_for_small_chips_gives_what_torchvision_gives_with_its_adaptive_pooling(
    tmp_path, monkeypatch
):
    from torchvision.models import AlexNet_Weights

    monkeypatch.setattr("eoseg.models.classifiers._HIDDEN", 64)  # 4096 make a file of 240 MB
    library = torchvision_model("alexnet")
    library.classifier = narrow(6 * 6 * 256, 64)
    serve(library.state_dict(), tmp_path, monkeypatch, AlexNet_Weights.IMAGENET1K_V1)
    body = alexnet(CHIP).eval()
    load_weights(body, weights="imagenet", bands=["B02", "B03", "red"])  # blue, green, red
    library.classifier[-1] = nn.Identity()
    image = chips()
    with torch.inference_mode():
        torch.testing.assert_close(body.features(image), library(image.flip(1)), rtol=1e-4, atol=1e-4)


def test_resnet_starts_from_the_weights_asked_for(tmp_path, monkeypatch, caplog):
    from torchvision.models import ResNet50_Weights

    caplog.set_level(logging.INFO)
    library = torchvision_model("resnet50")
    shuffle_parameters(library)  # normalisations too, which start alike
    serve(library.state_dict(), tmp_path, monkeypatch, ResNet50_Weights.IMAGENET1K_V2)
    body = resnet(Dimensions(2, 4, 64), depth=50)
    head = body.head.weight.clone()
    load_weights(body, weights="IMAGENET1K_V2", bands=["green", "thermal"])
    state, own = library.state_dict(), body.trunk.state_dict()
    assert torch.equal(own["conv1.weight"][:, 0], state["conv1.weight"][:, 1])
    torch.testing.assert_close(own["conv1.weight"][:, 1], state["conv1.weight"].mean(dim=1))
    assert all(torch.equal(value, state[key]) for key, value in own.items() if key != "conv1.weight")
    assert torch.equal(body.head.weight, head)
    assert (
        "network 'resnet50' starts from 'IMAGENET1K_V2': green from the kernels of their own band"
        in caplog.text
    )


def test_a_stem_of_another_size_is_refused(tmp_path, monkeypatch):
    from torchvision.models import ResNet18_Weights

    serve(torchvision_model("resnet18").state_dict(), tmp_path, monkeypatch, ResNet18_Weights.IMAGENET1K_V1)
    load_weights(resnet(CHIP, stem="unpooled"), weights="imagenet", bands=RGB)
    with pytest.raises(
        ConfigError, match=r"do not fit the network 'resnet18': .* shape, such as conv1.weight"
    ):
        load_weights(resnet(CHIP, stem="small"), weights="imagenet", bands=RGB)


def test_a_dense_layer_over_a_grid_is_folded_as_adaptive_pooling_would_stretch_it():
    from eoseg.models.pretrained import _folded

    features = torch.randn(3, 5, 2, 2)
    weight = torch.randn(6, 5 * 49)
    stretched = nn.functional.adaptive_avg_pool2d(features, 7).flatten(1) @ weight.T
    torch.testing.assert_close(features.flatten(1) @ _folded(weight, 5 * 4, 5).T, stretched)


def test_vgg_names_the_layer_that_is_folded():
    body = vgg(CHIP, depth=11, batch_norm=False)
    key, channels = body.origin.dense
    assert body.origin.name == "vgg11"
    assert body.trunk.state_dict()[key].shape == (4096, channels * 4)


# timm and torchgeo


def test_weights_of_timm_are_fitted_to_the_bands(hub):
    import timm

    torch.manual_seed(7)
    full = timm.create_model("mobilenetv3_small_050")
    cache(hub, f"timm/{full.pretrained_cfg['hf_hub_id'].split('/')[-1]}", "0" * 40, dict(full.state_dict()))
    body = timm_model(Dimensions(2, 4, 64), name="mobilenetv3_small_050")
    load_weights(body, weights="imagenet", bands=["nir", "blue"])
    kernels, own = full.state_dict()["conv_stem.weight"], body.trunk.state_dict()["conv_stem.weight"]
    torch.testing.assert_close(own, torch.stack([kernels.mean(dim=1), kernels[:, 2]], dim=1))
    assert torch.equal(body.trunk.state_dict()["conv_head.weight"], full.state_dict()["conv_head.weight"])


@pytest.fixture
def transformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A ViT for 13 bands whose weights are behind torchgeo's address, without the last normalisation."""
    import timm
    from torchgeo.models import ViTSmall16_Weights

    torch.manual_seed(7)
    model = timm.create_model("vit_small_patch16_224", in_chans=13, num_classes=0).eval()
    state = {key: value for key, value in model.state_dict().items() if not key.startswith("norm.")}
    serve(state, tmp_path, monkeypatch, ViTSmall16_Weights.SENTINEL2_ALL_MOCO)
    return model


SENTINEL2 = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8a", "B9", "B10", "B11", "B12"]
MOCO = "ViTSmall16_Weights.SENTINEL2_ALL_MOCO"


def test_a_transformer_of_torchgeos_size_gives_the_same_descriptors(transformer):
    body = vit(Dimensions(13, 4, 224), size="small", patch=16).eval()
    load_weights(body, weights=MOCO, bands=SENTINEL2[::-1])
    image = chips(224, 13)[:1]
    with torch.inference_mode():
        torch.testing.assert_close(body.features(image), transformer(image.flip(1)), rtol=1e-4, atol=1e-4)


def test_positions_and_patches_are_resampled_for_other_sizes(transformer):
    body = vit(Dimensions(13, 4, 64), size="small", patch=8).eval()
    load_weights(body, weights=MOCO, bands=SENTINEL2)
    source, own = transformer.state_dict(), body.trunk.state_dict()
    assert torch.equal(own["blocks.3.attn.qkv.weight"], source["blocks.3.attn.qkv.weight"])
    assert own["pos_embed"].shape == (1, 1 + 8 * 8, 384)
    assert torch.equal(own["pos_embed"][:, 0], source["pos_embed"][:, 0])
    # The first token's position lies in the same corner.
    near = nn.functional.cosine_similarity(own["pos_embed"][0, 1], source["pos_embed"][0, 1], dim=0)
    far = nn.functional.cosine_similarity(own["pos_embed"][0, 1], source["pos_embed"][0, -1], dim=0)
    assert near > 0.5 > far
    # A flat chip gives the same token whatever the patch.
    flat = own["patch_embed.proj.weight"].sum(dim=(2, 3))
    torch.testing.assert_close(flat, source["patch_embed.proj.weight"].sum(dim=(2, 3)), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("body", "weights", "message"),
    [
        (
            lambda: resnet(CHIP),
            "imagnet",
            r"no weights of network 'resnet18' 'imagnet'. Did you mean 'imagenet'",
        ),
        (
            lambda: resnet(CHIP),
            "IMAGENET1K_V2",
            r"no weights of network 'resnet18'.*Known: IMAGENET1K_V1, imagenet",
        ),
        (lambda: vit(CHIP), "ssl", r"no weights of network 'vit_tiny_patch16_224' 'ssl'.*Known: imagenet"),
        (lambda: vit(CHIP), MOCO, r"are for vit_small_patch16_224, this network is vit_tiny_patch16_224"),
        (
            lambda: resnet(CHIP),
            MOCO,
            r"this network is resnet18. Choose weights for resnet18, an arch for vit_small",
        ),
        (lambda: resnet(CHIP), "ResNet18_Weights.MOCO", r"Torchgeo has no weights 'ResNet18_Weights.MOCO'"),
        (lambda: timm_model(CHIP, name="resnet10t"), "x.y", r"Torchgeo has no weights 'x.y'"),
        (
            lambda: timm_model(CHIP, name="efficientnet_b0_g8_gn"),
            "imagenet",
            r"'efficientnet_b0_g8_gn' has no pretrained weights. Set weights to null",
        ),
        (
            lambda: lenet5(CHIP),
            "imagenet",
            r"no pretrained weights, found weights 'imagenet'. Set weights to null",
        ),
        (
            lambda: mlp(CHIP),
            "imagenet",
            r"no pretrained weights, found weights 'imagenet'. Set weights to null",
        ),
    ],
)
def test_weights_that_a_network_does_not_have_are_refused(body, weights, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_weights(body(), weights=weights, bands=RGB)
    assert "\n" not in str(error.value)


def test_a_classifier_of_no_library_is_refused_by_the_loader_of_classifiers_too():
    with pytest.raises(ConfigError, match=r"no pretrained weights"):
        load_classifier_weights(lenet5(CHIP), weights="imagenet", bands=RGB)


@pytest.mark.parametrize("build", [resnet, vit])
def test_without_a_network_one_line_says_what_to_do(build, hub, monkeypatch):
    from torchvision.models import ResNet18_Weights

    monkeypatch.setenv("TORCH_HOME", str(hub))
    monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", "https://example.invalid/w-00000000.pth")
    with pytest.raises(ConfigError, match=r"'imagenet' could not be downloaded .*or set weights to null"):
        load_weights(build(CHIP), weights="imagenet", bands=RGB)


# checkpoints of eoseg


def save(path: Path, body: nn.Module) -> str:
    """A checkpoint as the pretraining task writes it."""
    state = {f"network.body.{key}": value for key, value in body.state_dict().items()}
    recipe = make_recipe({"kind": "segmentation", "arch": "autoencoder", "args": {}})
    torch.save({"state_dict": state, "eoseg": recipe.to_dict()}, path)
    return str(path)


@pytest.fixture
def pretrained(tmp_path: Path) -> tuple[str, nn.Module]:
    """An autoencoder over resnet18 for red, green and blue, and its checkpoint."""
    torch.manual_seed(5)
    body = autoencoder(CHIP)
    shuffle_parameters(body)
    return save(tmp_path / "pretrained.ckpt", body), body


@pytest.mark.parametrize(
    ("build", "part"),
    [(unet, "encoder"), (encoder_classifier, "encoder"), (resnet, "trunk"), (autoencoder, "encoder")],
)
def test_an_autoencoder_teaches_segmenters_and_classifiers_over_the_same_encoder(
    pretrained, build, part, caplog
):
    caplog.set_level(logging.INFO)
    path, source = pretrained
    body = build(Dimensions(4, 5, 64))
    load_weights(body, weights=path, bands=["nir", "B", "green", "Red"], encoder="resnet18")
    state, own = source.encoder.state_dict(), getattr(body, part).state_dict()
    kernels = state["conv1.weight"]
    expected = torch.stack([kernels.mean(dim=1), kernels[:, 2], kernels[:, 1], kernels[:, 0]], dim=1)
    torch.testing.assert_close(own["conv1.weight"], expected)
    assert all(torch.equal(value, state[key]) for key, value in own.items() if key != "conv1.weight")
    assert (
        "B, green, Red from the kernels of their own band; nir from the mean of red, green, blue"
        in caplog.text
    )


def test_a_classifier_starts_from_a_classifier_and_keeps_its_own_head(tmp_path):
    torch.manual_seed(5)
    source = lenet5(CHIP)
    body = lenet5(Dimensions(3, 7, 64))
    head = body.head.weight.clone()
    load_weights(body, weights=save(tmp_path / "lenet.ckpt", source), bands=RGB)
    image = chips()
    assert torch.equal(body.eval().features(image), source.eval().features(image))
    assert torch.equal(body.head.weight, head)


@pytest.mark.parametrize(
    ("build", "bands", "message"),
    [
        (
            lambda: unet(CHIP, encoder="resnet34"),
            RGB,
            r"do not fit the encoder 'resnet34': .* values are missing",
        ),
        (lambda: resnet(CHIP, depth=34), RGB, r"do not fit the network 'resnet34'"),
        (lambda: lenet5(CHIP), RGB, r"do not fit the network: "),
        (lambda: lenet5(CHIP), RGB[::-1], r"trained on the bands red, green, blue, found blue, green, red"),
        (lambda: perceptron(CHIP), RGB, r"neither an encoder nor a trunk that could start from a checkpoint"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(pretrained, build, bands, message):
    encoder = "resnet34" if "resnet34" in message else None
    with pytest.raises(ConfigError, match=message) as error:
        load_weights(build(), weights=pretrained[0], bands=bands, encoder=encoder)
    assert "\n" not in str(error.value)


def test_a_checkpoint_without_encoder_or_trunk_is_refused(tmp_path):
    path = save(tmp_path / "pixels.ckpt", mlp(CHIP))
    with pytest.raises(ConfigError, match=r"pixels.ckpt holds neither an encoder nor a trunk"):
        load_weights(chip_mlp(CHIP, hidden="8"), weights=path, bands=RGB)


def test_a_file_that_is_missing_or_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none.ckpt does not exist"):
        load_weights(resnet(CHIP), weights=str(tmp_path / "none.ckpt"), bands=RGB)
    (tmp_path / "weights").write_text("x")
    with pytest.raises(CheckpointError, match=r"weights is not a checkpoint"):
        load_weights(resnet(CHIP), weights=str(tmp_path / "weights"), bands=RGB)
