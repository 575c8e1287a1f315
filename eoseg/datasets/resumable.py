"""Loaders whose place in an epoch is part of a checkpoint, so that a stopped training goes on inside it."""

import logging
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol, cast

from eoseg.datasets.loader import TimedLoader

_log = logging.getLogger(__name__)


class Resumable(Protocol):
    """What the loader asks of a sampler: the order of an epoch follows from its number alone."""

    epoch: int
    num_replicas: int
    first_batch: int
    """Batches of this process to leave out at the beginning of the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes."""


class ResumableLoader[T](TimedLoader[T]):
    """A `DataLoader` that Lightning saves and restores, over a sampler that can begin inside an epoch.

    Chips that were drawn already are left out without being read, so the rest of the epoch holds exactly
    what it would have held. Batches that worker processes have read ahead do not count.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what a `DataLoader` takes, with a `Resumable` sampler."""
        options["worker_init_fn"] = calm_worker(options.get("worker_init_fn"))
        super().__init__(*args, **options)
        self._given = 0
        self._goes_on: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]
        """The batches of the epoch, or what is left of it. Nothing is read before the first is asked for.

        Lightning makes the iterator before it tells the sampler the epoch.
        """
        places = self._places
        epoch, batches = self._goes_on or (-1, 0)
        first = batches if epoch == places.epoch and batches < len(self) else 0
        places.first_batch = self._given = first
        for batch in super().__iter__():
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where this process is; the others are at the same place."""
        places = self._places
        return {
            "epoch": places.epoch,
            "batches": self._given,
            "of": len(self),
            "processes": places.num_replicas,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on at the place of a checkpoint, where the epoch has the same batches."""
        places = self._places
        now = {"of": len(self), "processes": places.num_replicas}
        places.set_epoch(state["epoch"])
        if any(state[key] != value for key, value in now.items()):
            _log.warning(
                "The checkpoint has %d batches in an epoch on each of %d processes, now there are %d on each "
                "of %d: the rest of its epoch is drawn from all chips again.",
                state["of"],
                state["processes"],
                now["of"],
                now["processes"],
            )
            return
        self._goes_on = state["epoch"], state["batches"]

    @property
    def _places(self) -> Resumable:
        return cast(Resumable, self.sampler)


def calm_worker(then: Callable[[int], None] | None = None) -> Callable[[int], None]:
    """What a worker process does first: leave the signal that asks a job to stop to its training process.

    Args:
        then: What it does next.
    """
    return partial(_start_worker, then=then)


def _start_worker(number: int, then: Callable[[int], None] | None) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # SLURM sends it to every process of a step
    if then is not None:
        then(number)
