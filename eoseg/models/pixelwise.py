"""Networks without neighbourhood: a pixel's bands alone, or the pixels of a chip as one long row.

The classical steps from Rosenblatt's perceptron to the multilayer perceptron. For pixels they are 1 x 1
convolutions, which map `(B, C, H, W)` to `(B, K, H, W)` for any height and width (tables of pixels are
chips of one pixel); for chips they are dense layers, which map `(B, C, H, W)` to `(B, K)`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.chip_classifier import TrunkClassifier
from eoseg.models.dimensions import Dimensions
from eoseg.models.options import require_one_of, require_share

_ACTIVATIONS: dict[str, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
_GAINS = {"sigmoid": 1.0, "tanh": 5 / 3}
"""Of `torch.nn.init.calculate_gain`."""


class Pixelwise(nn.Module):
    """Layers that see one pixel at a time."""

    output_stride = 1

    def __init__(self, layers: nn.Sequential) -> None:
        """Hold the layers.

        Args:
            layers: 1 x 1 convolutions and activations, from C channels to K.
        """
        super().__init__()
        self.layers = layers

    def forward(self, image: Tensor) -> Tensor:
        """Map standardised values `(B, C, H, W)` to logits `(B, K, H, W)`."""
        return cast(Tensor, self.layers(image))  # (B, K, H, W)


def perceptron(dims: Dimensions) -> nn.Module:
    """Perceptron (Rosenblatt 1958, https://doi.org/10.1037/h0042519), one pixel at a time.

    One weighted sum of the bands per class; the class with the largest sum wins. What makes it a perceptron
    is its learning rule, which moves the weights only where the winner is wrong: train it with the loss
    "perceptron" and plain SGD. Weights start at zero.
    """
    return Pixelwise(nn.Sequential(_zeroed(nn.Conv2d(dims.channels, dims.classes, kernel_size=1))))


def softmax_regression(dims: Dimensions) -> nn.Module:
    """Multinomial logistic regression (Cox 1966; Bishop 2006, section 4.3.4), one pixel at a time.

    The perceptron's weighted sums, read as logarithms of odds: train it with cross-entropy. The loss is
    convex, so weights start at zero and there is no better start.
    """
    return perceptron(dims)


def mlp(
    dims: Dimensions, *, hidden: str = "64,64", activation: str = "relu", dropout: float = 0.0
) -> nn.Module:
    """Multilayer perceptron (Rumelhart et al. 1986, https://doi.org/10.1038/323533a0), one pixel at a time.

    Args:
        hidden: Units of each hidden layer, separated by commas.
        activation: "sigmoid", "tanh" or "relu". Weights start as Glorot and Bengio (2010) propose for the
            first two, as He et al. (2015, https://arxiv.org/abs/1502.01852) for the last.
        dropout: Share of the hidden units that is dropped in training, 0 to below 1.
    """
    sizes = _hidden_sizes(hidden, activation, dropout)
    layers: list[nn.Module] = []
    for before, after in pairwise([dims.channels, *sizes]):
        layers += _block(nn.Conv2d(before, after, kernel_size=1), activation, dropout)
    return Pixelwise(nn.Sequential(*layers, nn.Conv2d(sizes[-1], dims.classes, kernel_size=1)))


def chip_perceptron(dims: Dimensions) -> nn.Module:
    """Perceptron (Rosenblatt 1958) over all pixels of a chip, as his was over the cells of a retina.

    Train it with the loss "perceptron" and plain SGD. The descriptor is the chip itself, as one row.
    """
    network = TrunkClassifier(nn.Flatten(), _chip_values(dims), dims)
    _zeroed(network.head)
    return network


def chip_softmax_regression(dims: Dimensions) -> nn.Module:
    """Multinomial logistic regression (Bishop 2006, section 4.3.4) over all pixels of a chip.

    The descriptor is the chip itself, as one row.
    """
    return chip_perceptron(dims)


def chip_mlp(
    dims: Dimensions, *, hidden: str = "256", activation: str = "relu", dropout: float = 0.0
) -> nn.Module:
    """Multilayer perceptron (Rumelhart et al. 1986) over all pixels of a chip. The first layer is large.

    Args:
        hidden: Units of each hidden layer, separated by commas; the last are the descriptor.
        activation: "sigmoid", "tanh" or "relu".
        dropout: Share of the hidden units that is dropped in training, 0 to below 1.
    """
    sizes = _hidden_sizes(hidden, activation, dropout)
    layers: list[nn.Module] = [nn.Flatten()]  # (B, C*H*W)
    for before, after in pairwise([_chip_values(dims), *sizes]):
        layers += _block(nn.Linear(before, after), activation, dropout)
    return TrunkClassifier(nn.Sequential(*layers), sizes[-1], dims)


def _chip_values(dims: Dimensions) -> int:
    return dims.channels * dims.chip_size**2


def _zeroed[L: nn.Linear | nn.Conv2d](layer: L) -> L:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _block(layer: nn.Linear | nn.Conv2d, activation: str, dropout: float) -> Sequence[nn.Module]:
    if activation == "relu":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.xavier_normal_(layer.weight, gain=_GAINS[activation])
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    dropped = [nn.Dropout(dropout)] if dropout else []
    return [layer, _ACTIVATIONS[activation](), *dropped]


def _hidden_sizes(hidden: str, activation: str, dropout: float) -> list[int]:
    """Check the options of a multilayer perceptron and read its sizes."""
    require_one_of("activation", activation, tuple(_ACTIVATIONS))
    require_share("dropout", dropout)
    parts = str(hidden).split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise ConfigError(
            f"hidden gives the units of each hidden layer, such as '64,64' or '128', found {hidden!r}."
        )
    return [int(part) for part in parts]
