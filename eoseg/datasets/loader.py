"""A loader that knows how long it lets training wait, and how its workers are started."""

import multiprocessing
import time
from collections.abc import Iterator
from typing import Any, Literal, cast

import torch
from torch.utils.data import DataLoader

from eoseg.errors import ConfigError

type WorkerStart = Literal["fork", "spawn", "forkserver"]
"""How Python starts the processes that read: see `multiprocessing.get_context`."""


class TimedLoader[T](DataLoader[T]):
    """A `DataLoader` that measures, for each batch, how long it took until the batch was there."""

    asked: float = 0.0
    """When the latest batch was asked for, in seconds of `time.perf_counter`."""
    waited: float = 0.0
    """Seconds until the latest batch was there."""

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]  # DataLoader names its private iterator
        """Give the batches of an epoch."""
        batches = super().__iter__()
        while True:
            self.asked = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.waited = time.perf_counter() - self.asked
            yield cast(T, batch)


def worker_options(workers: int, start: WorkerStart | None) -> dict[str, Any]:
    """What a `DataLoader` is told of its processes.

    Args:
        workers: How many processes read; with 0 the training process reads itself.
        start: How they are started, Python's usual way by default.
    """
    options: dict[str, Any] = {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": torch.cuda.is_available(),
    }
    if workers and start is not None:
        options["multiprocessing_context"] = start
    return options


def check_worker_start(start: str | None, workers: int) -> None:
    """Refuse a way of starting workers that there is not, or without workers.

    Raises:
        ConfigError: With those that there are.
    """
    if start is None:
        return
    known = multiprocessing.get_all_start_methods()
    if start not in known:
        raise ConfigError(f"data.worker_start is one of {', '.join(known)} on this machine; found '{start}'.")
    if not workers:
        raise ConfigError(
            f"data.worker_start: {start} has no effect without workers. Set num_workers to 1 or more, or "
            "leave it out."
        )
