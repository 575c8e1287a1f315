"""An autoencoder, which teaches an encoder from scenes without labels."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions
from eoseg.models.encoders import make_encoder, resolve_encoder
from eoseg.models.options import require_share, require_whole


def autoencoder(
    dims: Dimensions,
    *,
    encoder: str = "resnet18",
    depth: int = 5,
    channels: int = 16,
    mask_ratio: float = 0.6,
    mask_patch: int = 16,
) -> nn.Module:
    """Convolutional autoencoder, or masked-image pretraining, of an encoder. Exactly tileable.

    With `mask_ratio` 0 a plain autoencoder (Masci et al. 2011, https://doi.org/10.1007/978-3-642-21735-7_7);
    above, patches of the input are hidden and reconstructed from what surrounds them (SimMIM, Xie et al.
    2022, https://arxiv.org/abs/2111.09886; for scenes: Cong et al. 2022, https://arxiv.org/abs/2207.08051).
    It gives as many channels as it takes, whatever the number of classes. A checkpoint keeps the encoder
    under "body.encoder.", where `eoseg.models.pretrained.load_weights` finds it.

    Args:
        encoder: Any convolutional name of `eoseg.models.encoders.resolve_encoder`.
        depth: Number of halvings, 3 to 5.
        channels: Channels of the decoder at full resolution; doubled at each halving.
        mask_ratio: Share of the patches that is hidden in training, 0 to below 1.
        mask_patch: Height and width of a hidden patch in pixels; less than the chip's. Of no effect without
            hidden patches.
    """
    require_whole("depth", depth, 3, 5)
    require_whole("channels", channels, 1)
    require_share("mask_ratio", mask_ratio)
    require_whole("mask_patch", mask_patch, 1)
    if mask_ratio and mask_patch >= dims.chip_size:
        raise ConfigError(
            f"mask_patch is smaller than a chip, so that something is left to reconstruct from; found "
            f"{mask_patch} for a chip_size of {dims.chip_size}. Choose at most {max(1, dims.chip_size // 2)}."
        )
    name = resolve_encoder(encoder)
    pyramid = make_encoder(name, dims.channels, depth=depth)
    return Autoencoder(
        pyramid, name, dims.channels, channels=channels, mask_ratio=mask_ratio, mask_patch=mask_patch
    )


class Autoencoder(nn.Module):
    """An encoder and a decoder without skip connections, so that all goes through the deepest features.

    A hidden pixel is 0, as an invalid one is everywhere in eoseg: what the encoder learns of gaps in
    pretraining holds for gaps in data.
    """

    def __init__(
        self,
        encoder: nn.Module,
        name: str,
        bands: int,
        *,
        channels: int,
        mask_ratio: float,
        mask_patch: int,
    ) -> None:
        """Put a decoder on an encoder.

        Args:
            encoder: As `eoseg.models.encoders.make_encoder` makes it.
            name: Its name.
            bands: C.
            channels: Channels of the decoder at full resolution.
            mask_ratio: Share of the patches that is hidden in training.
            mask_patch: Height and width of a patch in pixels.
        """
        super().__init__()
        self.encoder = encoder
        self.encoder_name = name
        self.mask_ratio = mask_ratio
        self.mask_patch = mask_patch
        sizes = [channels * 2**level for level in range(int(cast(int, encoder._depth)))]
        before = int(cast(Sequence[int], encoder.out_channels)[-1])
        steps: list[nn.Module] = []
        for after in reversed(sizes):
            steps += _upsampled(before, after)
            before = after
        self.decoder = nn.Sequential(*steps, nn.Conv2d(before, bands, kernel_size=3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Encode and decode standardised values `(B, C, H, W)` with nothing hidden; the same shape."""
        deepest = cast(Sequence[Tensor], self.encoder(image))[-1]  # (B, D, H/2^depth, W/2^depth)
        return cast(Tensor, self.decoder(deepest))  # (B, C, H, W)

    def reconstruct(self, image: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Hide random patches and reconstruct the image.

        Args:
            image: Standardised values `(B, C, H, W)`, invalid pixels 0.
            generator: Source of the patches, on any device; torch's own where it is None.

        Returns:
            The reconstruction `(B, C, H, W)`, and the pixels on which it is to be judged, bool
            `(B, 1, H, W)`: the hidden ones, or all where `mask_ratio` is 0. The caller leaves out invalid
            ones.
        """
        if not self.mask_ratio:
            everywhere = torch.ones_like(image[:, :1], dtype=torch.bool)
            return self(image), everywhere
        hidden = self._hide(image, generator)  # (B, 1, H, W)
        return self(image.masked_fill(hidden, 0.0)), hidden

    def features(self, image: Tensor) -> Tensor:
        """The deepest features averaged over each image: `(B, C, H, W)` to `(B, D)`."""
        return cast(Sequence[Tensor], self.encoder(image))[-1].mean(dim=(2, 3))

    def _hide(self, image: Tensor, generator: torch.Generator | None) -> Tensor:
        """In each image the same number of patches, at least one and never all."""
        (height, width), patch = image.shape[-2:], self.mask_patch
        rows, cols = -(-height // patch), -(-width // patch)
        count = min(max(1, round(self.mask_ratio * rows * cols)), rows * cols - 1)
        device = generator.device if generator is not None else image.device
        order = torch.rand(len(image), rows * cols, generator=generator, device=device).argsort(dim=1)
        chosen = (order < count).view(-1, 1, rows, cols).to(image.device)  # ranks: a random permutation
        grown = chosen.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
        return grown[..., :height, :width]  # (B, 1, H, W)


def _upsampled(before: int, after: int) -> Sequence[nn.Module]:
    return (
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
