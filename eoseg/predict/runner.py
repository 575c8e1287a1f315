"""What computes logits: a network, or something faster in its place."""

from typing import Literal, Protocol

from torch import Tensor

type Precision = Literal["float32", "bfloat16"]
"""Type of a network's weights and activations."""


class Runner(Protocol):
    """Runs a network."""

    def __call__(self, image: Tensor, valid: Tensor, days: Tensor | None = None) -> Tensor:
        """Map raw values to logits in float32, as `Network.forward` does."""
        ...
