"""Convolutional networks and transformers that give one class, or several, per chip.

Each is one function and one entry of `eoseg.models.MODELS`. It takes what the data fix, then its own
options as keyword-only arguments with plain defaults, and returns a `ChipClassifier` with random weights:
`eoseg.models.pretrained` fills it afterwards. Any number of bands; where a library's first layer takes three,
it is made anew. Global pooling is each architecture's own; dense layers behind a grid of features (AlexNet,
VGG) are sized for the chip rather than fed with copies, as torchvision does for chips below 224 pixels.
"""

import textwrap
from collections import OrderedDict
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.chip_classifier import EncoderClassifier, Origin, TrunkClassifier, require_chip
from eoseg.models.dimensions import Dimensions
from eoseg.models.encoders import make_encoder, resolve_encoder
from eoseg.models.options import require_bool, require_one_of, require_share, require_whole

_SMALL_CHIP = 32
_STEMS = ("auto", "imagenet", "unpooled", "small")
_HIDDEN = 4096
"""Units of the dense layers of AlexNet and VGG."""


def lenet5(dims: Dimensions, *, activation: str = "tanh", dropout: float = 0.0) -> nn.Module:
    """LeNet-5 (LeCun et al. 1998, https://doi.org/10.1109/5.726791), for chips of at least 16 pixels.

    Two convolutions with pooling, then dense layers of 120 and 84 units; the first is sized for the chip (the
    paper's are 32 pixels). The paper's trained pooling, scaled tanh and radial output are left out, as nearly
    everywhere.

    Args:
        activation: "tanh", as in the paper, or "relu".
        dropout: Share of the 84 units that is dropped in training, 0 to below 1.
    """
    require_one_of("activation", activation, ("tanh", "relu"))
    require_share("dropout", dropout)
    require_chip("LeNet-5", dims, 16)
    side = ((dims.chip_size - 4) // 2 - 4) // 2  # two 5 x 5 convolutions without padding, each halved
    act = nn.Tanh if activation == "tanh" else nn.ReLU
    trunk = nn.Sequential(
        *(nn.Conv2d(dims.channels, 6, kernel_size=5), act(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, kernel_size=5), act(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * side**2, 120), act(), nn.Linear(120, 84), act()),
    )
    return TrunkClassifier(trunk, 84, dims, dropout=dropout)


def alexnet(dims: Dimensions, *, dropout: float = 0.5) -> nn.Module:
    """AlexNet (Krizhevsky 2014, https://arxiv.org/abs/1404.5997), for chips of at least 63 pixels.

    Args:
        dropout: Share of the dense layers' inputs that is dropped in training, 0 to below 1.
    """
    from torchvision import models

    require_share("dropout", dropout)
    require_chip("AlexNet", dims, 63, remedy="Or take arch lenet5 or resnet.")
    with torch.device("meta"):  # without the memory of its dense layers, which are made below
        features = cast(nn.Sequential, models.alexnet(weights=None).features)
    features = features.to_empty(device="cpu")
    features[0] = _first(cast(nn.Conv2d, features[0]), dims)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    side = (dims.chip_size - 7) // 4 + 1  # after the first convolution; the others keep the size
    for _ in range(3):
        side = (side - 1) // 2  # after each pooling
    side = min(side, 6)  # what ImageNet's chips leave
    classifier = nn.Sequential(
        *(nn.Dropout(dropout), nn.Linear(256 * side**2, _HIDDEN), nn.ReLU(inplace=True)),
        *(nn.Dropout(dropout), nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU(inplace=True)),
    )
    origin = Origin("torchvision", "alexnet", ("features.0.weight",), dense=("classifier.1.weight", 256))
    return TrunkClassifier(_stages(features, side, classifier), _HIDDEN, dims, origin=origin)


def vgg(dims: Dimensions, *, depth: int = 16, batch_norm: bool = True, dropout: float = 0.5) -> nn.Module:
    """VGG (Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556), for chips of at least 32 pixels.

    Args:
        depth: Layers with weights: 11, 16 or 19.
        batch_norm: Normalise after each convolution. The paper has none, and trains the deeper networks from
            shallower ones; with it they train from random weights.
        dropout: Share of the hidden units that is dropped in training, 0 to below 1.
    """
    from torchvision.models import vgg as library

    require_one_of("depth", depth, (11, 16, 19))
    require_bool("batch_norm", batch_norm)
    require_share("dropout", dropout)
    require_chip("VGG", dims, 32, remedy="Or take arch lenet5 or resnet.")
    configuration = library.cfgs[{11: "A", 16: "D", 19: "E"}[depth]]
    features = library.make_layers(configuration, batch_norm=batch_norm)
    features[0] = _first(cast(nn.Conv2d, features[0]), dims)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            _he(layer)
    side = min(dims.chip_size // 32, 7)  # five poolings; 7 is what ImageNet's chips leave
    classifier = nn.Sequential(
        *(nn.Linear(512 * side**2, _HIDDEN), nn.ReLU(inplace=True), nn.Dropout(dropout)),
        *(nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU(inplace=True), nn.Dropout(dropout)),
    )
    name = f"vgg{depth}_bn" if batch_norm else f"vgg{depth}"
    origin = Origin("torchvision", name, ("features.0.weight",), dense=("classifier.0.weight", 512))
    return TrunkClassifier(_stages(features, side, classifier), _HIDDEN, dims, origin=origin)


def googlenet(dims: Dimensions, *, stem: str = "auto", dropout: float = 0.2) -> nn.Module:
    """GoogLeNet (Szegedy et al. 2014, https://arxiv.org/abs/1409.4842), with batch normalisation.

    Torchvision's, without the auxiliary classifiers: batch normalisation does what they were for.

    Args:
        stem: First layers, see `resnet`.
        dropout: Share of the descriptor that is dropped in training, 0 to below 1.
    """
    from torchvision import models

    stem = _stem("GoogLeNet", stem, dims)
    require_share("dropout", dropout)
    trunk = models.googlenet(weights=None, aux_logits=False, init_weights=True, transform_input=False)
    first = trunk.conv1
    first.conv = _first(first.conv, dims, small=stem == "small")
    nn.init.trunc_normal_(first.conv.weight, std=0.01, a=-2, b=2)  # as torchvision starts the others
    if stem != "imagenet":
        trunk.maxpool1 = nn.Identity()
    trunk.dropout = nn.Identity()
    descriptor = trunk.fc.in_features
    trunk.fc = nn.Identity()
    origin = Origin("torchvision", "googlenet", ("conv1.conv.weight",))
    return TrunkClassifier(trunk, descriptor, dims, dropout=dropout, origin=origin)


def resnet(dims: Dimensions, *, depth: int = 18, stem: str = "auto", dropout: float = 0.0) -> nn.Module:
    """ResNet (He et al. 2015, https://arxiv.org/abs/1512.03385); from 50 layers on with bottlenecks.

    Args:
        depth: Layers with weights: 18, 34, 50, 101 or 152.
        stem: What comes before the residual blocks. "imagenet": 7 x 7 convolution with stride 2 and pooling,
            as for 224 pixels, which leaves a quarter of the chip's size. "unpooled": without the pooling, a
            half; ImageNet's weights still fit, at four times the cost. "small": 3 x 3 convolution without
            stride, the whole size, as for the 32 pixels of CIFAR (section 4.2 of the paper), at sixteen times
            the cost. "auto": "small" up to 32 pixels, where "imagenet" would leave a single one in the end,
            and "imagenet" above.
        dropout: Share of the descriptor that is dropped in training, 0 to below 1.
    """
    from torchvision import models

    require_one_of("depth", depth, (18, 34, 50, 101, 152))
    stem = _stem("ResNet", stem, dims)
    require_share("dropout", dropout)
    trunk = cast(models.ResNet, models.get_model(f"resnet{depth}", weights=None))
    trunk.conv1 = _he(_first(trunk.conv1, dims, small=stem == "small"))
    if stem != "imagenet":
        trunk.maxpool = nn.Identity()
    descriptor = trunk.fc.in_features
    trunk.fc = nn.Identity()
    origin = Origin("torchvision", f"resnet{depth}", ("conv1.weight",))
    return TrunkClassifier(trunk, descriptor, dims, dropout=dropout, origin=origin)


def vit(dims: Dimensions, *, size: str = "tiny", patch: int = 8, dropout: float = 0.0) -> nn.Module:
    """Vision transformer (Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929), timm's.

    Args:
        size: "tiny" (5 million parameters), "small" (22), "base" (86) or "large" (303).
        patch: Height and width of a token in pixels; chips are a multiple of it. The paper has 16 for 224
            pixels; pretrained weights of that size are resampled to any.
        dropout: Share dropped in training after the embedding of positions and each dense layer of a block,
            0 to below 1.
    """
    require_one_of("size", size, ("tiny", "small", "base", "large"))
    require_whole("patch", patch, 1)
    require_share("dropout", dropout)
    require_chip("ViT", dims, patch, multiple=patch, remedy="Or choose another patch.")
    options = {"img_size": dims.chip_size, "patch_size": patch}
    rates = {"pos_drop_rate": dropout, "proj_drop_rate": dropout}
    return _of_timm(f"vit_{size}_patch16_224", dims, options, rates)


def timm_model(dims: Dimensions, *, name: str = "efficientnet_b0", dropout: float = 0.0) -> nn.Module:
    """Any classifier of timm (Wightman 2019, https://github.com/huggingface/pytorch-image-models).

    Args:
        name: As timm knows it, with or without a tag of weights: "convnext_tiny.in12k_ft_in1k". Models for
            images of one size are made for the chip's.
        dropout: Share of the descriptor that is dropped in training, 0 to below 1.
    """
    import timm

    require_share("dropout", dropout)
    _require_timm(name)
    usual = timm.get_pretrained_cfg(name)
    one_size = usual is not None and usual.fixed_input_size
    return _of_timm(name, dims, {"img_size": dims.chip_size} if one_size else {}, {}, dropout)


def encoder_classifier(dims: Dimensions, *, encoder: str = "resnet18", dropout: float = 0.0) -> nn.Module:
    """Any encoder of the segmentation models, with global pooling (Lin et al. 2013) and a dense layer.

    Made of the same module as the segmenters over that encoder, so that weights go from one to the other:
    ImageNet's, torchgeo's, and those of an autoencoder or a segmenter trained by eoseg.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder`.
        dropout: Share of the descriptor that is dropped in training, 0 to below 1.
    """
    require_share("dropout", dropout)
    name = resolve_encoder(encoder)
    pyramid = make_encoder(name, dims.channels)
    require_chip(f"The encoder {encoder}", dims, int(cast(int, pyramid.output_stride)))
    sizes = cast(Sequence[int], pyramid.out_channels)
    _try_out(pyramid, encoder, dims)
    return EncoderClassifier(pyramid, name, sizes[-1], dims, dropout=dropout)


def _stem(what: str, stem: str, dims: Dimensions) -> str:
    """Check the option and choose for "auto"."""
    require_one_of("stem", stem, _STEMS)
    if stem == "auto":
        stem = "small" if dims.chip_size <= _SMALL_CHIP else "imagenet"
    least = {"imagenet": 32, "unpooled": 16, "small": 8}[stem]  # at least one pixel in the end
    require_chip(
        f"{what} with stem {stem}", dims, least, remedy="" if stem == "small" else "Or set stem: small."
    )
    return stem


def _first(layer: nn.Conv2d, dims: Dimensions, *, small: bool = False) -> nn.Conv2d:
    """A first layer for other bands; a small one sees 3 x 3 pixels and keeps the chip's size."""
    shape: dict[str, Any] = {"kernel_size": 3, "stride": 1, "padding": 1}
    if not small:
        shape = {name: getattr(layer, name) for name in shape}
    return nn.Conv2d(dims.channels, layer.out_channels, **shape, bias=layer.bias is not None)


def _he(layer: nn.Conv2d) -> nn.Conv2d:
    """Start weights as torchvision does for ResNet and VGG."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _stages(features: nn.Module, side: int, classifier: nn.Module) -> nn.Module:
    """Join the parts of AlexNet or VGG under torchvision's names, so that its weights fit."""
    pool = nn.AdaptiveAvgPool2d(side)  # does nothing up to 224 pixels
    parts = {"features": features, "avgpool": pool, "flatten": nn.Flatten(), "classifier": classifier}
    return nn.Sequential(OrderedDict(parts))


def _of_timm(
    name: str,
    dims: Dimensions,
    options: dict[str, Any],
    rates: dict[str, Any],
    dropout: float = 0.0,
) -> TrunkClassifier:
    import timm

    try:
        trunk = timm.create_model(name, in_chans=dims.channels, num_classes=0, **options, **rates)
    except (AssertionError, RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise ConfigError(_misfit(name, dims, error)) from error
    patch = getattr(getattr(trunk, "patch_embed", None), "patch_size", None)
    if patch is not None and "img_size" in options:
        require_chip(name, dims, int(patch[0]), multiple=int(patch[0]))
    usual = timm.get_pretrained_cfg(name)
    first = (usual.first_conv if usual is not None else None) or ()
    names = (first,) if isinstance(first, str) else tuple(first)
    origin = Origin("timm", name, tuple(f"{entry}.weight" for entry in names), tuple(options.items()))
    descriptor = _try_out(trunk, name, dims)  # (1, D)
    if not isinstance(descriptor, Tensor) or descriptor.ndim != 2:
        raise ConfigError(
            f"'{name}' gives no descriptor of a whole chip. Choose another model, such as resnet34."
        )
    return TrunkClassifier(trunk, descriptor.shape[1], dims, dropout=dropout, origin=origin)


def _require_timm(name: str) -> None:
    import timm

    if timm.is_model(name):
        return
    near = get_close_matches(str(name), timm.list_models(), n=3)
    hint = f" Did you mean {' or '.join(repr(entry) for entry in near)}?" if near else ""
    raise ConfigError(f"timm has no model '{name}'.{hint} It lists its models with timm.list_models().")


def _try_out(trunk: nn.Module, name: str, dims: Dimensions) -> Tensor:
    """Run one chip, so that a misfit shows here."""
    chip = torch.zeros(1, dims.channels, dims.chip_size, dims.chip_size)
    trunk.eval()  # batch statistics stay as they are
    try:
        with torch.no_grad():
            result = trunk(chip)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(_misfit(name, dims, error)) from error
    trunk.train()
    return cast(Tensor, result)


def _misfit(name: str, dims: Dimensions, error: Exception) -> str:
    reason = textwrap.shorten(str(error), 160, placeholder=" ...") or type(error).__name__
    return (
        f"'{name}' cannot take chips of {dims.chip_size} pixels and {dims.channels} bands ({reason}). Choose "
        "another chip_size (multiples of 32 fit most models, 224 nearly all), or another model."
    )
