"""How far a network looks: the halo with which a tile-wise map equals the whole-image result.

Derived from the network itself, by two experiments on a long strip of pixels:

1. A NaN in one block of the input reaches exactly those outputs that depend on the block, whatever the
   weights are: NaN times zero is NaN. The rows that it reaches give the halo.
2. The middle of the strip is computed again from a piece cut out with that halo. Both results must agree,
   which they do not where a layer depends on the position or on the size of its input.

A network in which the NaN reaches everything has global context (attention, pooling of the whole image,
GroupNorm, squeeze-and-excitation): no halo makes it exact.

A network for series also sees which dates are valid where. The second experiment is therefore made twice,
once with gaps, and with a date that is valid outside of the piece only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.geo.tiles import round_up
from eoseg.models.network import Network

STRIP_LENGTHS = (1024, 2048)
"""Lengths of the strip in pixels. A network that looks further than half the last counts as global."""

_DOUBLINGS = 2
_TOLERANCE = 1e-3  # of the largest logit: far above float32 rounding, far below a misplaced sample
_FEW_DATES = 4  # how far a network looks in space does not depend on how many dates there are
_GAP = -1.0  # in the experiment with gaps, a date is missing where its first band is below this


@dataclass(frozen=True, slots=True)
class Context:
    """What must be known of a network to cut its input into tiles."""

    output_stride: int
    """Tiles begin at multiples of this."""
    halo: int | None
    """Pixels around a tile that its result depends on; None where that is the whole image."""
    exact: bool
    """Whether tiles with that halo give the whole-image result."""
    reason: str
    """Why, in half a sentence."""


def network_context(network: Network, *, steps: int = 1) -> Context:
    """Find output stride and halo of a network that gives a value per pixel, in evaluation mode.

    A body that declares its `halo` is taken at its word: features of a known window, whose estimator
    (a forest, a nearest neighbour) lets no NaN pass.

    Args:
        network: For segmentation, change or series.
        steps: T, the number of dates that it will be given.
    """
    body, stride = network.body, network.output_stride
    declared = getattr(body, "halo", None)
    if isinstance(declared, int):
        reason = f"the features of a pixel look {declared} px around it"
        return Context(stride, round_up(declared, stride), True, reason)
    gaps: nn.Module | None = None
    if network.kind == "series":
        steps = _FEW_DATES if steps > _FEW_DATES and takes_dates(network, _FEW_DATES) else steps
        gaps = _WithGaps(body, steps)
    channels = steps * len(network.normalize.bands)
    return find_context(network.flat(steps), channels=channels, stride=stride, gaps=gaps)


@torch.inference_mode()
def takes_dates(network: Network, steps: int) -> bool:
    """Whether a network takes so many dates."""
    size = 2 * network.output_stride
    image = torch.zeros(1, steps * len(network.normalize.bands), size, size).to(network.normalize.mean)
    try:
        network.flat(steps)(image)
    except ConfigError:
        return False
    return True


def find_context(body: nn.Module, *, channels: int, stride: int, gaps: nn.Module | None = None) -> Context:
    """Find output stride and halo of a network in evaluation mode.

    Args:
        body: Maps `(1, C, H, W)` to `(1, K, H, W)` for multiples of the stride.
        channels: C, the number of bands.
        stride: The output stride that the network declares. A multiple of it is taken where the network
            turns out to repeat itself only after more pixels.
        gaps: The same network, which takes a date as missing where its first band is below -1.
    """
    with _one_thread():
        return _find_context(body, channels, stride, gaps)


def _find_context(body: nn.Module, channels: int, stride: int, gaps: nn.Module | None) -> Context:
    for doubling in range(_DOUBLINGS + 1):
        lattice = stride * 2**doubling
        down = _reach(body, channels, lattice, 2)
        right = None if down is None else _reach(body, channels, lattice, 3)
        if down is None or right is None:
            far = STRIP_LENGTHS[-1] // 2
            return Context(stride, None, False, f"global context: a pixel matters more than {far} px away")
        reach = max(down, right)
        agrees = all(_agrees(body, channels, lattice, reach, axis) for axis in (2, 3))
        if agrees and gaps is not None:
            agrees = all(_agrees(gaps, channels, lattice, reach, axis, gap=True) for axis in (2, 3))
        if agrees:
            return Context(lattice, reach, True, f"a pixel matters up to {reach} px away")
    return Context(stride, None, False, "the result depends on where a tile begins or how large it is")


@torch.inference_mode()
def _reach(body: nn.Module, channels: int, stride: int, axis: int) -> int | None:
    """How far the influence of one block of the lattice goes, rounded up to the stride.

    Returns:
        The smallest sufficient halo, or None where the influence reaches the end of the longest strip.
    """
    for length in STRIP_LENGTHS:
        block = length // stride // 2
        strip = _strip(body, channels, length, stride)  # (1, C, length, stride)
        strip[:, :, block * stride : (block + 1) * stride] = torch.nan
        logits = _along(body, strip, axis)  # (1, K, length, stride)
        reached = logits.isnan().any(dim=3).any(dim=1)[0].nonzero().flatten().tolist()
        if not reached:
            return 0  # a constant network
        first, last = reached[0], reached[-1]
        if first > 0 and last < logits.shape[2] - 1:
            # A core that begins right below the halo must not see the block, nor one that ends above it.
            pixels: int = max(last - (block + 1) * stride + 1, block * stride - first, 0)
            return -(-pixels // stride) * stride
    return None


@torch.inference_mode()
def _agrees(body: nn.Module, channels: int, stride: int, halo: int, axis: int, *, gap: bool = False) -> bool:
    """Whether one block, computed from a piece with a halo, has the result of the whole, longer strip.

    Args:
        body: See `find_context`.
        channels: See `find_context`.
        stride: See `find_context`.
        halo: Of the piece.
        axis: Along which the strip runs, 2 or 3.
        gap: Whether the first date is missing in all of the piece.
    """
    long_enough = [length for length in STRIP_LENGTHS if length > 3 * halo + stride]
    strip = _strip(body, channels, (*long_enough, STRIP_LENGTHS[-1])[0], stride)
    middle = strip.shape[2] // stride // 2 * stride
    begin, end = max(middle - halo, 0), min(middle + stride + halo, strip.shape[2])
    if gap:
        strip[:, 0, begin:end] = 2 * _GAP
    whole = _along(body, strip, axis)[:, :, middle : middle + stride]
    piece = _along(body, strip[:, :, begin:end], axis)[:, :, middle - begin : middle - begin + stride]
    worst = (whole - piece).abs().max().item()
    return worst <= _TOLERANCE * whole.abs().max().item()


class _WithGaps(nn.Module):
    """A body for series, which takes a date as missing where its first band is below a limit."""

    def __init__(self, body: nn.Module, steps: int) -> None:
        super().__init__()
        self.body = body
        self.steps = steps

    def forward(self, image: Tensor) -> Tensor:
        dated = image.reshape(len(image), self.steps, -1, *image.shape[2:])  # (B, T, C, H, W)
        valid = dated[:, :, 0] >= _GAP
        days = torch.linspace(1.0, 365.0, self.steps, device=image.device).expand(len(image), -1)
        logits: Tensor = self.body(dated.masked_fill(~valid.unsqueeze(2), 0.0), valid, days)
        return logits


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: a strip is so narrow that threads mostly wait for each other (15 times slower)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _strip(body: nn.Module, channels: int, length: int, stride: int) -> Tensor:
    """Standard normal values `(1, C, length, stride)`, the same each time."""
    like = next(body.parameters(), torch.zeros(()))
    rows = max(length // stride, 4) * stride
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, channels, rows, stride, generator=generator).to(like)


def _along(body: nn.Module, strip: Tensor, axis: int) -> Tensor:
    """The result for a strip that runs along an axis, turned so that it runs down."""
    if axis == 2:
        logits: Tensor = body(strip)
    else:
        logits = body(strip.transpose(2, 3).contiguous()).transpose(2, 3)
    return logits
