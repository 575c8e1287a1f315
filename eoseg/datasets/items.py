"""What datamodules of single items (chip files, rows of a table) share: split, order, loaders."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from eoseg.batch import Batch
from eoseg.datasets.base import EOData
from eoseg.datasets.grouping import ItemSplitConfig
from eoseg.datasets.item_split import ItemSplit
from eoseg.datasets.statistics import statistics_json
from eoseg.errors import ConfigError, DataError
from eoseg.files import write_atomically
from eoseg.recipe import Plain

type Places = NDArray[np.int64]
"""Places of items among all items of the data."""


class ItemBatches(DistributedSampler[Places]):
    """Whole batches of items: in a new order in each epoch, or in the order of the items.

    Each item comes once in an epoch, over all processes. Shuffled batches differ by at most one item in
    size and every process gets as many, so that none waits for another. It is a `DistributedSampler` so
    that Lightning leaves it in place and tells it the epoch.
    """

    def __init__(
        self,
        items: Places,
        *,
        split: str,
        batch_size: int,
        shuffled: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Take the items of a split.

        Args:
            items: Their places.
            split: Name of the split, for messages.
            batch_size: Items in a batch at most, on each process.
            shuffled: Whether the order is drawn anew in each epoch.
            seed: Seed of the run.
            rank: Number of this process.
            world_size: How many processes share the items.

        Raises:
            DataError: There is no item.
            ConfigError: There are fewer items than processes, so one would have nothing to do.
        """
        if not len(items):
            raise DataError(f"The {split} split is empty. Give it files or groups, or set its share to 0.")
        if len(items) < world_size:
            raise ConfigError(
                f"The {split} split has {len(items)} items for {world_size} processes. Use fewer processes."
            )
        super().__init__(
            cast("Dataset[Places]", items),
            num_replicas=world_size,
            rank=rank,
            shuffle=shuffled,
            seed=seed,
        )
        self._items = items
        held = len(items) if shuffled else len(items[rank::world_size])
        per_step = batch_size * world_size if shuffled else batch_size
        self._count = -(-held // per_step)

    def __len__(self) -> int:
        """Batches of this process in an epoch."""
        return self._count

    def __iter__(self) -> Iterator[Places]:
        """The batches of this epoch, on this process."""
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self._items)
            # The same order on every process: each takes its own batches of it.
            batches = np.array_split(order, self._count * self.num_replicas)
            return iter(batches[self.rank :: self.num_replicas])
        return iter(np.array_split(self._items[self.rank :: self.num_replicas], self._count))


class ItemBatchDataset(Dataset[Batch]):
    """Gives whole batches. It is indexed by what `ItemBatches` yields."""

    def __init__(self, read: Callable[[Places], Batch]) -> None:
        """Take what reads batches; worker processes are sent it."""
        self._read = read

    def __getitem__(self, places: Places) -> Batch:
        """The items at these places."""
        return self._read(places)


class ItemData(EOData):
    """Labelled items, each in one split as a whole."""

    split_config: ItemSplitConfig
    num_workers: int = 0
    seed: int

    @abstractmethod
    def make_split(self) -> ItemSplit:
        """Divide the items as the configuration says."""

    @property
    @abstractmethod
    def reader(self) -> Callable[[Places], Batch]:
        """Gives the items at some places, in their order."""

    @cached_property
    def split(self) -> ItemSplit:
        """Which items train, validate and test."""
        return self.make_split()

    @property
    def split_record(self) -> dict[str, Plain]:
        """How the split was made."""
        split = self.split
        return {"method": split.method, **split.parameters, "seed": split.seed, "sha256": split.sha256}

    def has(self, stage: str) -> bool:
        """Whether a split holds anything."""
        return bool(len(self.split.of(stage)))

    @property
    @abstractmethod
    def groups(self) -> Sequence[str] | None:
        """The group of each item, where there are groups."""

    def members(self, stage: str) -> list[str]:
        """Names of the items of a split."""
        split = self.split
        return [split.ids[place] for place in split.of(stage)]

    def pixels(self, stage: str) -> int | None:
        """Items of a split."""
        return len(self.split.of(stage))

    def unit_of(self, chip_id: str) -> str:
        """The group of an item, or the item itself."""
        return self._units.get(chip_id, chip_id)

    @cached_property
    def _units(self) -> dict[str, str]:
        groups = self.groups
        return {} if groups is None else dict(zip(self.split.ids, groups, strict=True))

    def prepare_data(self) -> None:
        """Write what the run must remember of its data; Lightning calls this on one process."""
        if self.run_folder is None:
            return
        self.run_folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.run_folder / "split.json", self.split.to_json())
        write_atomically(self.run_folder / "statistics.json", statistics_json(self.statistics))

    def train_dataloader(self) -> DataLoader[Batch]:
        """Every training item once, in an order that differs from epoch to epoch."""
        return self._loader("train", shuffled=True)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Every validation item once; nothing where the split leaves none."""
        return self._loader("val", shuffled=False) if self.has("val") else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Every test item once."""
        return self._loader("test", shuffled=False)

    def panel_chips(self, stage: str, count: int) -> Batch:
        """Some fixed items, evenly spread over a split, for pictures.

        Raises:
            ConfigError: The split is empty, or none were asked for.
        """
        items = self.split.of(stage)
        if not len(items) or count < 1:
            raise ConfigError(
                f"There are {len(items)} {stage} items, {count} were asked for; both must be positive."
            )
        places = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
        return self.reader(items[places])

    def _loader(self, stage: Literal["train", "val", "test"], *, shuffled: bool) -> DataLoader[Batch]:
        rank, world_size = self._process()
        batches = ItemBatches(
            self.split.of(stage),
            split=stage,
            batch_size=self.batch_size,
            shuffled=shuffled,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        return DataLoader(
            ItemBatchDataset(self.reader),
            batch_size=None,  # an index is a whole batch
            sampler=cast("torch.utils.data.Sampler[int]", batches),
            collate_fn=_as_it_is,  # type: ignore[arg-type]  # never a list here
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def _process(self) -> tuple[int, int]:
        """Rank and number of processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _check_numbers(self, **least: int) -> None:
        """Refuse options that are too small; each is named with its least value."""
        for name, lowest in least.items():
            value = getattr(self, name)
            if value < lowest:
                raise ConfigError(f"data.{name} must be at least {lowest}; found {value}.")


def _as_it_is(batch: Batch) -> Batch:
    """Leave a batch as it is; a function by name, so that worker processes can be sent it."""
    return batch
