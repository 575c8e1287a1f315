"""One picture is found again, brighter, recompressed or turned; two pictures are not."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from eoseg.datasets.duplicates import find_duplicates, join, signatures


def landscapes(count: int, seed: int, size: int = 64) -> NDArray[np.float32]:
    """Chips with patches and texture, `(n, 3, h, w)`, 0 to 255."""
    rng = np.random.default_rng(seed)
    chips = []
    for _ in range(count):
        blocks = rng.uniform(40, 200, (3, 8, 8)).repeat(size // 8, axis=1).repeat(size // 8, axis=2)
        fine = rng.normal(0, 12, (1, size // 2, size // 2)).repeat(2, axis=1).repeat(2, axis=2)
        chips.append(blocks + fine + rng.normal(0, 4, (3, size, size)))
    return np.clip(np.stack(chips), 0, 255).astype(np.float32)


def found(first: NDArray[np.float32], second: NDArray[np.float32]) -> list[tuple[int, int]]:
    pairs = find_duplicates(
        *(signatures(chips, np.ones((len(chips), *chips.shape[2:]), bool)) for chips in (first, second))
    )
    return [(pair.first, pair.second) for pair in pairs]


def jpeg(chip: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
    buffer = io.BytesIO()
    Image.fromarray(chip.transpose(1, 2, 0).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float32).transpose(2, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda chip: chip,
        lambda chip: 0.6 * chip + 20,
        lambda chip: np.clip(1.3 * chip, 0, 255),
        lambda chip: jpeg(chip, 60),
        lambda chip: jpeg(0.8 * chip + 10, 75),
        lambda chip: chip[:, ::-1],
        lambda chip: chip[:, :, ::-1],
        lambda chip: np.rot90(chip, 1, (1, 2)),
        lambda chip: np.rot90(chip, 3, (1, 2)),
        lambda chip: chip.transpose(0, 2, 1),
        lambda chip: 40 * np.sqrt(chip / 10),
    ],
)
def test_a_changed_copy_is_found_among_others_and_nothing_else(change):
    first, second = landscapes(40, 1), landscapes(40, 2)
    second[7] = change(first[31])
    assert found(first, second) == [(31, 7)]


def test_chips_of_like_places_are_no_duplicates():
    assert found(landscapes(150, 1), landscapes(150, 2)) == []


def test_plain_chips_and_slopes_are_no_duplicates_of_each_other():
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 100, 64, dtype=np.float32)[None, None, None].repeat(64, axis=2)  # (1, 1, 64, 64)
    water = np.full((1, 1, 64, 64), 20, np.float32) + rng.normal(0, 0.4, (2, 1, 64, 64)).astype(np.float32)
    plain = np.full((1, 1, 64, 64), 7, np.float32)
    assert found(slope, 2 * slope) == found(plain, plain) == found(water[:1], water[1:]) == []
    assert found(slope + water[:1], 2 * slope + water[1:]) == []


def test_pixels_without_value_do_not_count():
    first = landscapes(4, 1)
    second, valid = first[2:3].copy(), np.ones((1, 64, 64), bool)
    valid[0, :10] = False
    second[0, :, :10] = 9999
    mine = signatures(np.where(valid[:, None], first, 0), np.broadcast_to(valid, (4, 64, 64)))
    theirs = signatures(second, valid)
    assert [(p.first, p.second) for p in find_duplicates(mine, theirs)] == [(2, 0)]


@pytest.mark.parametrize("size", [8, 20, 32, 100, 224])
def test_chips_of_any_size_are_compared(size: int):
    rng = np.random.default_rng(size)
    first, second = (rng.uniform(0, 255, (12, 2, size, size)).astype(np.float32) for _ in range(2))
    second[5] = 0.5 * first[3]
    assert found(first, second) == [(3, 5)]


def test_signatures_of_batches_are_joined_and_none_is_none():
    chips = landscapes(5, 1)
    valid = np.ones((5, 64, 64), bool)
    whole = signatures(chips, valid)
    parts = join([signatures(chips[:2], valid[:2]), signatures(chips[2:], valid[2:])])
    np.testing.assert_array_equal(parts.low, whole.low)
    assert len(parts) == 5
    assert find_duplicates(join([]), whole) == []
