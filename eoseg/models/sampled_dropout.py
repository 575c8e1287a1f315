"""Dropout that stays on in prediction, in samples of a network that are the same everywhere.

Gal and Ghahramani 2016 (https://arxiv.org/abs/1506.02142): a network that was trained with dropout stands for
many, each without some of its units, and how much these differ says how little the network knows. Dropping
other units at each pass would make a map depend on its tiles, so here a sample is one network for a whole
scene: which units a layer lacks is drawn from the number of the sample and that of the layer alone, and
holds for all pixels, tiles, batches and processes.

Whole channels are dropped from images, as `Dropout2d` does; of vectors, and of series of single pixels,
single values. What torch drops inside of layers of its own (between the layers of an `LSTM`, in the
attention of `MultiheadAttention`) is no module and is left in: there such networks differ less than in
training.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from eoseg.errors import ConfigError

_WHOLE_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_LAYERS = (nn.Dropout, *_WHOLE_CHANNELS)


class DropoutSample:
    """Which sample of a network is computed; shared with the network's copies."""

    def __init__(self) -> None:
        self.number: int | None = None
        """None for the network as it is."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @contextmanager
    def drawn(self, number: int) -> Iterator[None]:
        """Compute a sample in this context.

        Args:
            number: Which; the same number gives the same sample.
        """
        self.number = number
        try:
            yield
        finally:
            self.number = None


@contextmanager
def sampled_dropout(network: nn.Module, *, name: str = "The network") -> Iterator[DropoutSample]:
    """Let samples of a network be computed, of copies that are made of it in this context too.

    Args:
        network: In evaluation mode; without a sample it gives what it gives otherwise.
        name: What to call it in a message.

    Raises:
        ConfigError: It has no layer of dropout.
    """
    layers = [module for module in network.modules() if isinstance(module, _LAYERS) and 0 < module.p < 1]
    if not layers:
        raise ConfigError(
            f"{name} has no layer that drops anything, so all its samples are the same. Train one with the "
            "option 'dropout' (as fcn, plain_unet and deeplabv3plus have), or give several checkpoints to "
            "--ensemble."
        )
    sample = DropoutSample()
    hooks = [layer.register_forward_hook(_Mask(sample, number)) for number, layer in enumerate(layers)]
    try:
        yield sample
    finally:
        for hook in hooks:
            hook.remove()


class _Mask:
    """Takes from what a layer gives the units that the sample lacks: the layer's forward hook."""

    def __init__(self, sample: DropoutSample, layer: int) -> None:
        self.sample, self.layer = sample, layer

    def __call__(self, module: _DropoutNd, _: Any, output: Tensor) -> Tensor | None:
        number = self.sample.number
        if number is None:
            return None
        whole = output.ndim >= 4 or isinstance(module, _WHOLE_CHANNELS)
        shape = (1, output.shape[1], *(1 if whole else size for size in output.shape[2:]))
        kept = torch.rand(shape, generator=_generator(number, self.layer)) >= module.p
        return output * (kept / (1 - module.p)).to(output)  # others are larger: the mean stays


def _generator(number: int, layer: int) -> torch.Generator:
    """Random numbers of a layer of a sample, the same on every machine and device."""
    digest = hashlib.sha256(f"dropout {number} {layer}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4]))
