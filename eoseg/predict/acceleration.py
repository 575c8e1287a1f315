"""The fastest way to run a network that leaves its map as it is, or within stated bounds.

Batch normalisation is always folded into the convolutions before it (`eoseg.models.fold`). Weights in
bfloat16 change results a little, so `eoseg.predict.runtime` compares them; compiled code takes time to make.
"""

import copy
import logging
from typing import cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.fitted import FittedBody
from eoseg.models.fold import fold_batch_norm, trial_image
from eoseg.models.network import Network
from eoseg.predict.runner import Precision, Runner

_logger = logging.getLogger(__name__)

MAX_DIFFERING_SHARE = 0.005
"""Share of the pixels that may get another class in bfloat16."""
MAX_DEVIATION = 0.01
"""Of the target's standard deviation, by which a quantity may differ in bfloat16."""

_BFLOAT16_FEATURES = ("avx512_bf16", "amx_bf16", "bf16")  # of Intel and AMD, of Intel, of Arm
_COMPILER = (
    "Compiling needs a C++ compiler (such as g++) and Python's header files on a CPU, a C compiler and "
    "triton on a GPU"
)


def accelerate(
    network: Network,
    *,
    precision: Precision = "float32",
    compiled: bool = False,
    device: torch.device,
    steps: int = 1,
) -> Runner:
    """Prepare a network for prediction.

    Args:
        network: In evaluation mode and on the device; is left as it is.
        precision: "bfloat16" for weights and activations of 16 bits. Values are standardised, and logits
            given, in float32.
        compiled: Compile the network for the shape of the first image, which takes up to a minute. Images of
            another shape (a last, smaller batch) run uncompiled.
        device: Where it runs.
        steps: T, the number of dates of an image: 2 for change.

    Raises:
        ConfigError: The device is not made for bfloat16, or the model cannot run in it, or is not a network.
    """
    fitted = isinstance(network.body, FittedBody)
    if fitted and (compiled or precision != "float32"):
        raise ConfigError(
            "This model is no neural network: it runs in float32 and uncompiled alone. Leave --precision and "
            "--compile out."
        )
    fast = fold_batch_norm(network, steps=steps)
    if precision == "bfloat16":
        if not has_fast_bfloat16(device):
            raise ConfigError(
                f"The device '{device}' has no instructions for bfloat16, which would be slower than "
                "float32. Use --precision float32."
            )
        fast = in_bfloat16(fast)
        if not runs(fast, trial_image(network, steps=steps), steps=steps):
            raise ConfigError(
                "A layer of this network does not run in bfloat16, or its logits are no numbers there. Use "
                "--precision float32."
            )
    return _Compiled(fast) if compiled else cast(Runner, fast)


def uncompiled(run: Runner) -> Runner:
    """The network before it was compiled: to try images of another shape than the first one has."""
    return cast(Runner, run.network) if isinstance(run, _Compiled) else run


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies numbers in bfloat16 by instructions of its own.

    Other processors compute it as well, many times slower than float32.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(feature, False) for feature in _BFLOAT16_FEATURES)
    return False


def in_bfloat16(network: Network) -> Network:
    """Copy a network, with the weights of its body in bfloat16; normalisation stays in float32.

    This is faster than `torch.autocast`, which converts weights and activations again in each pass.
    """
    half = copy.deepcopy(network)
    half.body = _HalfBody(half.body)
    return half


@torch.inference_mode()
def runs(network: Network, image: Tensor, *, steps: int = 1) -> bool:
    """Whether a network computes finite logits for an image, found by trying.

    Args:
        network: In evaluation mode.
        image: See `trial_image`.
        steps: T, the number of dates of an image.
    """
    try:
        logits: Tensor = network.flat(steps)(image)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        _logger.debug("the network does not run: %s", error)
        return False
    return bool(logits.isfinite().all())


def accepts_classes(differing: float) -> bool:
    """Whether maps of classes in bfloat16 are as good as those in float32.

    Args:
        differing: Share of the pixels that get another class, 0 to 1.
    """
    return differing <= MAX_DIFFERING_SHARE


def accepts_values(worst: float, *, std: float) -> bool:
    """Whether maps of a quantity in bfloat16 are as good as those in float32.

    Args:
        worst: Largest difference at a pixel, in the quantity's unit.
        std: Standard deviation of the quantity in the training labels.
    """
    return worst <= MAX_DEVIATION * std


class _HalfBody(nn.Module):
    """A body in bfloat16 that takes and gives float32."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body.to(torch.bfloat16)

    def forward(self, image: Tensor, *others: Tensor) -> Tensor:
        # valid and days stay as they are: a day of the year has no place in 8 bits
        logits: Tensor = self.body(image.to(torch.bfloat16), *others)
        return logits.float()


class _Compiled:
    """A network compiled for the shape of the first image."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._compiled = torch.compile(network, dynamic=False)
        self._shape: torch.Size | None = None

    def __call__(self, image: Tensor, valid: Tensor, days: Tensor | None = None) -> Tensor:
        if self._shape is None:
            return self._compile(image, valid, days)
        run = self._compiled if image.shape == self._shape else self.network
        return cast(Tensor, run(image, valid, days))

    def _compile(self, image: Tensor, valid: Tensor, days: Tensor | None) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException

        self.network(image, valid, days)  # its own errors come first, and plainly
        try:
            logits = cast(Tensor, self._compiled(image, valid, days))
        except TorchDynamoException as error:
            _logger.debug("compiling failed: %s", error)
            raise ConfigError(
                f"The network cannot be compiled here. {_COMPILER}. Leave --compile out."
            ) from error
        self._shape = image.shape
        return logits
