"""What every model of eoseg is to the rest of the program."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.normalize import Normalize


class Network(nn.Module):
    """Raw pixel values in, logits out: normalisation followed by a segmentation model."""

    def __init__(self, body: nn.Module, *, bands: Sequence[str], output_stride: int) -> None:
        """Put the normalisation before a model.

        Args:
            body: Maps `(B, C, H, W)` to `(B, K, H, W)` for heights and widths that are multiples of
                `output_stride`.
            bands: Names of the C bands, in order.
            output_stride: Heights and widths are multiples of this. Shifting the image by it shifts the
                inner part of the logits by it, where the model is translation-equivariant at all.
        """
        super().__init__()
        if output_stride < 1:
            raise ConfigError(f"output_stride is a positive number of pixels, found {output_stride}.")
        self.normalize = Normalize(bands)
        self.body = body
        self.output_stride = output_stride
        # With the channels of a pixel side by side, a training step of a U-Net on a CPU takes a fifth less.
        self.to(memory_format=torch.channels_last)

    def check_size(self, height: int, width: int) -> None:
        """Refuse sizes that are no multiples of the output stride.

        Raises:
            ConfigError: With the nearest sizes that fit.
        """
        for name, size in (("height", height), ("width", width)):
            if size < 1 or size % self.output_stride:
                below = size // self.output_stride * self.output_stride
                above = below + self.output_stride
                nearest = f"{below} or {above}" if below else str(above)
                raise ConfigError(
                    f"The network takes heights and widths that are multiples of {self.output_stride} "
                    f"pixels, found {name} {size}. The nearest {name} that fits: {nearest}."
                )

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Map raw pixel values to logits.

        Args:
            image: `(B, C, H, W)`, raw values.
            valid: Bool `(B, H, W)`, True where `image` has values.

        Returns:
            Logits `(B, K, H, W)`.

        Raises:
            ConfigError: Height or width is no multiple of `output_stride`, or a network with global pooling
                is to be trained on a batch of one chip.
            BandError: The image has another number of bands.
            CheckpointError: The normalisation was never set.
        """
        self.check_size(*image.shape[-2:])
        standardised = self.normalize(image, valid)  # (B, C, H, W), or refused
        standardised = standardised.contiguous(memory_format=torch.channels_last)
        try:
            return cast(Tensor, self.body(standardised))  # (B, K, H, W)
        except ValueError as error:
            # torch's batch norm, where a layer has pooled each chip to a single pixel
            if "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                "This network pools each chip to one pixel and cannot be trained on a batch of a single chip "
                "(batch normalisation needs at least 2). Use a batch_size of 2 or more and drop the last, "
                "smaller batch, or take arch unet or fcn."
            ) from error
