"""What all series models share: which dates count, when they were, and how to run pixel by pixel."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

_YEAR = 365.25
_PERIOD = 1000.0
"""Longest wavelength of the encoding over 2 pi, in days; as in L-TAE."""

_CHUNK = 2**16
"""Pixels times dates that go through a per-pixel model at once when it predicts."""


class PixelSeries(nn.Module):
    """Runs a model of single pixels' series on images.

    The inner model maps values `(N, T, C)`, valid `(N, T)` and days `(N, T)` to logits `(N, K)`. What it is
    given where a date is not valid is 0. Each result depends on its own pixel alone.
    """

    output_stride = 1

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        """Map standardised values to logits.

        Args:
            image: `(B, T, C, H, W)`.
            valid: Bool `(B, T, H, W)`; what other dates hold has no influence.
            days: Day of the year of each date, `(B, T)`.

        Returns:
            Logits `(B, K, H, W)`.
        """
        batch, steps, bands, height, width = image.shape
        values = image.permute(0, 3, 4, 1, 2).reshape(-1, steps, bands)  # (N, T, C), N = B H W
        seen = valid.permute(0, 2, 3, 1).reshape(-1, steps)  # (N, T)
        times = days.float()[:, None].expand(-1, height * width, -1).reshape(-1, steps)
        parts = [
            self.model(values[part].masked_fill(~seen[part].unsqueeze(-1), 0.0), seen[part], times[part])
            for part in self._parts(len(values), steps)
        ]
        logits = torch.cat(parts)  # (N, K)
        return logits.view(batch, height, width, -1).permute(0, 3, 1, 2)  # (B, K, H, W)

    def _parts(self, pixels: int, steps: int) -> Iterator[slice]:
        # in training batch normalisation needs all pixels at once
        size = pixels if self.training else max(1, _CHUNK // steps)
        for start in range(0, pixels, size):
            yield slice(start, start + size)


def season(days: Tensor) -> Tensor:
    """Sine and cosine of the time of the year: `(..., T)` to `(..., T, 2)`, float32."""
    angle = days.float() * (2 * math.pi / _YEAR)
    return torch.stack([angle.sin(), angle.cos()], dim=-1)


def encode_days(days: Tensor, size: int) -> Tensor:
    """Sines and cosines of the days at wavelengths from 2 pi to 2 pi times 1000 days.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5, with days in place of positions and
    the period of Garnot and Landrieu 2020, https://arxiv.org/abs/2007.00586.

    Args:
        days: `(..., T)`.
        size: D, an even number.

    Returns:
        `(..., T, D)`, float32, sines first.
    """
    exponents = torch.arange(size // 2, device=days.device) / (size // 2)
    angle = days.float().unsqueeze(-1) * _PERIOD**-exponents  # (..., T, D / 2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def usable(valid: Tensor, dim: int = -1) -> Tensor:
    """The dates to attend to: the valid ones, or all where there are none (a softmax needs at least one)."""
    return valid | ~valid.any(dim=dim, keepdim=True)


def fill_gaps(values: Tensor, valid: Tensor, days: Tensor) -> Tensor:
    """Interpolate linearly in time over dates that are not valid; the ends repeat the nearest valid date.

    Args:
        values: `(N, T, C)`; what dates that are not valid hold has no influence.
        valid: Bool `(N, T)`.
        days: Day of the year `(N, T)`, in the order of time. A smaller day than the one before it is taken
            to be of the next year.

    Returns:
        `(N, T, C)`; 0 where no date is valid.
    """
    steps = torch.arange(values.shape[1], device=values.device).expand_as(valid)
    last = len(steps[0]) - 1
    before = torch.where(valid, steps, -1).cummax(dim=1).values  # (N, T), -1 where there is none
    after = torch.where(valid, steps, last + 1).flip(1).cummin(dim=1).values.flip(1)
    left = torch.where(before < 0, after, before).clamp(max=last)
    right = torch.where(after > last, before, after).clamp(min=0)
    time = _elapsed(days)
    start, end = time.gather(1, left), time.gather(1, right)
    share = ((time - start) / (end - start).clamp(min=1e-6)).clamp(0, 1).unsqueeze(-1)  # (N, T, 1)
    kept = values.masked_fill(~valid.unsqueeze(-1), 0.0)

    def pick(index: Tensor) -> Tensor:
        return kept.gather(1, index.unsqueeze(-1).expand_as(kept))

    return torch.lerp(pick(left), pick(right), share.to(kept.dtype))


def _elapsed(days: Tensor) -> Tensor:
    """Days since the first date, over the turn of the year."""
    gaps = torch.remainder(days.diff(dim=1), _YEAR)
    return nn.functional.pad(gaps.cumsum(dim=1), (1, 0))
