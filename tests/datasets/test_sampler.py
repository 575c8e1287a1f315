from collections import Counter
from itertools import islice

import numpy as np
import pytest

from eoseg.datasets.chips import Chip
from eoseg.datasets.sampler import EveryChip, RandomChips
from eoseg.datasets.splits import Region
from eoseg.errors import ConfigError, DataError
from eoseg.geo.window import Window

CHIP, CELL = 16, 2


def cells_of(labelled: np.ndarray) -> np.ndarray:
    """Labelled pixels in cells of 2 x 2, `(H, W)` bool to cells."""
    height, width = labelled.shape
    padded = np.pad(labelled, ((0, height % 2), (0, width % 2)))
    return padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).sum(axis=(1, 3))


def sampler(*labelled: np.ndarray, **options: object) -> RandomChips:
    regions = [Region(f"s{n}", Window(100, 200, *mask.shape), "train") for n, mask in enumerate(labelled)]
    values: dict[str, object] = {"chip_size": CHIP, "chips_per_epoch": None, "batch_size": 4, "seed": 0}
    return RandomChips(regions, [cells_of(mask) for mask in labelled], cell=CELL, **{**values, **options})  # type: ignore[arg-type]


FULL = np.ones((40, 50), bool)


def test_all_positions_are_drawn_with_the_four_corners():
    positions = {
        (chip.window.row, chip.window.col) for chip in sampler(np.ones((19, 20), bool), chips_per_epoch=4000)
    }
    assert positions == {(100 + row, 200 + col) for row in range(4) for col in range(5)}


def test_chips_lie_in_their_region_and_count_all_of_it():
    for chip in sampler(FULL, chips_per_epoch=100):
        assert chip.region.contains(chip.window)
        assert chip.counted == chip.window


def test_the_same_seed_epoch_and_rank_draw_the_same_and_others_others():
    def drawn(epoch: int = 0, **options: object) -> list[str]:
        chips = sampler(FULL, chips_per_epoch=8, **options)
        chips.set_epoch(epoch)
        return [chip.id for chip in chips]

    assert drawn() == drawn()
    others = [drawn(seed=1), drawn(epoch=1), drawn(rank=1, world_size=2), drawn(rank=0, world_size=2)]
    assert len({name for names in [drawn(), *others] for name in names}) > 20


def test_regions_are_drawn_by_their_area():
    drawn = Counter(chip.scene_id for chip in sampler(FULL, np.ones((80, 100), bool), chips_per_epoch=2000))
    assert drawn["s1"] / drawn["s0"] == pytest.approx(4, rel=0.2)


def test_a_region_smaller_than_a_chip_is_covered_by_it():
    chip = next(iter(sampler(np.ones((7, 40), bool))))
    assert chip.window.row == 100
    assert chip.counted.height == 7


def test_no_chip_is_without_labels_and_all_labels_are_equally_likely():
    labelled = np.zeros((200, 300), bool)
    labelled[50:54, 60:64] = True
    labelled[150:160, 200:210] = True
    hits = np.zeros((200, 300), int)
    count = 3000
    for chip in sampler(labelled, chips_per_epoch=count):
        rows, cols = (
            slice(chip.window.row - 100, chip.window.row - 84),
            slice(chip.window.col - 200, chip.window.col - 184),
        )
        assert labelled[rows, cols].any()
        hits[rows, cols] += 1
    small, large = hits[50:54, 60:64].mean(), hits[154:156, 204:206].mean()
    assert small / large == pytest.approx(1, rel=0.2)


def test_a_label_in_the_last_odd_row_and_column_is_found():
    labelled = np.zeros((41, 51), bool)
    labelled[40, 50] = True
    chip = next(iter(sampler(labelled)))
    assert (chip.window.row_stop, chip.window.col_stop) == (141, 251)


def test_a_speck_in_a_large_region_is_found_quickly():
    labelled = np.zeros((3000, 3000), bool)
    labelled[1500, 700] = True
    for chip in islice(sampler(labelled, chips_per_epoch=20), 20):
        assert chip.window.contains(Window(1600, 900, 1, 1))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 8),  # 2000 labelled pixels are 7.8 chips, rounded up to full batches
        ({"chips_per_epoch": 1}, 4),
        ({"chips_per_epoch": 9}, 12),
        ({"chips_per_epoch": 9, "world_size": 2}, 8),
        ({"chips_per_epoch": 16, "world_size": 2}, 8),
    ],
)
def test_an_epoch_has_whole_batches_on_every_process(options: dict[str, int], expected: int):
    chips = sampler(FULL, **options)
    assert len(chips) == expected == len(list(chips))


def test_an_epoch_of_sparse_labels_is_as_long_as_the_labelled_places_are_many():
    sparse = np.zeros((400, 400), bool)
    sparse[::100, ::100] = True
    assert 4 <= len(sampler(sparse)) < len(sampler(np.ones((400, 400), bool))) / 3


def test_regions_without_labels_are_refused_and_left_out():
    with pytest.raises(DataError, match="no chip to train on: none of the 1 training regions"):
        sampler(np.zeros((40, 50), bool))
    assert {chip.scene_id for chip in sampler(np.zeros((40, 50), bool), FULL, chips_per_epoch=50)} == {"s1"}


CHIPS = [
    Chip("s", Window(16 * n, 0, 16, 16), Window(0, 0, 999, 16), Window(16 * n, 0, 16, 16)) for n in range(7)
]


def shares(world_size: int, batch_size: int = 2) -> list[list[str]]:
    found = []
    for rank in range(world_size):
        own = EveryChip(CHIPS, split="val", batch_size=batch_size, rank=rank, world_size=world_size)
        found.append([chip.id for chip in own])
        assert len(own) == len(found[-1]) > 0
    return found


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_processes_share_all_chips_without_repeating_any(world_size: int):
    ids = [name for share in shares(world_size) for name in share]
    assert sorted(ids) == sorted(chip.id for chip in CHIPS)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_the_batches_are_the_same_for_any_number_of_processes(world_size: int):
    def batches(world: int) -> set[tuple[str, ...]]:
        return {tuple(own[start : start + 2]) for own in shares(world) for start in range(0, len(own), 2)}

    assert batches(world_size) == batches(1)
    assert len(batches(1)) == 4


def test_no_chip_or_too_few_are_refused():
    with pytest.raises(DataError, match="The val split has no chip with a label"):
        EveryChip([], split="val", batch_size=2)
    with pytest.raises(ConfigError, match="7 chips for 8 processes"):
        EveryChip(CHIPS, split="test", batch_size=2, world_size=8)


def test_an_epoch_can_begin_at_any_batch():
    whole, rest = sampler(FULL, chips_per_epoch=20), sampler(FULL, chips_per_epoch=20)
    rest.first_batch = 3
    assert [chip.id for chip in rest] == [chip.id for chip in whole][12:]
