"""What a network starts from: weights of a library, or a checkpoint of another network.

`load_weights` is the one way in. It knows three kinds of bodies: those with an `encoder` of smp, chip
classifiers over a network of torchvision or timm (`TrunkClassifier`), and those without pretrained weights.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from eoseg.errors import ConfigError, unknown_name
from eoseg.models.checkpoint_file import read_checkpoint
from eoseg.models.chip_classifier import Origin, TrunkClassifier
from eoseg.models.encoders import bare_name, resolve_encoder
from eoseg.models.weights import (
    COLOR_CODES,
    COLORS,
    RGB,
    Start,
    download,
    find_torchgeo,
    input_layers,
    load_encoder_weights,
    torchgeo_weights,
    trained_model,
)

_FILES = (".ckpt", ".pt", ".pth")
_PARTS = ("body.encoder.", "body.trunk.")
"""Where a checkpoint keeps what other networks can start from."""
_NEEDED = ContextVar("_NEEDED", default=True)


@contextmanager
def weights_from_checkpoint() -> Iterator[None]:
    """Within, `load_weights` does nothing: a checkpoint will fill the networks that are built.

    So a trained network can be evaluated where the weights that it started from are no longer at hand.
    """
    token = _NEEDED.set(False)
    try:
        yield
    finally:
        _NEEDED.reset(token)


def load_weights(
    body: nn.Module,
    *,
    weights: str,
    bands: Sequence[str],
    encoder: str | None = None,
    new_bands: str = "average",
) -> None:
    """Fill the part of a network that can be pretrained; its last layers keep their random values.

    Args:
        body: The network without its normalisation.
        weights: One of
            "imagenet" (or another name of smp's for the encoder, or of torchvision's, "IMAGENET1K_V2");
            the name of torchgeo weights, such as "ResNet18_Weights.SENTINEL2_ALL_MOCO";
            the path of a checkpoint of eoseg (.ckpt) whose encoder, or trunk, has the same layers, such
            as that of an autoencoder.
        bands: Names of the bands, in the order of the channels.
        encoder: Name of the encoder of a body that does not know it (`encoder_name`).
        new_bands: What bands that the weights do not know start from: "average" (of all kernels), "zero", or
            one of the bands of the weights, whose kernels are copied.

    Raises:
        ConfigError: There are no such weights, they are for another network, or cannot be downloaded.
        CheckpointError: The file is not a checkpoint of eoseg.
    """
    if not _NEEDED.get():
        return
    if weights.endswith(_FILES) or Path(weights).is_file():
        _load_checkpoint(body, weights, bands, encoder, new_bands)
    elif hasattr(body, "encoder"):
        module, name = cast(nn.Module, body.encoder), _encoder_name(body, encoder)
        load_encoder_weights(module, name, weights=weights, bands=bands, new_bands=new_bands)
    elif isinstance(body, TrunkClassifier) and body.origin is not None:
        load_classifier_weights(body, weights=weights, bands=bands, new_bands=new_bands)
    else:
        raise ConfigError(
            f"This network has no pretrained weights, found weights '{weights}'. Set weights to null, or "
            "choose an arch over an encoder."
        )


def load_classifier_weights(
    body: TrunkClassifier, *, weights: str, bands: Sequence[str], new_bands: str = "average"
) -> None:
    """Fill the trunk of a chip classifier with weights of torchvision, timm or torchgeo.

    Dense layers that look at a grid of features are folded to the chip's, which gives what torchvision's
    adaptive pooling gives; embedded positions and patches of transformers are resampled.

    Args:
        body: Its `origin` says which library's weights fit.
        weights: As for `load_weights`.
        bands: Names of the bands, in the order of the channels.
        new_bands: As for `load_weights`.

    Raises:
        ConfigError: There are no such weights, they are for another network, or cannot be downloaded.
    """
    origin = body.origin
    if origin is None:
        raise ConfigError(
            f"This network has no pretrained weights, found weights '{weights}'. Set it to null."
        )
    what = f"network '{origin.name}'"
    if "." in weights:
        entry = find_torchgeo(weights)
        trained = trained_model(entry)
        if trained != bare_name(origin.name).split(".")[0]:
            raise ConfigError(
                f"The weights '{weights}' are for {trained}, this network is {origin.name}. Choose weights "
                f"for {origin.name}, an arch for {trained}, or set weights to null."
            )
        state, source, aliases = torchgeo_weights(weights, entry)
    else:
        fetch = _torchvision_weights if origin.library == "torchvision" else _timm_weights
        state, source, aliases = fetch(origin, weights), RGB, COLOR_CODES
    start = Start(what, weights, source, aliases, new_bands)
    # Some of torchgeo's transformers come without their last normalisation, which then starts at 1 and 0.
    optional = ("norm.", "fc_norm.") if origin.library == "timm" else ()
    state = _resized(state, body.trunk, origin)
    start.fill(body.trunk, state, inputs=origin.inputs, bands=bands, optional=optional)


def _torchvision_weights(origin: Origin, weights: str) -> dict[str, Tensor]:
    from torchvision import models

    entries = {str(entry.name): entry for entry in models.get_model_weights(origin.name)}
    known = {"imagenet": entries.get("IMAGENET1K_V1"), **entries}
    entry = known.get(weights)
    if entry is None:
        raise ConfigError(_unknown(origin, weights, known))
    state = download(
        weights,
        lambda: entry.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu"),
    )
    return dict(state)


def _timm_weights(origin: Origin, weights: str) -> dict[str, Tensor]:
    import timm

    if not timm.models.is_model_pretrained(origin.name):
        raise ConfigError(f"The network '{origin.name}' has no pretrained weights. Set weights to null.")
    if weights != "imagenet":
        raise ConfigError(_unknown(origin, weights, ["imagenet"]))
    # timm itself fits them to the size of chips and patches
    options: dict[str, Any] = dict(origin.options)
    trunk = download(
        weights,
        lambda: timm.create_model(origin.name, pretrained=True, num_classes=0, **options),
    )
    return dict(trunk.state_dict())


def _unknown(origin: Origin, weights: str, known: Sequence[str] | dict[str, object]) -> str:
    return (
        unknown_name(f"weights of network '{origin.name}'", weights, known)
        + " Torchgeo's are named like 'ResNet18_Weights.SENTINEL2_ALL_MOCO'."
    )


def _load_checkpoint(
    body: nn.Module, path: str, bands: Sequence[str], encoder: str | None, new_bands: str
) -> None:
    """Start from the encoder or the trunk of a checkpoint of eoseg."""
    recipe, whole = read_checkpoint(path)
    state = {
        key.removeprefix(part): value
        for part in _PARTS
        for key, value in whole.items()
        if key.startswith(part)
    }
    inputs: set[str] | tuple[str, ...]
    if hasattr(body, "encoder"):
        module, name = cast(nn.Module, body.encoder), _encoder_name(body, encoder)
        what, inputs = f"encoder '{name}'", input_layers(module, name)
    elif isinstance(body, TrunkClassifier):
        module, origin = body.trunk, body.origin
        what, inputs = (f"network '{origin.name}'", origin.inputs) if origin else ("network", ())
        state = _resized(state, module, origin)
    else:
        raise ConfigError(
            "This network has neither an encoder nor a trunk that could start from a checkpoint. Set weights "
            "to null."
        )
    if not state:
        raise ConfigError(
            f"{path} holds neither an encoder nor a trunk that another network could start from. Give a "
            "checkpoint of a network over an encoder, such as an autoencoder."
        )
    if not inputs and tuple(bands) != recipe.schema.bands:
        raise ConfigError(
            f"{path} was trained on the bands {', '.join(recipe.schema.bands)}, found {', '.join(bands)}: "
            "this network takes the same bands only."
        )
    start = Start(what, path, recipe.schema.bands, COLORS, new_bands)
    start.fill(module, state, inputs=inputs, bands=bands)


def _encoder_name(body: nn.Module, encoder: str | None) -> str:
    return resolve_encoder(encoder if encoder is not None else cast(str, body.encoder_name))


def _resized(state: dict[str, Tensor], trunk: nn.Module, origin: Origin | None) -> dict[str, Tensor]:
    """Fit what depends on the size of a chip to the trunk's."""
    own = trunk.state_dict()
    state = dict(state)
    if origin is not None and origin.dense is not None and origin.dense[0] in state:
        key, channels = origin.dense
        state[key] = _folded(state[key], own[key].shape[1], channels)
    if origin is not None and origin.library == "timm" and "pos_embed" in own and "pos_embed" in state:
        _resample_tokens(state, trunk)
    return state


