"""The first layer of every network: raw pixel values in, standardised values out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eoseg.errors import BandError, CheckpointError, ConfigError
from eoseg.recipe import Statistics, match_bands


class Normalize(nn.Module):
    """Subtract each band's mean and divide by its standard deviation, both of the training pixels.

    The values are buffers, so they travel in the state dict together with whether they were ever set.
    A pixel that is not valid becomes 0, the mean of what is valid, whatever it held (NaN included).
    """

    mean: Tensor
    std: Tensor
    is_set: Tensor

    def __init__(self, bands: Sequence[str]) -> None:
        """Make a layer whose statistics are not set yet.

        Args:
            bands: Names of the bands, in the order of the image's channels.
        """
        super().__init__()
        self.bands = tuple(bands)
        self.register_buffer("mean", torch.zeros(len(self.bands)))
        self.register_buffer("std", torch.ones(len(self.bands)))
        self.register_buffer("is_set", torch.tensor(False))
        self._ready = False  # what is_set said last, so that a GPU is not asked at each step

    def set_statistics(self, statistics: Statistics) -> None:
        """Take mean and standard deviation of each band, by its name. A deviation of 0 becomes 1.

        Raises:
            BandError: A band has no statistics, or they are not finite numbers.
        """
        names = [entry.name for entry in statistics.bands]
        order = match_bands(self.bands, names, where="The training statistics")
        entries = [statistics.bands[place] for place in order]
        mean = torch.tensor([entry.mean for entry in entries], dtype=torch.float64)
        std = torch.tensor([entry.std for entry in entries], dtype=torch.float64)
        usable = torch.isfinite(mean) & torch.isfinite(std) & (std >= 0)
        for entry, good in zip(entries, usable.tolist(), strict=True):
            if not good:
                raise BandError(
                    f"Band '{entry.name}' has mean {entry.mean} and standard deviation {entry.std}; both "
                    "must be finite. Look for NaN or infinite values in the scenes ('eoseg doctor')."
                )
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))
        self.is_set.fill_(True)

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Standardise.

        Args:
            image: `(B, C, H, W)` or `(B, T, C, H, W)`, raw values of any real type.
            valid: Bool `(B, H, W)` or `(B, T, H, W)`, True where `image` has values.

        Returns:
            The standardised image, 0 where not valid, in the type of the layer's buffers.

        Raises:
            CheckpointError: The statistics were never set.
            BandError: The image has another number of channels.
            ConfigError: The two shapes do not belong together.
        """
        self._check(image, valid)
        # In float32 even where the network is in half precision: raw values reach 65535.
        result = (image.float() - self.mean.float().view(-1, 1, 1)).div_(self.std.float().view(-1, 1, 1))
        result.masked_fill_(~valid.unsqueeze(-3), 0.0)  # (B, [T,] 1, H, W) against (B, [T,] C, H, W)
        return result.to(self.mean.dtype)

    def _check(self, image: Tensor, valid: Tensor) -> None:
        if not self._ready:
            self._ready = bool(self.is_set.item())
        if not self._ready:
            raise CheckpointError(
                "The network has no band statistics to normalise with. Train it, load a checkpoint, or call "
                "set_statistics."
            )
        if image.ndim not in (4, 5) or image.shape[-3] != len(self.bands):
            raise BandError(
                f"The network takes {len(self.bands)} bands ({', '.join(self.bands)}) as (B, C, H, W) or "
                f"(B, T, C, H, W); found shape {tuple(image.shape)}."
            )
        if valid.dtype != torch.bool or valid.shape != (*image.shape[:-3], *image.shape[-2:]):
            raise ConfigError(
                f"valid must be bool and have the image's shape without its channels; found {valid.dtype} "
                f"{tuple(valid.shape)} for the image {tuple(image.shape)}."
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._ready = False  # the state may be that of a layer which was never set


class Rescale(nn.Module):
    """The last layer of a regression: from standardised values to the quantity's own unit."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        """Make a layer that changes nothing until its statistics are set."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def set_statistics(self, statistics: Statistics) -> None:
        """Take mean and standard deviation of the training labels. A deviation of 0 becomes 1.

        Raises:
            CheckpointError: The statistics say nothing of a quantity.
        """
        if statistics.target is None:
            raise CheckpointError(
                "The training statistics hold no values of a quantity. A regression needs labels that are "
                "values, not classes: set 'quantity' in the data."
            )
        self.mean.fill_(statistics.target.mean)
        self.std.fill_(statistics.target.std or 1.0)

    def forward(self, values: Tensor) -> Tensor:
        """Take standardised values of any shape to the quantity's unit."""
        return values.float() * self.std + self.mean
