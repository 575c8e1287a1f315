"""Networks that find change between two dates: each maps `(B, 2, C, H, W)` to `(B, K, H, W)`.

The earlier date comes first. A function takes what the data fix, then its own options as keyword-only
arguments with plain defaults. The baselines that need no gradients are in `change_baselines`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions
from eoseg.models.encoders import encoder_args, resolve_encoder
from eoseg.models.options import require_one_of, require_share, require_whole

_FC_EF_CONVOLUTIONS = (2, 2, 3, 3)
"""Of FC-EF, convolutions per level of the encoder; the decoder mirrors them."""


def fc_ef(dims: Dimensions, *, width: int = 16, dropout: float = 0.2) -> nn.Module:
    """FC-EF, early fusion: a small U-Net over the bands of both dates. Exactly tileable.

    Daudt et al. 2018, https://arxiv.org/abs/1810.08462, figure 1a. Built as in the paper, because encoders
    of smp have ten times its 1.35 million parameters.

    Args:
        width: Channels of the first level, doubled at each of the three halvings that follow.
        dropout: Share of the channels dropped after each convolution in training, 0 to below 1.
    """
    _require_pair(dims)
    require_whole("width", width, 1)
    require_share("dropout", dropout)
    return EarlyFusion(dims.channels, dims.classes, width=width, dropout=dropout)


def fc_siam_conc(
    dims: Dimensions, *, encoder: str = "resnet18", depth: int = 5, channels: int = 16
) -> nn.Module:
    """FC-Siam-conc: one encoder for both dates, whose features meet in the decoder. Exactly tileable.

    Daudt et al. 2018, https://arxiv.org/abs/1810.08462, figure 1b; torchgeo's `FCSiamConc`.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder`.
        depth: Number of halvings, 3 to 5.
        channels: Channels of the decoder at full resolution; doubled at each halving.
    """
    from torchgeo.models import FCSiamConc

    options = _siamese_options(dims, encoder, depth, channels)
    return Siamese(FCSiamConc(**options), fuse=_concatenate)


def fc_siam_diff(
    dims: Dimensions,
    *,
    encoder: str = "resnet18",
    depth: int = 5,
    channels: int = 16,
    difference: str = "absolute",
) -> nn.Module:
    """FC-Siam-diff: one encoder for both dates, whose features are subtracted. Exactly tileable.

    Daudt et al. 2018, https://arxiv.org/abs/1810.08462, figure 1c; torchgeo's `FCSiamDiff`.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder`.
        depth: Number of halvings, 3 to 5.
        channels: Channels of the decoder at full resolution; doubled at each halving.
        difference: "absolute", as in the paper: the order of the dates does not matter. "signed": later minus
            earlier, as in torchgeo, for classes such as gain and loss that the order tells apart.
    """
    from torchgeo.models import FCSiamDiff

    require_one_of("difference", difference, ("absolute", "signed"))
    options = _siamese_options(dims, encoder, depth, channels)
    return Siamese(FCSiamDiff(**options), fuse=_distance if difference == "absolute" else _subtract)


def changevit(
    dims: Dimensions, *, encoder: str = "vit_tiny_patch16_224", patch: int = 8, channels: int = 64
) -> nn.Module:
    """ChangeViT: a plain vision transformer for both dates, with fine detail from a small ResNet.

    Zhu et al. 2024, https://arxiv.org/abs/2406.12847; torchgeo's `ChangeViT`. It attends to the whole image.
    Of torchgeo's other models of change, BTC takes three bands scaled to 0..255 alone, and ChangeStar gives a
    single probability.

    Args:
        encoder: A plain vision transformer of timm with one class token.
        patch: Height and width of a token in pixels; small ones keep small changes. Pretrained position
            and patch embeddings are resampled to it by timm.
        channels: Channels of the decoder.
    """
    from torchgeo.models import ChangeViT
    from torchgeo.models.changevit import ChangeViTDecoder

    _require_pair(dims)
    require_whole("patch", patch, 1)
    require_whole("channels", channels, 1)
    name = resolve_encoder(encoder).removeprefix("tu-")
    if not name.startswith("vit_"):
        raise ConfigError(_no_plain_vit(encoder))
    size = max(1, dims.chip_size // patch) * patch
    # patch_size is handed on to timm
    model: Any = ChangeViT(
        name, img_size=size, in_channels=dims.channels, num_classes=dims.classes, patch_size=patch
    )
    if getattr(model.encoder, "num_prefix_tokens", 0) != 1:
        raise ConfigError(_no_plain_vit(encoder))  # torchgeo takes the second token on as pixels
    model.decoder = ChangeViTDecoder(
        in_channels=model.encoder.embed_dim, inner_channels=channels, num_classes=dims.classes
    )
    model.output_stride = patch
    return cast(nn.Module, model)


class EarlyFusion(nn.Module):
    """The network of `fc_ef`."""

    output_stride = 2 ** len(_FC_EF_CONVOLUTIONS)

    def __init__(self, bands: int, classes: int, *, width: int, dropout: float) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(len(_FC_EF_CONVOLUTIONS))]
        self.down, self.ups, self.merges = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before = 2 * bands
        for size, count in zip(sizes, _FC_EF_CONVOLUTIONS, strict=True):
            self.down.append(_convolutions([before, *[size] * count], dropout))
            before = size
        for level in reversed(range(len(sizes))):
            size, after = sizes[level], sizes[max(0, level - 1)]
            # on the way up, the last convolution of a level gives the next level's channels
            steps = [2 * size, *[size] * (_FC_EF_CONVOLUTIONS[level] - 1), after]
            self.ups.append(nn.ConvTranspose2d(size, size, 3, stride=2, padding=1, output_padding=1))
            self.merges.append(_convolutions(steps if level else steps[:-1], dropout))
        self.head = nn.Conv2d(sizes[0], classes, kernel_size=3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(B, 2, C, H, W)` to logits `(B, K, H, W)`; H and W are multiples of 16."""
        features = image.flatten(1, 2)  # (B, 2 C, H, W)
        skips: list[Tensor] = []
        for block in self.down:
            skips.append(block(features))
            features = nn.functional.max_pool2d(skips[-1], 2)
        for up, merge in zip(self.ups, self.merges, strict=True):
            features = merge(torch.cat([up(features), skips.pop()], dim=1))
        return cast(Tensor, self.head(features))  # (B, K, H, W)


