"""From names to networks: the model's function is found, its options checked, the result tried out."""

import inspect
import textwrap
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from eoseg.errors import CheckpointError, ConfigError, EosegError, unknown_name
from eoseg.models.dimensions import Dimensions
from eoseg.models.encoders import bare_name, resolve_encoder
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Kind, Network
from eoseg.models.pretrained import load_weights
from eoseg.models.registry import MODELS
from eoseg.recipe import Plain, Recipe


def build_network(
    arch: str,
    *,
    bands: Sequence[str],
    num_classes: int,
    kind: Kind = "segmentation",
    encoder: str | None = None,
    weights: str | None = None,
    args: Mapping[str, Plain] | None = None,
    chip_size: int = 64,
    steps: int = 1,
    regression: bool = False,
) -> Network:
    """Make a network.

    Args:
        arch: A key of `MODELS[kind]`.
        bands: Names of the bands, in the order of the image's channels.
        num_classes: K, the number of classes; 1 for a quantity.
        kind: What the network takes and gives; see `Network`.
        encoder: Of architectures over an encoder: a name of smp or timm; see
            `eoseg.models.encoders.resolve_encoder`. The architecture's own default where it is None.
        weights: What the encoder starts from: None for random values, "imagenet" (or another of smp's
            weights for the encoder), or the name of torchgeo weights such as
            "ResNet18_Weights.SENTINEL2_ALL_MOCO".
        args: Options of the architecture: see its function.
        chip_size: Height and width of a training chip in pixels.
        steps: T, the number of dates of a sample.
        regression: Whether a quantity is estimated.

    Raises:
        ConfigError: A name or an option is unknown, or the parts do not fit together.
    """
    if arch not in MODELS[kind]:
        raise ConfigError(_unknown_model(arch, kind))
    if not bands or num_classes < 1:
        raise ConfigError(
            f"A network needs at least one band and one class, found {len(bands)} bands and {num_classes} "
            "classes."
        )
    options = _options(arch, kind, args or {}, encoder)
    dims = Dimensions(len(bands), num_classes, chip_size, steps)
    try:
        body = MODELS[kind][arch](dims, **options)
        _require_bands(arch, body, bands)
        stride = _output_stride(body)
        network = Network(body, bands=bands, output_stride=stride, kind=kind, regression=regression)
        if not isinstance(body, FittedBody):
            _try_out(network, dims)
    except ConfigError as error:
        raise ConfigError(f"Option of '{arch}': {error}") from error
    except EosegError:
        raise
    except (AssertionError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__
        over = f" over the encoder '{bare_name(str(options['encoder']))}'" if "encoder" in options else ""
        remedy = "Choose another encoder, such as resnet34." if over else "Change its options."
        raise ConfigError(f"'{arch}' cannot be built{over}: {reason} {remedy}") from error
    if weights is not None:
        load_weights(body, weights=weights, bands=bands, encoder=cast(str | None, options.get("encoder")))
    return network


def build_from_recipe(recipe: Recipe) -> Network:
    """Make the network that a recipe describes, with random weights.

    Raises:
        CheckpointError: The recipe does not say which network it is for.
        ConfigError: This version does not know the network, or one of its options.
    """
    kind, arch, args = (recipe.network.get(key) for key in ("kind", "arch", "args"))
    if kind not in MODELS or not isinstance(arch, str) or not isinstance(args, dict):
        raise CheckpointError(
            "The recipe does not say which network it is for (kind, arch, args). Train again, or use another "
            "checkpoint."
        )
    schema = recipe.schema
    network = build_network(
        arch,
        bands=schema.bands,
        num_classes=len(schema.bands) if kind == "pretraining" else schema.outputs,
        kind=kind,
        args=args,
        chip_size=recipe.chip_size,
        steps=schema.steps,
        regression=schema.quantity is not None,
    )
    network.calibrate(recipe.scaling, schema.outputs)
    return network


def network_config(
    network: Network, arch: str, *, encoder: str | None, args: Mapping[str, Plain] | None
) -> dict[str, Plain]:
    """What a recipe says of a network, so that `build_from_recipe` makes it again, with every option.

    A body that depends on files (another checkpoint) names in `recipe_options` those that replace them.
    """
    own = getattr(network.body, "recipe_options", None)
    options = dict(own if isinstance(own, Mapping) else args or {})
    if encoder is not None:
        options["encoder"] = encoder
    defaults = {
        name: entry.default
        for name, entry in inspect.signature(MODELS[network.kind][arch]).parameters.items()
        if entry.kind is entry.KEYWORD_ONLY and entry.default is not None
    }
    return {"kind": network.kind, "arch": arch, "args": {**defaults, **options}}


def _unknown_model(arch: str, kind: Kind) -> str:
    others = [name for name, models in MODELS.items() if arch in models]
    if others:
        return (
            f"'{arch}' is a model for {' and '.join(others)}, not for {kind}. Known for {kind} are "
            f"{', '.join(MODELS[kind])}."
        )
    return unknown_name(f"model for {kind}", arch, MODELS[kind])


def _options(arch: str, kind: Kind, args: Mapping[str, Plain], encoder: str | None) -> dict[str, Plain]:
    """The options of a model, checked by name; its encoder among them."""
    parameters = inspect.signature(MODELS[kind][arch]).parameters
    known = [name for name, entry in parameters.items() if entry.kind is entry.KEYWORD_ONLY]
    options = dict(args)
    if encoder is not None:
        if "encoder" not in known:
            raise ConfigError(
                f"'{arch}' is not built over an encoder; found encoder '{encoder}'. Leave encoder out."
            )
        options["encoder"] = encoder
    for name in options:
        if name not in known:
            raise ConfigError(unknown_name(f"option of '{arch}'", name, known))
    if "encoder" in known:
        options["encoder"] = resolve_encoder(str(options.get("encoder", parameters["encoder"].default)))
    return options


def _require_bands(arch: str, body: nn.Module, bands: Sequence[str]) -> None:
    """A body around another trained network takes that network's bands, in its order."""
    own = getattr(body, "bands", None)
    if own is not None and tuple(own) != tuple(bands):
        raise ConfigError(
            f"'{arch}' holds a network for the bands {', '.join(own)}; found {', '.join(bands)}. Name the "
            "same bands in the same order."
        )


def _output_stride(body: nn.Module) -> int:
    holder = body if hasattr(body, "output_stride") else body.encoder
    return int(cast(int, cast(nn.Module, holder).output_stride))


def _try_out(network: Network, dims: Dimensions) -> None:
    """Run the smallest image that has an inner part, so that a misfit shows here and not in training.

    Parameters that no gradient reaches (stages of an encoder below the chosen depth) are frozen:
    training in several processes fails on parameters that wait for a gradient in vain.
    """
    body, stride = network.body, network.output_stride
    size = (2 * stride, 3 * stride)
    if network.kind == "classification":
        size = (dims.chip_size, dims.chip_size)
    image = torch.zeros(1, dims.steps * dims.channels, *size)
    expected = (1, dims.classes) if network.kind == "classification" else (1, dims.classes, *size)
    body.eval()  # batch statistics stay as they are
    with torch.enable_grad():
        logits = network.flat(dims.steps)(image)
        if logits.shape != expected:
            raise ValueError(
                f"its logits have shape {tuple(logits.shape)} for an image {tuple(image.shape)}."
            )
        trained = [parameter for parameter in body.parameters() if parameter.requires_grad]
        gradients: tuple[Tensor | None, ...] = ()
        if logits.requires_grad:
            gradients = torch.autograd.grad(logits.sum(), trained, allow_unused=True)
    for parameter, gradient in zip(trained, gradients, strict=bool(gradients)):
        if gradient is None:
            parameter.requires_grad_(False)
    body.train()
