"""Why intervals come from blocks: maps whose errors lie together, with an accuracy that is known."""

import numpy as np
from scipy import fft

from eoseg.evaluate.intervals import bootstrap
from eoseg.spatial_blocks import CELL, Blocks

MAPS, SIDE, TRUTH = 200, 768, 0.8
SMOOTH = 8.0  # pixels: the deviation of the Gaussian that noise is smoothed with, so errors lie in patches
NAMES = ["a", "b"]


def errors_of(generator: np.random.Generator) -> np.ndarray:
    """A smooth random field, cut where the normal distribution leaves a fifth."""
    frequency = fft.fftfreq(SIDE)[:, None] ** 2 + fft.rfftfreq(SIDE)[None] ** 2
    kernel = np.exp(-2 * (np.pi * SMOOTH) ** 2 * frequency).astype(np.float32)
    noise = fft.rfft2(generator.standard_normal((SIDE, SIDE), np.float32))
    field = fft.irfft2(noise * kernel, (SIDE, SIDE))
    variance = fft.irfft2(kernel**2, (SIDE, SIDE))[0, 0]  # of the field, in expectation
    return field / np.sqrt(variance) > 0.8416212335729143  # the 80th percentile


def blocks_of(errors: np.ndarray) -> Blocks:
    """Two classes in stripes; a wrong pixel is the other one."""
    across = SIDE // CELL
    matrices = np.zeros((across**2, 2, 2), np.int64)
    for label in (0, 1):
        cells = errors[:, label::2].reshape(across, CELL, across, CELL // 2)
        wrong = cells.sum(axis=(1, 3)).flatten()
        matrices[:, label, 1 - label], matrices[:, label, label] = wrong, CELL**2 // 2 - wrong
    keys = tuple(("map", row, col) for row in range(across) for col in range(across))
    return Blocks(tuple(NAMES), keys, matrices, CELL)


def pixel_interval(blocks: Blocks, generator: np.random.Generator) -> tuple[float, float]:
    """What a bootstrap over pixels gives: counts of cells are then drawn from a multinomial distribution."""
    cells = blocks.matrices.sum(axis=0).flatten()
    drawn = generator.multinomial(cells.sum(), cells / cells.sum(), size=200)
    low, high = np.percentile((drawn[:, 0] + drawn[:, 3]) / cells.sum(), [2.5, 97.5])
    return float(low), float(high)


def test_block_intervals_hold_the_truth_where_pixel_intervals_do_not() -> None:
    generator = np.random.default_rng(2026)
    by_blocks = by_pixels = 0
    for number in range(MAPS):
        blocks = blocks_of(errors_of(generator)).enlarged()
        found = bootstrap(blocks.matrices, NAMES, block_size=blocks.side, draws=200, seed=number)
        interval = found.values["overall_accuracy"]
        assert interval is not None
        by_blocks += interval.low <= TRUTH <= interval.high
        low, high = pixel_interval(blocks, generator)
        by_pixels += low <= TRUTH <= high
    assert by_blocks >= 0.9 * MAPS, f"{by_blocks} of {MAPS} by blocks"
    assert by_pixels < 0.5 * MAPS, f"{by_pixels} of {MAPS} by pixels"
