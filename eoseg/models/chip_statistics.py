"""What the classical models see of a chip: colours, their spread, and texture, as one list of numbers."""

import math

import torch
from torch import Tensor
from torch.nn import functional

_RANKS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_SCALES = (2, 4)
_DIRECTIONS = 8
_PATTERNS = 10
_SMALL = 1e-6


def chip_statistics(image: Tensor) -> Tensor:
    """Describe each chip of a batch, for any number of bands and any size.

    Per band: mean, deviation, percentiles, length of the gradient, and deviation and gradient of the chip
    made 2 and 4 times coarser. Per pair of neighbouring bands (the last and the first are neighbours too):
    mean, deviation and percentiles of their difference, which is what a hue is for three bands. Per pair of
    any two bands: their correlation. Of the mean of all bands: how its gradients are spread over directions,
    strongest first, so that turning the chip changes little; and rotation-invariant uniform local binary
    patterns (Ojala et al. 2002, https://doi.org/10.1109/TPAMI.2002.1017623) at full and half resolution.

    Args:
        image: Standardised values `(B, C, H, W)`.

    Returns:
        `(B, F)`, where F depends on C alone.
    """
    image = image.float().contiguous()
    grey = image.mean(dim=1)  # (B, H, W)
    along, across = _gradient(image)
    length = torch.hypot(along, across)
    parts = [_moments(image), _percentiles(image, _RANKS), _moments(length), _percentiles(length, (0.5, 0.9))]
    for scale in _SCALES:
        coarse = _coarser(image, scale)
        parts += [coarse.std(dim=(2, 3), correction=0), _moments(torch.hypot(*_gradient(coarse)))]
    if image.shape[1] > 1:
        differences = _differences(image)
        parts += [_moments(differences), _percentiles(differences, (0.1, 0.5, 0.9)), _correlations(image)]
    parts += [_directions(grey), _patterns(grey), _patterns(_coarser(grey[:, None], 2)[:, 0])]
    return torch.cat(parts, dim=1)  # (B, F)


def _moments(values: Tensor) -> Tensor:
    """Mean and deviation of each band, `(B, C, H, W)` to `(B, 2 * C)`."""
    return torch.cat([values.mean(dim=(2, 3)), values.std(dim=(2, 3), correction=0)], dim=1)


def _percentiles(values: Tensor, ranks: tuple[float, ...]) -> Tensor:
    """Values of given ranks (0 the smallest, 1 the largest), `(B, C, H, W)` to `(B, len(ranks) * C)`."""
    ordered = values.flatten(2).sort(dim=2).values  # (B, C, H * W)
    places = [round(rank * (ordered.shape[2] - 1)) for rank in ranks]
    return ordered[:, :, places].flatten(1)


def _gradient(values: Tensor) -> tuple[Tensor, Tensor]:
    """Half the difference of the two neighbours along rows and along columns; the border is repeated."""
    padded = functional.pad(values, (1, 1, 1, 1), mode="replicate")
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return down, right


def _coarser(values: Tensor, scale: int) -> Tensor:
    """Means of squares of pixels; of what there is, where the chip is smaller than a square."""
    height, width = values.shape[2:]
    return functional.avg_pool2d(values, (min(scale, height), min(scale, width)))


def _differences(image: Tensor) -> Tensor:
    """Each band less the next, the last less the first; one difference of two bands."""
    channels = image.shape[1]
    pairs = channels if channels > 2 else 1
    return (image - image.roll(-1, dims=1))[:, :pairs]


def _correlations(image: Tensor) -> Tensor:
    """Correlation of each pair of bands within the chip, 0 where one is constant: `(B, C * (C - 1) / 2)`."""
    centred = (image - image.mean(dim=(2, 3), keepdim=True)).flatten(2)  # (B, C, H * W)
    length = centred.norm(dim=2, keepdim=True)
    unit = torch.where(length > _SMALL, centred / length.clamp_min(_SMALL), 0.0)
    first, second = torch.triu_indices(image.shape[1], image.shape[1], 1)
    return torch.bmm(unit, unit.transpose(1, 2))[:, first, second]


def _directions(grey: Tensor) -> Tensor:
    """Mean gradient in each range of directions, largest first: `(B, _DIRECTIONS)`."""
    down, right = _gradient(grey)
    length = torch.hypot(down, right)
    # A line has no front and back: opposite directions are one.
    place = (torch.atan2(down, right).remainder(math.pi) * (_DIRECTIONS / math.pi)).long()
    place = place.clamp_(max=_DIRECTIONS - 1)
    sums = torch.zeros(len(grey), _DIRECTIONS, device=grey.device)
    sums.scatter_add_(1, place.flatten(1), length.flatten(1))
    return sums.sort(dim=1, descending=True).values / grey[0].numel()


def _patterns(grey: Tensor) -> Tensor:
    """Shares of the local binary patterns of 8 neighbours, `(B, _PATTERNS)`.

    A pattern with at most two changes around the circle counts by its number of brighter neighbours (0 to
    8), all others together as the tenth.
    """
    padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    height, width = grey.shape[1:]
    circle = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    bits = [padded[:, row : row + height, col : col + width] >= grey for row, col in circle]
    brighter = torch.zeros_like(grey, dtype=torch.uint8)
    changes = torch.zeros_like(brighter)
    for bit, following in zip(bits, [*bits[1:], bits[0]], strict=True):
        brighter += bit
        changes += bit != following
    code = torch.where(changes <= 2, brighter, _PATTERNS - 1)  # (B, H, W)
    return torch.stack([(code == number).float().mean(dim=(1, 2)) for number in range(_PATTERNS)], dim=1)
