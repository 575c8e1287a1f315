"""Why intervals come from blocks: maps whose errors lie together, with an accuracy that is known."""

import numpy as np

from eoseg.evaluate.intervals import bootstrap
from eoseg.spatial_blocks import Blocks, BlockSums

MAPS, SIDE, TRUTH = 200, 512, 0.8
PATCH = 24  # pixels over which errors are alike, about
NAMES = ["a", "b"]


def errors_of(generator: np.random.Generator) -> np.ndarray:
    """A smooth random field, cut where the normal distribution leaves a fifth: so errors lie in patches."""
    frequency = np.fft.fftfreq(SIDE)[:, None] ** 2 + np.fft.rfftfreq(SIDE)[None] ** 2
    kernel = np.exp(-2 * (np.pi * PATCH / 2.5) ** 2 * frequency)
    noise = np.fft.rfft2(generator.normal(size=(SIDE, SIDE)))
    field = np.fft.irfft2(noise * kernel, (SIDE, SIDE))
    scale = np.sqrt(np.fft.irfft2(kernel**2, (SIDE, SIDE))[0, 0])  # the field's deviation, in expectation
    return field / scale > 0.8416212335729143  # the 80th percentile


def blocks_of(errors: np.ndarray) -> Blocks:
    sums = BlockSums(NAMES, placed=True)
    reference = np.zeros(errors.shape, np.int64)
    reference[:, ::2] = 1
    sums.add_pixels("map", 0, 0, reference, np.where(errors, 1 - reference, reference))
    return sums.blocks()


def pixel_interval(blocks: Blocks, generator: np.random.Generator) -> tuple[float, float]:
    """What a bootstrap over pixels gives: counts of cells are then drawn from a multinomial distribution."""
    cells = blocks.matrices.sum(axis=0).flatten()
    drawn = generator.multinomial(cells.sum(), cells / cells.sum(), size=200)
    low, high = np.percentile((drawn[:, 0] + drawn[:, 3]) / cells.sum(), [2.5, 97.5])
    return float(low), float(high)


def test_block_intervals_hold_the_truth_where_pixel_intervals_do_not() -> None:
    generator = np.random.default_rng(7)
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
