"""The fully convolutional network of Long, Shelhamer and Darrell (2015)."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

PYRAMID_DEPTH = 5
"""Halvings of the encoder; the coarsest scores are at 1/32."""


class FCN(nn.Module):
    """Scores at 1/32, fused with scores of finer features, then upsampled to the image.

    FCN-32s, FCN-16s and FCN-8s differ by the finest features they fuse. The score layers of the finer
    features start at zero, so that training starts from FCN-32s, as in the paper. Upsampling is
    bilinear (the paper initialises its transposed convolutions so). Nothing pools over the image, so
    the output at a pixel depends on a neighbourhood of fixed size only.

    Source: https://arxiv.org/abs/1411.4038, sections 3.3 and 4.2.
    """

    def __init__(
        self,
        encoder: nn.Module,
        encoder_channels: Sequence[int],
        num_classes: int,
        *,
        stride: int,
        channels: int,
        dropout: float,
    ) -> None:
        """Put score layers on an encoder.

        Args:
            encoder: Gives features at 1, 1/2, ... 1/32 of the image.
            encoder_channels: Their numbers of channels, finest first.
            num_classes: K.
            stride: Finest features that are fused: 8, 16 or 32.
            channels: Channels of the convolution before the coarsest scores.
            dropout: Share of these that is dropped in training.
        """
        super().__init__()
        self.encoder = encoder
        self.stride = stride
        self.head = nn.Sequential(
            nn.Conv2d(encoder_channels[PYRAMID_DEPTH], channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(channels, num_classes, kernel_size=1),
        )
        # 16 is level 4, 8 is level 3
        self.levels = [level for level in (4, 3) if 2**level >= stride]
        self.skips = nn.ModuleList(
            nn.Conv2d(encoder_channels[level], num_classes, kernel_size=1) for level in self.levels
        )
        for skip in self.skips:
            nn.init.zeros_(cast(nn.Conv2d, skip).weight)
            nn.init.zeros_(cast(Tensor, skip.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to logits `(B, K, H, W)`; H and W are multiples of 32."""
        features: list[Tensor] = self.encoder(image)
        scores: Tensor = self.head(features[PYRAMID_DEPTH])  # (B, K, H / 32, W / 32)
        for level, skip in zip(self.levels, self.skips, strict=True):
            scores = _upsample(scores, 2) + skip(features[level])  # (B, K, H / 2^level, W / 2^level)
        return _upsample(scores, self.stride)  # (B, K, H, W)


def _upsample(scores: Tensor, factor: int) -> Tensor:
    # align_corners=True would make the result at a pixel depend on the size of the image
    return functional.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
