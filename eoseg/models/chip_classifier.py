"""What every network that gives one class per chip consists of: a descriptor and a last layer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, override

from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a trunk comes from, so that the library's pretrained weights can be fitted to it."""

    library: Literal["torchvision", "timm"]
    name: str
    """The library's name of the model."""
    inputs: tuple[str, ...]
    """Names of the weights with one kernel per band."""
    options: tuple[tuple[str, int], ...] = ()
    """What timm is told of the size of images and patches."""
    dense: tuple[str, int] | None = None
    """Name of the weight of a dense layer over a grid of features, and the number of features."""


class ChipClassifier(nn.Module, ABC):
    """What turns a chip into a descriptor, and a dense layer that turns the descriptor into logits."""

    output_stride = 1

    def __init__(self, descriptor: int, dims: Dimensions, *, dropout: float = 0.0) -> None:
        """Make the last layer.

        Args:
            descriptor: D, the length of a descriptor.
            dims: Number of classes, and the size of the chips.
            dropout: Share of the descriptor that is dropped before the last layer in training.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(descriptor, dims.classes)
        self.chip_size = dims.chip_size

    @abstractmethod
    def describe(self, image: Tensor) -> Tensor:
        """Map chips `(B, C, H, W)` of the right size to descriptors `(B, D)`."""

    def features(self, image: Tensor) -> Tensor:
        """The descriptor of each chip, before the last layer.

        Args:
            image: Standardised values `(B, C, H, W)`.

        Returns:
            `(B, D)`.

        Raises:
            ConfigError: The chips have another size than the network was made for.
        """
        if image.shape[-2:] != (self.chip_size, self.chip_size):
            height, width = image.shape[-2:]
            raise ConfigError(
                f"The network was made for chips of {self.chip_size} x {self.chip_size} pixels, found "
                f"{height} x {width}. Cut chips of that size, or train with another chip_size."
            )
        return self.describe(image)

    def forward(self, image: Tensor) -> Tensor:
        """Map standardised values `(B, C, H, W)` to logits `(B, K)`."""
        descriptor = self.features(image)  # (B, D)
        return cast(Tensor, self.head(self.dropout(descriptor)))  # (B, K)


class TrunkClassifier(ChipClassifier):
    """A classifier over a network of torchvision, of timm, or of our own without its last layer."""

    def __init__(
        self,
        trunk: nn.Module,
        descriptor: int,
        dims: Dimensions,
        *,
        dropout: float = 0.0,
        origin: Origin | None = None,
    ) -> None:
        """Put a last layer on a trunk.

        Args:
            trunk: Maps `(B, C, H, W)` to `(B, D)`.
            descriptor: D.
            dims: Number of classes, and the size of the chips.
            dropout: Share of the descriptor that is dropped before the last layer in training.
            origin: Which library's weights fit the trunk; None where no library has any.
        """
        super().__init__(descriptor, dims, dropout=dropout)
        self.trunk = trunk
        self.origin = origin

    @override
    def describe(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.trunk(image))


class EncoderClassifier(ChipClassifier):
    """A classifier over an encoder of the segmentation models: its last features, averaged over the chip."""

    def __init__(
        self, encoder: nn.Module, name: str, descriptor: int, dims: Dimensions, *, dropout: float
    ) -> None:
        """Put pooling and a last layer on an encoder.

        Args:
            encoder: As `eoseg.models.encoders.make_encoder` makes it.
            name: Its name.
            descriptor: Channels of its last features.
            dims: Number of classes, and the size of the chips.
            dropout: Share of the descriptor that is dropped before the last layer in training.
        """
        super().__init__(descriptor, dims, dropout=dropout)
        self.encoder = encoder
        self.encoder_name = name

    @override
    def describe(self, image: Tensor) -> Tensor:
        last = cast(Sequence[Tensor], self.encoder(image))[-1]  # (B, D, H/32, W/32)
        return last.mean(dim=(2, 3))  # (B, D)


def require_chip(what: str, dims: Dimensions, least: int, *, multiple: int = 1, remedy: str = "") -> None:
    """Refuse chips that an architecture cannot take.

    Args:
        what: Name of the architecture.
        dims: The size of the chips.
        least: Smallest size.
        multiple: Sizes are multiples of this.
        remedy: What else could be done, as a sentence.

    Raises:
        ConfigError: With the nearest size that fits.
    """
    size = dims.chip_size
    if size >= least and size % multiple == 0:
        return
    below = size // multiple * multiple
    nearest = [fit for fit in (below, below + multiple) if fit >= least] if multiple > 1 else []
    sizes = " or ".join(map(str, nearest)) or str(-(-least // multiple) * multiple)
    rule = f"of at least {least} pixels" if size < least else f"whose size is a multiple of {multiple} pixels"
    raise ConfigError(
        f"{what} takes chips {rule}, found chip_size {size}. The nearest size that fits: {sizes}."
        + (f" {remedy}" if remedy else "")
    )
