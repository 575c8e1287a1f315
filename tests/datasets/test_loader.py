import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from eoseg.datasets.loader import TimedLoader, check_worker_start, worker_options
from eoseg.errors import ConfigError


class Slow(Dataset[int]):
    """Numbers, the first of which takes a while."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, number: int) -> int:
        time.sleep(0.2 if number == 0 else 0)
        return number


@pytest.mark.parametrize("workers", [0, 2])
def test_the_batches_are_those_of_any_loader(workers: int) -> None:
    options = worker_options(workers, "fork" if workers else None)
    ours = TimedLoader(Slow(), batch_size=2, **options)
    for _ in range(2):  # workers stay
        assert [batch.tolist() for batch in ours] == [[0, 1], [2, 3], [4, 5]]
    assert len(ours) == len(DataLoader(Slow(), batch_size=2)) == 3


def test_the_time_until_a_batch_is_there_is_measured() -> None:
    waited, started = [], time.perf_counter()
    for _ in (loader := TimedLoader(Slow(), batch_size=2)):
        assert started <= loader.asked <= time.perf_counter()
        waited.append(loader.waited)
        time.sleep(0.25)  # what is done with a batch is not waiting
    assert waited[0] >= 0.2
    assert max(waited[1:]) < 0.2


def test_workers_are_started_as_asked_for() -> None:
    loader = TimedLoader(Slow(), **worker_options(1, "spawn"))
    assert loader.multiprocessing_context.get_start_method() == "spawn"
    assert loader.persistent_workers
    assert loader.pin_memory == torch.cuda.is_available()
    assert TimedLoader(Slow(), **worker_options(1, None)).multiprocessing_context is None


@pytest.mark.parametrize(
    ("start", "workers", "message"),
    [
        ("thread", 2, r"worker_start is one of fork, spawn, forkserver on this machine; found 'thread'"),
        ("spawn", 0, r"worker_start: spawn has no effect without workers. Set num_workers"),
    ],
)
def test_a_start_that_cannot_be_is_refused(start: str, workers: int, message: str) -> None:
    check_worker_start(None, workers)
    with pytest.raises(ConfigError, match=message):
        check_worker_start(start, workers)
