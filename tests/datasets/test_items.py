import numpy as np
import pytest

from eoseg.datasets.items import ItemBatches
from eoseg.errors import ConfigError, DataError


def batches(
    count: int, *, size: int = 4, shuffled: bool = True, epoch: int = 0, rank: int = 0, world: int = 1
):
    items = np.arange(count) * 10  # places, not numbers from 0 on
    sampler = ItemBatches(
        items, split="train", batch_size=size, shuffled=shuffled, seed=7, rank=rank, world_size=world
    )
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(found) == len(sampler)
    return found


@pytest.mark.parametrize(("count", "world"), [(23, 1), (23, 3), (8, 2), (5, 5)])
def test_every_item_comes_once_in_an_epoch_over_all_processes(count: int, world: int):
    by_rank = [batches(count, rank=rank, world=world) for rank in range(world)]
    assert len({len(found) for found in by_rank}) == 1  # nobody waits
    everything = np.concatenate([batch for found in by_rank for batch in found])
    assert sorted(everything.tolist()) == [number * 10 for number in range(count)]


def test_no_batch_is_much_smaller_than_the_others():
    # 9 items in batches of 4 and a rest of 1 would stop batch normalisation.
    assert sorted(len(batch) for batch in batches(9)) == [3, 3, 3]
    assert max(len(batch) for batch in batches(17)) <= 4


def test_the_order_changes_with_the_epoch_and_comes_back():
    first, second, again = (np.concatenate(batches(40, epoch=epoch)) for epoch in (0, 1, 0))
    assert first.tolist() == again.tolist() != second.tolist()
    assert first.tolist() != sorted(first.tolist())


@pytest.mark.parametrize(("count", "world"), [(10, 1), (10, 3), (3, 3)])
def test_evaluation_gives_each_item_once_in_order(count: int, world: int):
    by_rank = [
        np.concatenate(batches(count, shuffled=False, rank=rank, world=world)) for rank in range(world)
    ]
    for own in by_rank:
        assert own.tolist() == sorted(own.tolist())
    assert sorted(np.concatenate(by_rank).tolist()) == [number * 10 for number in range(count)]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_of_an_evaluation_are_the_same_for_any_number_of_processes(world: int):
    found = [batch for rank in range(world) for batch in batches(11, shuffled=False, rank=rank, world=world)]
    assert sorted(map(tuple, found)) == sorted(map(tuple, batches(11, shuffled=False)))


def test_an_epoch_can_begin_at_any_batch_on_each_process():
    sampler = ItemBatches(
        np.arange(30), split="train", batch_size=4, shuffled=True, seed=7, rank=1, world_size=2
    )
    whole = list(sampler)
    sampler.first_batch = 2
    assert [batch.tolist() for batch in sampler] == [batch.tolist() for batch in whole[2:]]


def test_too_few_items_are_refused():
    with pytest.raises(DataError, match="The train split is empty"):
        batches(0)
    with pytest.raises(ConfigError, match="2 items for 3 processes"):
        batches(2, world=3)
