"""Networks: raw pixel values in, logits out. Adding a model is one function and one entry of `MODELS`."""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError, unknown_name
from eoseg.models.architectures import deeplabv3plus, fcn, segformer, unet, upernet
from eoseg.models.encoders import resolve_encoder
from eoseg.models.network import Network
from eoseg.models.normalize import Normalize
from eoseg.models.weights import load_encoder_weights
from eoseg.recipe import Plain

__all__ = ["MODELS", "Network", "Normalize", "build_network"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "unet": unet,
    "fcn": fcn,
    "deeplabv3plus": deeplabv3plus,
    "upernet": upernet,
    "segformer": segformer,
}
"""Each architecture's name and function; its options are the function's keyword-only arguments."""


def build_network(
    arch: str,
    *,
    bands: Sequence[str],
    num_classes: int,
    encoder: str = "resnet18",
    weights: str | None = None,
    args: Mapping[str, Plain] | None = None,
) -> Network:
    """Make a network.

    Args:
        arch: A key of `MODELS`.
        bands: Names of the bands, in the order of the image's channels.
        num_classes: K, the number of classes.
        encoder: A name of smp or timm; see `eoseg.models.encoders.resolve_encoder`.
        weights: What the encoder starts from: None for random values, "imagenet" (or another of smp's
            weights for the encoder), or the name of torchgeo weights such as
            "ResNet18_Weights.SENTINEL2_ALL_MOCO".
        args: Options of the architecture: see its function in `eoseg.models.architectures`.

    Raises:
        ConfigError: A name or an option is unknown, or the parts do not fit together.
    """
    if arch not in MODELS:
        raise ConfigError(unknown_name("model", arch, MODELS))
    if not bands or num_classes < 1:
        raise ConfigError(
            f"A network needs at least one band and one class, found {len(bands)} bands and {num_classes} "
            "classes."
        )
    options = dict(args or {})
    _check_options(arch, options)
    name = resolve_encoder(encoder)
    try:
        body = MODELS[arch](name, len(bands), num_classes, **options)
        stride = int(cast(int, cast(nn.Module, body.encoder).output_stride))
        _try_out(body, bands=len(bands), num_classes=num_classes, stride=stride)
    except ConfigError as error:
        raise ConfigError(f"Option of '{arch}': {error}") from error
    except (AssertionError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__
        raise ConfigError(
            f"'{arch}' cannot be built over the encoder '{encoder}': {reason} Choose another encoder, "
            "such as resnet34."
        ) from error
    if weights is not None:
        load_encoder_weights(cast(nn.Module, body.encoder), name, weights=weights, bands=bands)
    return Network(body, bands=bands, output_stride=stride)


def _check_options(arch: str, options: Mapping[str, Plain]) -> None:
    parameters = inspect.signature(MODELS[arch]).parameters.values()
    known = [entry.name for entry in parameters if entry.kind is entry.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise ConfigError(unknown_name(f"option of '{arch}'", name, known))


def _try_out(body: nn.Module, *, bands: int, num_classes: int, stride: int) -> None:
    """Run the smallest image that has an inner part, so that a misfit shows here and not in training.

    Parameters that no gradient reaches (stages of an encoder below the chosen depth) are frozen:
    training in several processes fails on parameters that wait for a gradient in vain.
    """
    image = torch.zeros(1, bands, 2 * stride, 3 * stride)
    body.eval()  # batch statistics stay as they are
    with torch.enable_grad():
        logits = body(image)
        if logits.shape != (1, num_classes, *image.shape[-2:]):
            raise ValueError(
                f"its logits have shape {tuple(logits.shape)} for an image {tuple(image.shape)}."
            )
        trained = [parameter for parameter in body.parameters() if parameter.requires_grad]
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(logits.sum(), trained, allow_unused=True)
    for parameter, gradient in zip(trained, gradients, strict=True):
        if gradient is None:
            parameter.requires_grad_(False)
    body.train()