def _folded(weight: Tensor, inputs: int, channels: int) -> Tensor:
    """A dense layer over a grid of features, for a smaller grid.

    Over a grid that adaptive pooling stretched from `side` to `grid`, a weight of the small grid is the sum
    of those of the places that copy from it.

    Args:
        weight: `(out, channels * grid * grid)`.
        inputs: Its second size over the small grid, `channels * side * side`.
        channels: Of the features.

    Returns:
        `(out, channels * side * side)`.
    """
    side, grid = math.isqrt(inputs // channels), math.isqrt(weight.shape[1] // channels)
    cells = torch.eye(side**2).view(side**2, 1, side, side)
    stretched = functional.adaptive_avg_pool2d(cells, grid).flatten(1)  # (side * side, grid * grid)
    return (weight.view(-1, channels, grid**2) @ stretched.T).flatten(1)


def _resample_tokens(state: dict[str, Tensor], trunk: nn.Module) -> None:
    """Embedded positions and the patch of a vision transformer, for another size of chips and patches."""
    from timm.layers.patch_embed import resample_patch_embed
    from timm.layers.pos_embed import resample_abs_pos_embed

    own = trunk.state_dict()
    positions, kernel = "pos_embed", "patch_embed.proj.weight"
    if state[positions].shape != own[positions].shape:
        grid = list(cast(Sequence[int], cast(nn.Module, trunk.patch_embed).grid_size))
        state[positions] = resample_abs_pos_embed(
            state[positions], grid, num_prefix_tokens=own[positions].shape[1] - math.prod(grid)
        )
    if kernel in state and state[kernel].shape[-2:] != own[kernel].shape[-2:]:
        state[kernel] = resample_patch_embed(state[kernel], list(own[kernel].shape[-2:]))
