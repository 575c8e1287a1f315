"""The U-Net of the paper itself, which keeps features of single pixels, as encoders of photographs do not."""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from eoseg.models.dimensions import Dimensions
from eoseg.models.options import require_share, require_whole


def plain_unet(dims: Dimensions, *, width: int = 32, depth: int = 4, dropout: float = 0.0) -> nn.Module:
    """U-Net built as in its paper's figure 1, with skip connections at full resolution. Exactly tileable.

    Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597; with padding, so that the map has the image's
    size, and batch normalisation. `unet` takes any encoder and its pretrained weights instead, whose finest
    features have half the resolution: this one is the better for small chips and thin structures.

    Args:
        width: Channels at full resolution, doubled at each halving; 64 in the paper.
        depth: Number of halvings, 1 to 5. Fewer make the output stride and the halo smaller.
        dropout: Share of the channels at the coarsest level that is dropped in training, 0 to below 1.
    """
    require_whole("width", width, 1)
    require_whole("depth", depth, 1, 5)
    require_share("dropout", dropout)
    return PlainUNet(dims.channels, dims.classes, width=width, depth=depth, dropout=dropout)


class PlainUNet(nn.Module):
    """The network of `plain_unet`."""

    def __init__(self, bands: int, classes: int, *, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.output_stride = 2**depth
        sizes = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(_double(before, after) for before, after in pairwise([bands, *sizes]))
        self.dropout = nn.Dropout2d(dropout)
        coarse_first = list(pairwise(reversed(sizes)))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, stride=2) for low, high in coarse_first)
        self.merges = nn.ModuleList(_double(2 * high, high) for _, high in coarse_first)
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to logits `(B, K, H, W)`; H and W are multiples of the output stride."""
        features = self.down[0](image)
        skips: list[Tensor] = []
        for block in self.down[1:]:
            skips.append(features)
            features = block(nn.functional.max_pool2d(features, 2))
        features = self.dropout(features)
        for up, merge in zip(self.ups, self.merges, strict=True):
            features = merge(torch.cat([skips.pop(), up(features)], dim=1))
        return cast(Tensor, self.head(features))


def _double(before: int, after: int) -> nn.Sequential:
    """Two 3 x 3 convolutions."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            nn.Conv2d(channels, after, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
