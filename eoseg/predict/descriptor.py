"""What a trained network says of a chip before it decides: its features, as one vector."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network
from eoseg.recipe import Recipe


class Descriptor(nn.Module):
    """Standardised chips `(B, C, H, W)` in, features `(B, D)` out.

    Of a network for chips the descriptor before its last layer; of an autoencoder, and of a segmenter over an
    encoder, the encoder's deepest features, averaged over the chip.
    """

    def __init__(self, network: Network) -> None:
        """Find the features of a network.

        Args:
            network: Is put into evaluation mode.

        Raises:
            ConfigError: The network has none: it takes several dates, has no encoder, or is fitted in one go.
        """
        super().__init__()
        body = network.eval().body
        self.body = body
        if isinstance(body, FittedBody):
            raise ConfigError(_refusal("is fitted in one go and learns no features"))
        if not network.takes_one_date:
            raise ConfigError(_refusal(f"is for {network.kind} and takes several dates"))
        # bodies for pixels may have an attribute of that name, which says what they are fed with
        self._own = network.kind in ("classification", "pretraining") and hasattr(body, "features")
        if not self._own and not isinstance(getattr(body, "encoder", None), nn.Module):
            raise ConfigError(_refusal("has neither a descriptor of chips nor an encoder"))

    def forward(self, image: Tensor) -> Tensor:
        """Features `(B, D)` of standardised chips `(B, C, H, W)`, float32."""
        if self._own:
            return cast(Tensor, self.body.features(image)).float()  # type: ignore[operator]
        deepest = cast(Sequence[Tensor], cast(nn.Module, self.body.encoder)(image))[-1]
        return deepest.float().mean(dim=(2, 3))

    @torch.inference_mode()
    def count(self, channels: int, chip_size: int) -> int:
        """D, the number of features of a chip."""
        like = next(self.body.parameters(), torch.zeros(()))
        return int(self(torch.zeros(1, channels, chip_size, chip_size).to(like)).shape[1])


def chip_size_of(network: Network, recipe: Recipe, chip_size: int | None) -> int:
    """Height and width of the chips that are described.

    Args:
        network: The network.
        recipe: Its recipe, whose chip size is the default.
        chip_size: Another one.

    Raises:
        ConfigError: The network does not take chips of that size.
    """
    size = recipe.chip_size if chip_size is None else chip_size
    if network.kind == "classification" and size != recipe.chip_size:
        raise ConfigError(
            f"The network was made for chips of {recipe.chip_size} px; found --chip-size {size}. Leave it "
            "out, or train with another chip_size."
        )
    network.check_size(size, size)
    return size


def _refusal(why: str) -> str:
    return (
        f"The network of this checkpoint {why}, so there is nothing to embed. Use a classifier of chips, a "
        "segmenter over an encoder, or an autoencoder."
    )
