"""A training goes on inside an epoch with the batches that it would have had."""

import signal

import numpy as np
import pytest
from torch.utils.data import Dataset

from eoseg.datasets.items import ItemBatches
from eoseg.datasets.resumable import ResumableLoader, calm_worker


class Read(Dataset):
    """Gives places as they are, and writes down which it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __getitem__(self, places: np.ndarray) -> list[int]:
        self.asked.append(places.tolist())
        return places.tolist()


def make(count: int = 20, *, workers: int = 0, world: int = 1, epoch: int = 0) -> ResumableLoader[list[int]]:
    sampler = ItemBatches(
        np.arange(count), split="train", batch_size=4, shuffled=True, seed=1, world_size=world
    )
    sampler.set_epoch(epoch)
    return ResumableLoader(
        Read(), batch_size=None, sampler=sampler, collate_fn=lambda batch: batch, num_workers=workers
    )


def stopped_after(loader: ResumableLoader[list[int]], batches: int) -> dict[str, int]:
    found = iter(loader)
    for _ in range(batches):
        next(found)
    return loader.state_dict()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_rest_of_an_epoch_is_what_it_would_have_been(workers: int) -> None:
    whole = list(make(epoch=3))
    state = stopped_after(make(epoch=3, workers=workers), 2)
    assert state == {"epoch": 3, "batches": 2, "of": 5, "processes": 1}
    again = make(workers=workers)
    again.load_state_dict(state)
    assert list(again) == whole[2:]  # though Lightning makes the iterator before it says the epoch
    assert again.state_dict()["batches"] == 5


def test_what_was_seen_is_not_read_again() -> None:
    again = make()
    again.load_state_dict({"epoch": 0, "batches": 4, "of": 5, "processes": 1})
    assert list(again) == again.dataset.asked
    assert len(again.dataset.asked) == 1


def test_the_epochs_after_it_are_whole() -> None:
    again = make()
    again.load_state_dict({"epoch": 0, "batches": 4, "of": 5, "processes": 1})
    list(again)
    again.sampler.set_epoch(1)
    assert list(again) == list(make(epoch=1))


def test_an_epoch_that_was_at_its_end_is_followed_by_a_whole_one() -> None:
    again = make()
    again.load_state_dict({"epoch": 2, "batches": 5, "of": 5, "processes": 1})
    again.sampler.set_epoch(3)
    assert list(again) == list(make(epoch=3))


def test_another_number_of_processes_is_said(caplog: pytest.LogCaptureFixture) -> None:
    again = make(40, world=2)
    again.load_state_dict({"epoch": 0, "batches": 2, "of": 10, "processes": 1})
    assert "10 batches in an epoch on each of 1 processes, now there are 5 on each of 2" in caplog.text
    assert len(list(again)) == 5


def test_a_worker_leaves_the_signal_to_its_training_process() -> None:
    before, called = signal.getsignal(signal.SIGUSR1), []
    try:
        calm_worker(called.append)(3)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
        assert called == [3]
    finally:
        signal.signal(signal.SIGUSR1, before)
