"""What the classical models see of a pixel: its bands, the texture around it, or its course in time."""

import torch
from torch import Tensor
from torch.nn import functional

from eoseg.errors import ConfigError
from eoseg.models.options import require_one_of, require_whole

DEFAULT_WINDOW = 9
"""Side in pixels of the neighbourhood that texture is taken from."""

_YEAR = 365.25


class PixelFeatures:
    """Features of each pixel of a standardised image, the same whatever tile the pixel lies in.

    "bands" are the C values of the pixel. "texture" adds three features per band over a square window
    around the pixel: mean, standard deviation, and the mean length of the gradient (differences of
    neighbours; what does not exist counts as no difference). Only valid pixels of the window are used: a
    pixel that is 0 in every band is taken as not valid, which is what normalisation makes of such pixels
    and what lies beyond the border. So a pixel beside a gap, or at the border of a chip, has features like
    any other. A constant window has a deviation and a gradient of 0.
    """

    def __init__(self, features: str, window: int) -> None:
        """Choose the features.

        Args:
            features: "bands" or "texture".
            window: Side of the window in pixels, odd, at least 3; 0 for `DEFAULT_WINDOW`. For texture only.

        Raises:
            ConfigError: An option has another value, or a window is given where none is used.
        """
        require_one_of("features", features, ("bands", "texture"))
        require_whole("window", window, 0)
        self.uses_texture = features == "texture"
        if window and not self.uses_texture:
            raise ConfigError(
                f"window is for features: texture; found {window} with features: bands. Leave it out."
            )
        if window and (window < 3 or window % 2 == 0):
            raise ConfigError(
                f"window is an odd number of pixels of at least 3 (0 for {DEFAULT_WINDOW}), found {window}."
            )
        self.window = (window or DEFAULT_WINDOW) if self.uses_texture else 1
        self.halo = self.window // 2 + 1 if self.uses_texture else 0
        """Pixels around a pixel that its features depend on: half the window, and one for the gradient."""

    def count(self, channels: int) -> int:
        """Number of features of C bands."""
        return 4 * channels if self.uses_texture else channels

    def __call__(self, image: Tensor) -> Tensor:
        """Features `(B, F, H, W)` of standardised values `(B, C, H, W)`, float32."""
        image = image.float().contiguous()
        if not self.uses_texture:
            return image
        seen = (image != 0).any(dim=1, keepdim=True)  # (B, 1, H, W)
        counts = self._sum(seen.float()).clamp_min_(1.0)
        mean = self._sum(image) / counts
        variance = self._sum(image.square()) / counts - mean.square()
        gradient = self._sum(gradient_length(image, seen)) / counts
        return torch.cat([image, mean, variance.clamp_min_(0.0).sqrt_(), gradient], dim=1)

    def at(self, image: Tensor, where: Tensor) -> Tensor:
        """Features of some pixels only.

        Args:
            image: Standardised values `(B, C, H, W)`.
            where: Bool `(B, H, W)`.

        Returns:
            `(n, F)`, in the order of images, then rows, then columns.
        """
        if not self.uses_texture:
            return image.float().permute(0, 2, 3, 1)[where]
        tables = [image.new_zeros(0, self.count(image.shape[1]), dtype=torch.float32)]
        for one, chosen in zip(image, where, strict=True):
            places = chosen.nonzero()
            if len(places):
                tables.append(self._around(one, chosen, places))
        return torch.cat(tables)

    def _around(self, image: Tensor, chosen: Tensor, places: Tensor) -> Tensor:
        """Features of an image's chosen pixels, computed for the rectangle that holds them."""
        first = (places.amin(dim=0) - self.halo).clamp_min_(0).tolist()
        last = (places.amax(dim=0) + self.halo + 1).tolist()
        rows, cols = (slice(begin, end) for begin, end in zip(first, last, strict=True))
        features = self(image[None, :, rows, cols])  # (1, F, h, w)
        return features[0].permute(1, 2, 0)[chosen[rows, cols]]

    def _sum(self, values: Tensor) -> Tensor:
        """Sum over the window, 0 beyond the image.

        Pooled along columns, then rows: each sum has the same terms in the same order wherever its pixel
        lies, which sums over running totals have not.
        """
        size, margin = self.window, self.window // 2
        down = functional.avg_pool2d(values, (size, 1), 1, (margin, 0), divisor_override=1)
        return functional.avg_pool2d(down, (1, size), 1, (0, margin), divisor_override=1)


def gradient_length(image: Tensor, seen: Tensor) -> Tensor:
    """Length of the gradient from differences of neighbours.

    Args:
        image: `(B, C, H, W)`.
        seen: Bool `(B, 1, H, W)`; a neighbour that is not seen, or does not exist, counts as
            the pixel itself.

    Returns:
        `(B, C, H, W)`, per pixel of distance; 0 where not seen.
    """
    squares = torch.zeros_like(image)
    for axis in (2, 3):
        step = torch.zeros_like(image)
        ahead = image.diff(dim=axis)  # one row or column less
        both = seen.narrow(axis, 1, seen.shape[axis] - 1) & seen.narrow(axis, 0, seen.shape[axis] - 1)
        ahead = ahead.masked_fill_(~both, 0.0)
        size = ahead.shape[axis]
        step.narrow(axis, 0, size).add_(ahead)
        step.narrow(axis, 1, size).add_(ahead)
        squares += (step / 2).square_()
    return squares.sqrt_()


def flatten_series(image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
    """The values of all dates of each pixel, gaps filled.

    A date that is not valid at a pixel takes the value on the straight line, in time, between the nearest
    valid dates before and after it; before the first and after the last it takes theirs. What was never
    valid is 0, the mean. Where the day of the year falls from one date to the next, a year has passed.

    Args:
        image: Standardised values `(B, T, C, H, W)`.
        valid: Bool `(B, T, H, W)`.
        days: Day of the year `(B, T)`, dates in order.

    Returns:
        `(B, T * C, H, W)`: the bands of the first date, then of the second, and so on.
    """
    image = image.float()
    steps = image.shape[1]
    days = days.float()
    turns = (days.diff(dim=1) < 0).cumsum(dim=1)
    time = torch.cat([days[:, :1], days[:, 1:] + _YEAR * turns], dim=1)[:, :, None, None]  # (B, T, 1, 1)
    index = torch.arange(steps, device=image.device).view(1, -1, 1, 1)
    before = torch.where(valid, index, -1).cummax(dim=1).values  # (B, T, H, W)
    after = torch.where(valid, index, steps).flip(1).cummin(dim=1).values.flip(1)
    never = ~valid.any(dim=1, keepdim=True)
    # At the ends the nearest valid date stands for the one that is missing.
    start = torch.where(before < 0, after, before).clamp_(0, steps - 1)
    end = torch.where(after >= steps, before, after).clamp_(0, steps - 1)
    time = time.expand_as(start)
    begin_time, end_time = time.gather(1, start), time.gather(1, end)
    share = (time - begin_time) / (end_time - begin_time).clamp_min(1e-6)
    share = share.masked_fill(start == end, 0.0).unsqueeze(2)  # (B, T, 1, H, W)
    first, second = _pick(image, start), _pick(image, end)
    filled = torch.where(valid.unsqueeze(2), image, torch.lerp(first, second, share))
    return filled.masked_fill(never.unsqueeze(2), 0.0).flatten(1, 2)  # (B, T * C, H, W)


def _pick(image: Tensor, date: Tensor) -> Tensor:
    """Values `(B, T, C, H, W)` of the dates `(B, T, H, W)` that each pixel names."""
    return image.gather(1, date.unsqueeze(2).expand_as(image))
