from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from eoseg.batch import IGNORE
from eoseg.datasets.chips import ChipItem
from eoseg.datasets.torchgeo_loading import (
    Draw,
    EveryTile,
    RandomDraws,
    TrainingChips,
    middle_tile,
    spread,
    tiles_of,
)
from eoseg.datasets.torchgeo_samples import crop
from eoseg.datasets.torchgeo_sources import Source
from eoseg.errors import ConfigError


class Positions(Source):
    """Images that say where a pixel is; the mask is labelled in the last column of pixels alone."""

    def __init__(self, sizes: list[tuple[int, int]], *, sparse: bool = False) -> None:
        self.sizes = sizes
        self.sparse = sparse
        self.names = [f"image_{n}" for n in range(len(sizes))]
        self.read: list[int] = []

    def size(self, number: int) -> tuple[int, int]:
        return self.sizes[number]

    def chip(self, number: int, row: int, col: int, size: int) -> ChipItem:
        self.read.append(number)
        height, width = self.sizes[number]
        rows, cols = np.indices((height, width))
        mask = torch.zeros(height, width, dtype=torch.int64)
        if self.sparse:
            mask[:, :-1] = IGNORE
        image = torch.from_numpy(np.stack([np.full_like(rows, number), rows, cols])).float()
        item: ChipItem = {"image": image, "valid": mask == mask, "mask": mask, "id": self.names[number]}
        return crop(item, row, col, size)


def draws(images: int, **options: Any) -> RandomDraws:
    values: dict[str, Any] = {
        "chips": images,
        "crops": 1,
        "held": 2,
        "areas": None,
        "batch_size": 2,
        "seed": 3,
    }
    return RandomDraws(images, **{**values, **options})


def test_every_image_is_seen_in_an_epoch_in_a_new_order():
    sampler = draws(6)
    first = [draw.number for draw in sampler]
    sampler.set_epoch(1)
    second = [draw.number for draw in sampler]
    assert sorted(first) == sorted(second) == list(range(6))
    assert first != second


def test_draws_follow_from_the_seed():
    assert list(draws(6)) == list(draws(6))
    assert list(draws(6)) != list(draws(6, seed=4))


def test_an_epoch_has_whole_batches():
    sampler = draws(5, batch_size=4)
    assert len(sampler) == len(list(sampler)) == 8
    assert set(range(5)) == {draw.number for draw in sampler}


def test_processes_share_the_images():
    seen = [{draw.number for draw in draws(6, rank=rank, world_size=2)} for rank in (0, 1)]
    assert seen[0] | seen[1] == set(range(6))
    assert not seen[0] & seen[1]
    with pytest.raises(ConfigError, match="The train split has 1 images for 2 processes"):
        draws(1, world_size=2)


def test_images_in_memory_take_turns():
    numbers = [draw.number for draw in draws(4, chips=12, crops=3, held=2)]
    assert Counter(numbers) == dict.fromkeys(range(4), 3)
    assert set(numbers[:6]) == set(numbers[:2])  # two images, three chips of each
    assert numbers[:2] == numbers[2:4] == numbers[4:6]


def test_scenes_are_drawn_by_their_area():
    numbers = [draw.number for draw in draws(2, chips=2000, areas=np.array([1.0, 3.0]))]
    assert 0.71 < np.mean(numbers) < 0.79


def test_a_training_chip_follows_from_its_draw():
    source = Positions([(20, 30)])
    chips = TrainingChips(source, 8)
    one, same, other = chips[Draw(0, (1, 2))], chips[Draw(0, (1, 2))], chips[Draw(0, (1, 3))]
    assert one["id"] == same["id"] != other["id"]
    assert one["image"].shape == (3, 8, 8)
    corners = {chips[Draw(0, (n,))]["id"] for n in range(3000)}
    assert {f"image_0@{row},{col}" for row in (0, 12) for col in (0, 22)} <= corners


def test_places_without_labels_are_drawn_again():
    chips = TrainingChips(Positions([(8, 40)], sparse=True), 8)
    labelled = [bool((chips[Draw(0, (n,))]["mask"] != IGNORE).any()) for n in range(100)]
    assert np.mean(labelled) > 0.3  # 1 in 33 at random


@pytest.mark.parametrize("size", [(20, 30), (16, 16), (5, 9), (17, 8)])
def test_tiles_count_each_pixel_once(size: tuple[int, int]):
    source = Positions([size])
    counted = np.zeros(size, int)
    for tile in tiles_of(source, 0, 8):
        assert tile["image"].shape == (3, 8, 8)
        known = tile["mask"] != IGNORE
        rows, cols = tile["image"][1][known].long(), tile["image"][2][known].long()
        np.add.at(counted, (rows.numpy(), cols.numpy()), 1)
    assert (counted == 1).all()


def batches(source: Source, **options: Any) -> list[list[str]]:
    """What each batch holds, in any order of the batches."""
    tiles = EveryTile(source, 8, split="val", batch_size=4, **options)
    return sorted([item["id"] for item in batch] for batch in tiles)


@pytest.mark.parametrize("sizes", [[(20, 30), (8, 8), (9, 8), (30, 8), (5, 5)], [(8, 8)] * 17])
@pytest.mark.parametrize(("world_size", "workers"), [(1, 0), (2, 0), (3, 0), (4, 0), (1, 2), (2, 2)])
def test_batches_are_the_same_for_any_number_of_processes_and_workers(
    sizes: list[tuple[int, int]], world_size: int, workers: int
):
    source = Positions(sizes)
    alone = batches(source)
    assert max(map(len, alone)) == 4
    tiles = [tile["id"] for number in range(len(source)) for tile in tiles_of(source, number, 8)]
    assert sorted(name for batch in alone for name in batch) == sorted(tiles)
    seen: list[list[str]] = []
    for rank in range(world_size):
        own = EveryTile(source, 8, split="val", batch_size=4, rank=rank, world_size=world_size)
        seen += [[item["id"] for item in batch] for batch in loaded(own, workers)]
    assert sorted(seen) == alone


def loaded(tiles: EveryTile, workers: int) -> DataLoader[Any]:
    return DataLoader(tiles, batch_size=None, collate_fn=list, num_workers=workers)


def test_small_images_fill_a_batch_together():
    assert [len(batch) for batch in batches(Positions([(8, 8)] * 10))] == [4, 4, 2]


def test_fewer_groups_than_processes_are_made_smaller():
    found = [batches(Positions([(8, 8)] * 3), rank=rank, world_size=2) for rank in range(2)]
    assert [sum(map(len, each)) for each in found] == [2, 1]


def test_an_image_is_read_in_one_go():
    source = Positions([(20, 30), (20, 30)])
    batches(source)
    assert source.read == sorted(source.read)


def test_fewer_images_than_processes_are_refused():
    with pytest.raises(ConfigError, match="The val split has 1 images for 2 processes"):
        batches(Positions([(8, 8)]), world_size=2)


def test_a_middle_tile_and_even_numbers():
    assert middle_tile(Positions([(20, 30)]), 0, 8)["id"] == "image_0@6,11"
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(2, 8) == [0, 1]
