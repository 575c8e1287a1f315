"""Encoders by name: those of segmentation_models_pytorch, and all convolutional ones of timm.

An encoder maps `(B, C, H, W)` to a list of features at 1, 1/2, 1/4, ... 1/2^depth of that size.
"""

from difflib import get_close_matches
from typing import cast

from torch import nn

from eoseg.errors import ConfigError

_TIMM = "tu-"
"""What smp puts before the names of timm's models."""


def resolve_encoder(name: str) -> str:
    """The name under which smp knows an encoder.

    Args:
        name: A name of smp ("resnet18", "mit_b0"), or of timm with or without "tu-" ("convnext_tiny",
            "tu-resnet18.a1_in1k"). Where both know it, smp's is meant unless "tu-" says otherwise.

    Raises:
        ConfigError: Neither library knows it.
    """
    import timm
    from segmentation_models_pytorch.encoders import encoders

    if name in encoders:
        return name
    bare = name.removeprefix(_TIMM)
    if bare and timm.is_model(bare):
        return _TIMM + bare
    known = [*encoders, *timm.list_models()]
    near = get_close_matches(bare, dict.fromkeys(known), n=3)
    hint = f" Did you mean {' or '.join(repr(entry) for entry in near)}?" if near else ""
    raise ConfigError(
        f"There is no encoder '{name}'.{hint} Known are the {len(encoders)} encoders of "
        "segmentation_models_pytorch (such as resnet34, efficientnet-b0, mit_b0) and the models of timm."
    )


def make_encoder(
    name: str, in_channels: int, *, depth: int = 5, weights: str | None = None, output_stride: int = 32
) -> nn.Module:
    """Make an encoder.

    Args:
        name: As `resolve_encoder` returns it.
        in_channels: Number of bands.
        depth: Number of halvings, up to 5.
        weights: One of smp's weights for this encoder, to be downloaded; None for random values.
        output_stride: 8 or 16 replace the last strides by dilation.
    """
    from segmentation_models_pytorch.encoders import get_encoder

    source = True if weights is not None and is_timm(name) else weights
    encoder = get_encoder(
        name, in_channels, depth=depth, weights=source, output_stride=output_stride, **encoder_args(name)
    )
    return cast(nn.Module, encoder)


def is_timm(name: str) -> bool:
    """Whether smp takes the encoder from timm."""
    return name.startswith(_TIMM)


def bare_name(name: str) -> str:
    """The name of the model alone, without "tu-" and without timm's tag of pretrained weights."""
    return name.removeprefix(_TIMM).split(".")[0] if is_timm(name) else name


def encoder_args(name: str) -> dict[str, bool]:
    """Arguments without which an encoder would take images of a single size only."""
    return {"strict_img_size": False} if name.startswith(f"{_TIMM}swin") else {}
