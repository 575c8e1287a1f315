"""Batch normalisation folded into the convolutions before it, which makes prediction a little faster.

In evaluation mode a batch normalisation multiplies and adds one number per channel. Where it alone takes what
a convolution or a dense layer gives, that layer's weights and bias can do so instead. Which layer feeds which
is seen on one pass of a small image: nothing is assumed about how a model is written. The folded network is
then compared with the given one on that image.
"""

import copy
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.utils._pytree import tree_leaves

from eoseg.models.dispatch import DispatchMode
from eoseg.models.network import Network

_logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Of the largest logit, by which the folded network may differ: far above float32 rounding."""

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_LEAST_PX = 32  # height and width of the small image


@torch.inference_mode(False)
@torch.no_grad()
def fold_batch_norm(network: Network, *, steps: int = 1) -> Network:
    """Copy a network for prediction, with its batch normalisations folded where that is safe.

    Args:
        network: In evaluation mode; is left as it is.
        steps: T, the number of dates that it will be given: 2 for change.

    Returns:
        A copy, or the network itself where nothing can be folded or the copy would give other logits.
    """
    if not count_batch_norms(network):
        return network
    folded = copy.deepcopy(network).eval()
    image = trial_image(folded, steps=steps)
    expected, pairs = _observe(folded.flat(steps), image)
    for layer, norm in pairs:
        _fold(folded, layer, norm)
    found = folded.flat(steps)(image)
    if not bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max()):  # NaN is refused too
        _logger.debug("folded batch normalisations change the logits: none is folded")
        return network
    _logger.debug("%d batch normalisations folded, %d left", len(pairs), count_batch_norms(folded))
    return folded.to(memory_format=torch.channels_last)


def count_batch_norms(network: nn.Module) -> int:
    """How many batch normalisations a network holds."""
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


def trial_image(network: Network, *, steps: int = 1) -> Tensor:
    """Standard normal values `(1, T*C, H, W)` for `Network.flat`, the same each time.

    Args:
        network: Says how large the image is: a chip, or a small one that fits the output stride.
        steps: T.
    """
    stride = network.output_stride
    size = max(2 * stride, -(-_LEAST_PX // stride) * stride)
    if network.kind == "classification":
        size = int(getattr(network.body, "chip_size", size))
    channels = steps * len(network.normalize.bands)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, size, size, generator=generator).to(network.normalize.mean)


class _Uses(DispatchMode):
    """Counts the operations that take the results of layers, which are known by their memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: dict[int, nn.Module] = {}
        """Which layer gave a result."""
        self.norms: dict[int, nn.Module] = {}
        """Which batch normalisation took it last."""
        self.counts: Counter[int] = Counter()
        self._alive: list[Any] = []  # so that no memory is used for two results

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor):
                self.counts[_memory(value)] += 1
        return func(*args, **(kwargs or {}))

    def gave(self, layer: nn.Module, _: Any, result: Tensor) -> None:
        """Note the result of a layer, as its forward hook."""
        if isinstance(layer, nn.Linear) and result.ndim != 2:
            return  # the channels of batch normalisation are then another axis
        self._alive.append(result)
        self.layers[_memory(result)] = layer
        self.counts[_memory(result)] = 0  # what the layer itself did to it does not count

    def takes(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Note what a batch normalisation is given, as its forward pre-hook."""
        self._alive.append(inputs)
        self.norms[_memory(inputs[0])] = norm

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Layers and batch normalisations that take their results alone, in all calls of both."""
        found = []
        for norm in set(self.norms.values()):
            taken = {key for key, other in self.norms.items() if other is norm}
            layer = self.layers.get(min(taken))
            given = {key for key, other in self.layers.items() if other is layer}
            if layer is not None and given == taken and all(self.counts[key] == 1 for key in taken):
                found.append((layer, norm))
        return found


def _memory(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _observe(body: nn.Module, image: Tensor) -> tuple[Tensor, list[tuple[nn.Module, nn.Module]]]:
    """Run a body, and see which batch normalisations could be folded into which layers."""
    uses = _Uses()
    hooks = []
    for module in body.modules():
        if _can_take(module):
            hooks.append(module.register_forward_hook(uses.gave))
        elif isinstance(module, _BatchNorm) and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(uses.takes))
    with uses:
        logits: Tensor = body(image)
    for hook in hooks:
        hook.remove()
    return logits, uses.pairs()


def _can_take(module: nn.Module) -> bool:
    """Whether a module is a layer into whose weights a batch normalisation can be folded."""
    if not isinstance(module, _LAYERS) or (isinstance(module, nn.ConvTranspose2d) and module.groups > 1):
        return False
    return "weight" in dict(module.named_parameters(recurse=False))  # else it is computed anew in each pass


def _fold(network: nn.Module, layer: Any, norm: Any) -> None:
    """Give a layer's weights what a batch normalisation does, and take that out of the network."""
    if isinstance(layer, nn.Linear):
        scale = torch.ones_like(norm.running_var) if norm.weight is None else norm.weight
        shift = torch.zeros_like(norm.running_mean) if norm.bias is None else norm.bias
        layer.weight, layer.bias = fuse_linear_bn_weights(
            layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, scale, shift
        )
    else:
        layer.weight, layer.bias = fuse_conv_bn_weights(
            layer.weight,
            layer.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
            transpose=isinstance(layer, nn.ConvTranspose2d),
        )
    # timm's BatchNormAct2d drops and activates too
    rest = nn.Sequential(norm.drop, norm.act) if hasattr(norm, "act") else nn.Identity()
    names = [name for name, module in network.named_modules(remove_duplicate=False) if module is norm]
    for name in names:
        network.set_submodule(name, rest)
