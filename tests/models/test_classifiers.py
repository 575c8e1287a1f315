"""What sets each chip classifier apart; tests/models/test_contract.py has what all have in common."""

import pytest
import torch
from network_factory import shuffle_parameters
from torch import nn
from torch.nn import functional

from eoseg.errors import ConfigError
from eoseg.models.classifiers import (
    alexnet,
    encoder_classifier,
    googlenet,
    lenet5,
    resnet,
    timm_model,
    vgg,
    vit,
)
from eoseg.models.dimensions import Dimensions
from eoseg.models.pixelwise import chip_mlp, chip_perceptron, chip_softmax_regression

MODELS = {
    "perceptron": (chip_perceptron, {}),
    "softmax_regression": (chip_softmax_regression, {}),
    "mlp": (chip_mlp, {"hidden": "16"}),
    "lenet5": (lenet5, {}),
    "alexnet": (alexnet, {}),
    "vgg": (vgg, {"depth": 11}),
    "googlenet": (googlenet, {}),
    "resnet": (resnet, {}),
    "vit": (vit, {"patch": 16}),
    "timm_model": (timm_model, {"name": "mobilenetv3_small_050"}),
    "encoder_classifier": (encoder_classifier, {}),
}


@pytest.fixture(autouse=True)
def narrow_dense_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense layers of AlexNet and VGG with fewer than 4096 units, which take most of the time."""
    monkeypatch.setattr("eoseg.models.classifiers._HIDDEN", 128)


def make(arch: str, /, *, channels: int = 3, classes: int = 4, chip_size: int = 64, **options) -> nn.Module:
    """A small network with fixed random weights, ready to be called."""
    function, usual = MODELS[arch]
    torch.manual_seed(0)
    return function(Dimensions(channels, classes, chip_size), **{**usual, **options})


def chips(channels: int, size: int, *, batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MODELS)
def test_the_last_layer_stands_on_the_descriptor_of_three_bands(name):
    network = make(name).eval()
    shuffle_parameters(network)
    image = chips(3, 64)
    with torch.inference_mode():
        descriptor = network.features(image)
        assert descriptor.shape == (3, network.head.in_features)
        torch.testing.assert_close(network(image), network.head(descriptor))
    assert not torch.equal(descriptor[0], descriptor[1])


@pytest.mark.parametrize("name", ["lenet5", "resnet", "encoder_classifier"])
def test_chips_of_another_size_are_refused(name):
    with pytest.raises(ConfigError, match=r"made for chips of 64 x 64 pixels, found 64 x 63\. Cut chips"):
        make(name).eval()(chips(3, 64)[..., :63])


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("lenet5", 15, {}, r"LeNet-5 takes chips of at least 16 pixels, found chip_size 15\. .* fits: 16\."),
        ("alexnet", 62, {}, r"AlexNet takes chips of at least 63 pixels, found chip_size 62\. .* fits: 63\."),
        ("vgg", 31, {}, r"at least 32 pixels, found chip_size 31\. .* fits: 32\. Or take arch lenet5"),
        ("googlenet", 31, {"stem": "imagenet"}, r"at least 32 pixels, .* Or set stem: small"),
        ("resnet", 15, {"stem": "unpooled"}, r"ResNet with stem unpooled takes chips of at least 16 pixels"),
        ("resnet", 7, {}, r"ResNet with stem small takes chips of at least 8 pixels, found chip_size 7"),
        (
            "vit",
            65,
            {},
            r"multiple of 16 pixels, found chip_size 65\. .* fits: 64 or 80\. Or choose another patch",
        ),
        ("vit", 8, {}, r"of at least 16 pixels, found chip_size 8\. .* fits: 16\."),
        ("timm_model", 65, {"name": "vit_tiny_patch16_224"}, r"multiple of 16 pixels.* fits: 64 or 80"),
        (
            "timm_model",
            50,
            {"name": "coatnet_nano_rw_224"},
            r"'coatnet_nano_rw_224' cannot take chips of 50 pix",
        ),
        ("encoder_classifier", 31, {}, r"The encoder resnet18 takes chips of at least 32 pixels"),
        ("lenet5", 64, {"activation": "sigmoid"}, r"activation is one of tanh, relu, found 'sigmoid'"),
        ("lenet5", 64, {"dropout": 1.0}, r"dropout is a number from 0 to below 1, found 1.0"),
        ("alexnet", 64, {"dropout": -0.1}, r"dropout is a number"),
        ("vgg", 64, {"depth": 13}, r"depth is one of 11, 16, 19, found 13"),
        ("vgg", 64, {"batch_norm": 1}, r"batch_norm is true or false, found 1"),
        ("vgg", 64, {"dropout": 2}, r"dropout is a number"),
        (
            "googlenet",
            64,
            {"stem": "large"},
            r"stem is one of auto, imagenet, unpooled, small, found 'large'",
        ),
        ("googlenet", 64, {"dropout": "half"}, r"dropout is a number from 0 to below 1, found 'half'"),
        ("resnet", 64, {"depth": 20}, r"depth is one of 18, 34, 50, 101, 152, found 20"),
        ("resnet", 64, {"stem": 3}, r"stem is one of"),
        ("resnet", 64, {"dropout": 1}, r"dropout is a number"),
        ("vit", 64, {"size": "huge"}, r"size is one of tiny, small, base, large, found 'huge'"),
        ("vit", 64, {"patch": 0}, r"patch is a whole number of at least 1, found 0"),
        ("vit", 64, {"dropout": 1}, r"dropout is a number"),
        ("timm_model", 64, {"name": "convnextt_tiny"}, r"timm has no model .* Did you mean 'convnext_tiny'"),
        ("timm_model", 64, {"dropout": 1}, r"dropout is a number"),
        ("encoder_classifier", 64, {"encoder": "resnet19"}, r"no encoder 'resnet19'. Did you mean"),
        ("encoder_classifier", 64, {"dropout": 1}, r"dropout is a number"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(name, size, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        make(name, chip_size=size, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["googlenet", "resnet"])
def test_the_stem_says_how_much_of_the_chip_is_left(name):
    def width(stem: str, size: int) -> int:
        network, found = make(name, stem=stem, chip_size=size).eval(), []
        network.trunk.avgpool.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].shape[-1]))
        with torch.inference_mode():
            network(chips(3, size, batch=1))
        return found[0]

    assert [width(stem, 64) for stem in ("imagenet", "unpooled", "small")] == [2, 4, 8]
    assert width("auto", 64) == 2
    assert width("auto", 32) == 4


@pytest.mark.parametrize("depth", [18, 50])
def test_resnets_have_the_parameters_of_the_paper(depth):
    from torchvision import models

    library = models.get_model(f"resnet{depth}", num_classes=4)
    own = sum(value.numel() for value in make("resnet", depth=depth).parameters())
    assert own == sum(value.numel() for value in library.parameters())


def test_lenet_has_the_parameters_of_the_paper():
    # Convolutions of 156 and 2416 (the paper connects fewer maps: 1516), layers of 48120, 10164 and 850.
    network = make("lenet5", channels=1, classes=10, chip_size=32)
    assert sum(value.numel() for value in network.parameters()) == 156 + 2416 + 48_120 + 10_164 + 850


@pytest.mark.parametrize("name", ["alexnet", "vgg"])
def test_dense_layers_are_sized_for_the_chip(name):
    first = next(layer for layer in make(name).trunk.classifier if isinstance(layer, nn.Linear))
    larger = next(
        layer for layer in make(name, chip_size=128).trunk.classifier if isinstance(layer, nn.Linear)
    )
    side = {"alexnet": (1, 3), "vgg": (2, 4)}[name]
    maps = {"alexnet": 256, "vgg": 512}[name]
    assert (first.in_features, larger.in_features) == (maps * side[0] ** 2, maps * side[1] ** 2)


@pytest.mark.parametrize(
    "name", ["lenet5", "alexnet", "vgg", "googlenet", "resnet", "vit", "timm_model", "encoder_classifier"]
)
def test_dropout_acts_in_training_alone(name):
    image = chips(3, 64, batch=1).expand(2, -1, -1, -1)
    network = make(name, dropout=0.5)
    nn.init.zeros_(network.head.bias)  # descriptors of an untrained GoogLeNet are tiny
    network.eval()  # batch statistics are left out of the comparison
    with torch.inference_mode():
        assert torch.equal(*network(image).split(1))
        for layer in network.modules():
            if isinstance(layer, nn.Dropout):
                layer.train()
        assert not torch.allclose(*network(image).split(1), atol=0)
    network = make(name, dropout=0.0).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.train()
    with torch.inference_mode():
        assert torch.equal(*network(image).split(1))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lenet5", {"activation": "relu"}),
        ("vgg", {"batch_norm": False}),
        ("vgg", {"depth": 16}),
        ("resnet", {"depth": 34}),
        ("vit", {"size": "small"}),
        ("vit", {"patch": 8}),
        ("timm_model", {"name": "resnet10t"}),
        ("encoder_classifier", {"encoder": "mobilenet_v2"}),
    ],
)
def test_options_change_the_network(name, options):
    def shape(network: nn.Module) -> list[object]:
        kinds = [type(layer) for layer in network.modules() if not list(layer.children())]
        return [*kinds, *(value.shape for value in network.parameters())]

    assert shape(make(name, **options)) != shape(make(name))


def test_a_model_of_timm_for_one_size_is_made_for_the_chip():
    network = make("timm_model", name="swin_tiny_patch4_window7_224").eval()
    with torch.inference_mode():
        assert network(chips(3, 64, batch=1)).shape == (1, 4)


def test_a_small_network_learns_a_pattern_that_no_single_pixel_shows():
    def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.sin(torch.arange(32.0) * 1.5 + 6 * torch.rand(64, 1, generator=generator))  # (64, 32)
        stripes = rows[:, None, :, None].expand(-1, 1, -1, 32)
        label = torch.randint(2, (64,), generator=generator)
        return torch.where(label.view(-1, 1, 1, 1) == 1, stripes.transpose(2, 3), stripes), label

    network = make("lenet5", channels=1, classes=2, chip_size=32).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(40):
        image, label = batch(step)
        optimizer.zero_grad()
        functional.cross_entropy(network(image), label).backward()
        optimizer.step()
    image, label = batch(1000)
    with torch.inference_mode():
        assert (network.eval()(image).argmax(dim=1) == label).float().mean() > 0.95