class Siamese(nn.Module):
    """The layers of torchgeo's FC-Siam models, run on both dates in one batch.

    torchgeo runs the encoder once per date. Batch normalisation then sees one date at a time in training,
    where it removes what sets that date apart (haze, season), and the mean of both in prediction, where it
    does not.
    """

    def __init__(self, model: Any, *, fuse: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Take over a model's layers.

        Args:
            model: One of torchgeo's, with `encoder`, `decoder` and `segmentation_head`.
            fuse: Joins a level's features of the earlier and the later date.
        """
        super().__init__()
        self.encoder: nn.Module = model.encoder
        self.decoder: nn.Module = model.decoder
        self.head: nn.Module = model.segmentation_head
        self._fuse = fuse

    def forward(self, image: Tensor) -> Tensor:
        """Map `(B, 2, C, H, W)` to logits `(B, K, H, W)`; H and W are multiples of the encoder's stride."""
        dates = _channels_last(image.flatten(0, 1))  # (2 B, C, H, W)
        levels: Sequence[Tensor] = self.encoder(dates)
        pairs = [level.view(-1, 2, *level.shape[1:]) for level in levels]  # (B, 2, ...)
        # the decoder takes nothing but the size of the first level, the image itself
        features = [pairs[0][:, 1], *(self._fuse(pair[:, 0], pair[:, 1]) for pair in pairs[1:])]
        return cast(Tensor, self.head(self.decoder(features)))  # (B, K, H, W)


def _concatenate(before: Tensor, after: Tensor) -> Tensor:
    return torch.cat([after, before], dim=1)


def _subtract(before: Tensor, after: Tensor) -> Tensor:
    return after - before


def _distance(before: Tensor, after: Tensor) -> Tensor:
    return (after - before).abs()


def _siamese_options(dims: Dimensions, encoder: str, depth: int, channels: int) -> dict[str, Any]:
    _require_pair(dims)
    require_whole("depth", depth, 3, 5)
    require_whole("channels", channels, 1)
    name = resolve_encoder(encoder)
    if encoder_args(name):
        raise ConfigError(
            f"FC-Siam models take convolutional encoders and mit_b0 to mit_b5; found '{encoder}', which "
            "takes images of one size only. Choose another encoder, such as resnet18."
        )
    return {
        "encoder_name": name,
        "encoder_depth": depth,
        "encoder_weights": None,
        "decoder_channels": [channels * 2**level for level in reversed(range(depth))],
        "in_channels": dims.channels,
        "classes": dims.classes,
    }


def _convolutions(sizes: Sequence[int], dropout: float) -> nn.Sequential:
    """3 x 3 convolutions from one number of channels to the next."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [
            nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
        ]
    return nn.Sequential(*layers)


def _channels_last(image: Tensor) -> Tensor:
    # as Network does with images of one date
    return image.contiguous(memory_format=torch.channels_last)


def _require_pair(dims: Dimensions) -> None:
    if dims.steps != 2:
        raise ConfigError(
            f"A model of change takes 2 dates, found {dims.steps}. Name an earlier and a later."
        )


def _no_plain_vit(encoder: str) -> str:
    return (
        f"ChangeViT takes a plain vision transformer of timm with one class token, such as "
        f"vit_tiny_patch16_224 or vit_small_patch14_dinov2; found '{encoder}'."
    )
