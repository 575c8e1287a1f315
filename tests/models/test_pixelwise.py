"""Networks that see one pixel at a time, or a chip as one row."""

import pytest
import torch
from network_factory import shuffle_parameters
from torch import nn
from torch.nn import functional

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions
from eoseg.models.pixelwise import chip_mlp, chip_perceptron, mlp, perceptron, softmax_regression

MODELS = [perceptron, softmax_regression, mlp]


def train(network: nn.Module, image: torch.Tensor, label: torch.Tensor, *, steps: int, lr: float) -> float:
    """Train on all pixels at once and return the accuracy on them."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network(image), label).backward()
        optimizer.step()
    return float((network(image).argmax(dim=1) == label).float().mean())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 7, 5), (3, 1, 1), (13, 1, 9)])
def test_any_size_and_number_of_bands_with_a_gradient_for_every_parameter(model, channels, height, width):
    torch.manual_seed(0)
    network = model(Dimensions(channels, 4, 1))
    shuffle_parameters(network)
    logits = network(torch.randn(2, channels, height, width))
    assert logits.shape == (2, 4, height, width)
    functional.cross_entropy(logits, torch.zeros(2, height, width, dtype=torch.long)).backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())
    assert network.output_stride == 1


@pytest.mark.parametrize("model", MODELS)
def test_a_pixel_does_not_depend_on_its_neighbours(model):
    torch.manual_seed(0)
    network = model(Dimensions(3, 4)).eval()
    shuffle_parameters(network)
    image = torch.randn(2, 3, 6, 6)
    with torch.inference_mode():
        whole = network(image)
        alone = network(image[:, :, 2:3, 3:4])
        torch.testing.assert_close(whole[:, :, 2:3, 3:4], alone)


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_network_and_a_state_dict_carries_it(model):
    torch.manual_seed(3)
    first = model(Dimensions(3, 4)).eval()
    torch.manual_seed(3)
    second = model(Dimensions(3, 4)).eval()
    image = torch.randn(2, 3, 4, 4)
    assert torch.equal(first(image), second(image))
    shuffle_parameters(second)
    assert not torch.equal(first(image), second(image))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(image), second(image))


@pytest.mark.parametrize("model", [perceptron, softmax_regression, chip_perceptron])
def test_linear_models_start_at_zero(model):
    network = model(Dimensions(3, 4, 1))
    assert network(torch.randn(2, 3, 1, 1)).abs().max() == 0


def xor() -> tuple[torch.Tensor, torch.Tensor]:
    """Four pixels that no linear rule separates (Minsky and Papert 1969)."""
    image = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]).view(4, 2, 1, 1)
    return image, torch.tensor([0, 1, 1, 0]).view(4, 1, 1)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_a_hidden_layer_learns_exclusive_or_and_a_linear_model_cannot(activation):
    image, label = xor()
    torch.manual_seed(0)
    hidden = mlp(Dimensions(2, 2, 1), hidden="8", activation=activation)
    assert train(hidden, image, label, steps=150, lr=0.05) == 1
    assert train(softmax_regression(Dimensions(2, 2, 1)), image, label, steps=150, lr=0.05) < 1


@pytest.mark.parametrize("build", [mlp, chip_mlp])
def test_hidden_layers_activation_and_dropout_are_those_asked_for(build):
    network = build(Dimensions(3, 4, 1), hidden="7, 5", activation="tanh", dropout=0.25)
    sizes = [value.shape[0] for key, value in network.named_parameters() if key.endswith("weight")]
    assert sorted(sizes) == [4, 5, 7]
    layers = list(network.modules())
    assert sum(isinstance(layer, nn.Tanh) for layer in layers) == 2
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout) and layer.p] == [0.25, 0.25]
    one = build(Dimensions(3, 4, 1), hidden=9)  # YAML reads 9 as a number
    assert 9 in [value.shape[0] for value in one.parameters()]


@pytest.mark.parametrize("build", [mlp, chip_mlp])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"hidden": "64,"},
            r"hidden gives the units of each hidden layer, such as '64,64' or '128', found '64,'",
        ),
        ({"hidden": ""}, r"found ''"),
        ({"hidden": "0"}, r"found '0'"),
        ({"hidden": "-4"}, r"found '-4'"),
        ({"hidden": True}, r"found True"),
        ({"activation": "gelu"}, r"activation is one of sigmoid, tanh, relu, found 'gelu'"),
        ({"dropout": 1.0}, r"dropout is a number from 0 to below 1, found 1.0"),
    ],
)
def test_a_wrong_option_is_refused(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(Dimensions(3, 4), **options)


def test_a_chip_is_read_as_one_row_whatever_its_layout_in_memory():
    network = chip_perceptron(Dimensions(3, 2, 4))
    image = torch.randn(2, 3, 4, 4)
    assert torch.equal(network.features(image), image.flatten(1))
    laid_out = image.contiguous(memory_format=torch.channels_last)
    assert torch.equal(network.features(laid_out), image.flatten(1))
    assert chip_mlp(Dimensions(3, 2, 4), hidden="6,5").features(image).shape == (2, 5)
