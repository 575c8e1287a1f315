"""Which chips of torchgeo's images come in which order, on which process."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import batched

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info
from torch.utils.data.distributed import DistributedSampler

from eoseg.batch import IGNORE
from eoseg.datasets.chips import ChipItem
from eoseg.datasets.torchgeo_sources import FootprintSource, Source
from eoseg.errors import ConfigError
from eoseg.geo.erosion import Border, near_border

_MOST_DRAWS = 16
"""Places tried in an image while looking for one with labels."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One training chip: an image, and what its place in it follows from."""

    number: int
    seed: tuple[int, ...]


class TrainingChips(Dataset[ChipItem]):
    """Cuts a chip at random out of an image; places without a label are drawn again, as far as that helps."""

    def __init__(self, source: Source, chip_size: int) -> None:
        """Cut chips of `chip_size` pixels."""
        self.source = source
        self.chip_size = chip_size

    def __getitem__(self, draw: Draw) -> ChipItem:
        """The chip of a draw, always the same."""
        rng = np.random.default_rng(draw.seed)
        height, width = self.source.size(draw.number)
        rows, cols = max(height - self.chip_size, 0), max(width - self.chip_size, 0)
        for _ in range(_MOST_DRAWS):
            row, col = int(rng.integers(0, rows + 1)), int(rng.integers(0, cols + 1))
            chip = self.source.chip(draw.number, row, col, self.chip_size)
            if rows == cols == 0 or "mask" not in chip or bool((chip["mask"] != IGNORE).any()):
                break
        return chip


class RandomDraws(DistributedSampler[Draw]):
    """Training images in a new order in each epoch, with a new place of the chip in each.

    Of images larger than a chip several chips are cut while the image is in memory: a handful of images take
    turns. Scenes with a place on earth are drawn by their area. The same seed, epoch and rank give the same
    chips; each rank has its own. It is a `DistributedSampler` so that Lightning leaves it in place.
    """

    def __init__(
        self,
        images: int,
        *,
        chips: int,
        crops: int,
        held: int,
        areas: NDArray[np.float64] | None,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Prepare to draw.

        Args:
            images: Number of images.
            chips: Chips in an epoch over all processes, rounded up to full batches.
            crops: Chips of one image before the next one's turn.
            held: Images that take turns.
            areas: Area of each scene, to draw by; None to take each image once in turn.
            batch_size: Chips in a batch.
            seed: Seed of the run.
            rank: Number of this process.
            world_size: How many processes draw.

        Raises:
            ConfigError: There are fewer images than processes.
        """
        if images < world_size and areas is None:
            raise ConfigError(
                f"The train split has {images} images for {world_size} processes. Use fewer processes."
            )
        super().__init__(range(images), num_replicas=world_size, rank=rank, shuffle=True, seed=seed)  # type: ignore[arg-type]
        self._images = images
        self._crops = crops
        self._held = held
        self._weights = None if areas is None else areas / areas.sum()
        self._count = -(-chips // (world_size * batch_size)) * batch_size
        self._batch_size = batch_size
        self.first_batch = 0

    def __len__(self) -> int:
        """Chips of this process in an epoch: whole batches, the same on every process."""
        return self._count

    def __iter__(self) -> Iterator[Draw]:
        """Draw the chips of this epoch, from `first_batch` on."""
        numbers = self._by_area() if self._weights is not None else self._in_turn()
        for place in range(self._count):
            draw = Draw(next(numbers), (self.seed, self.epoch, self.rank, place))
            if place >= self.first_batch * self._batch_size:
                yield draw

    def _by_area(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch, self.rank])
        yield from rng.choice(self._images, size=self._count, p=self._weights).tolist()

    def _in_turn(self) -> Iterator[int]:
        # All processes shuffle alike and take every so-manieth image, so that none is seen twice.
        rng = np.random.default_rng([self.seed, self.epoch])
        while True:
            own = rng.permutation(self._images)[self.rank :: self.num_replicas].tolist()
            for start in range(0, len(own), self._held):
                for _ in range(self._crops):
                    yield from own[start : start + self._held]


class EveryTile(IterableDataset[list[ChipItem]]):
    """Batches of tiles of the images of a split: each pixel counts once over all processes and workers.

    The batches are the same for any number of processes and workers, so that a network gives the same logits
    to the last bit: images are divided over them in groups, and no batch has tiles of two groups. Only where
    there are fewer groups than processes are these made smaller.
    """

    def __init__(
        self,
        source: Source,
        chip_size: int,
        *,
        split: str,
        batch_size: int,
        border: Border = "isprs-full",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Take every `world_size`-th group of images, from number `rank` on.

        Args:
            source: The images.
            chip_size: Height and width of a tile in pixels.
            split: Name of the split, for messages.
            batch_size: Tiles in a batch; the last one of a group has what is left.
            border: Whether labels near class borders are left out.
            rank: Number of this process.
            world_size: How many processes share the images.

        Raises:
            ConfigError: There are fewer images than processes, so one would have nothing to do.
        """
        count = len(source)
        if count < world_size:
            raise ConfigError(
                f"The {split} split has {count} images for {world_size} processes. Use fewer processes."
            )
        self.source = source
        self.chip_size = chip_size
        self._batch_size = batch_size
        self._border: Border = border
        tiles = math.prod(len(_steps(length, chip_size)) for length in source.size(0))
        together = -(-batch_size // tiles)  # images that fill a batch
        if -(-count // together) < world_size:
            together = count // world_size
        self._own = [range(count)[start : start + together] for start in range(0, count, together)][
            rank::world_size
        ]

    def __iter__(self) -> Iterator[list[ChipItem]]:
        """The batches of this process, or of this worker of it."""
        worker = get_worker_info()
        own = self._own if worker is None else self._own[worker.id :: worker.num_workers]
        for numbers in own:
            tiles = (
                tile
                for number in numbers
                for tile in tiles_of(self.source, number, self.chip_size, border=self._border)
            )
            yield from map(list, batched(tiles, self._batch_size))


def tiles_of(
    source: Source, number: int, chip_size: int, *, border: Border = "isprs-full"
) -> Iterator[ChipItem]:
    """Tiles that cover an image; what two of them share counts in one alone.

    The last tile of a row or column is moved back into the image, so that it sees real surroundings. Borders
    between classes are those within a tile.
    """
    height, width = source.size(number)
    for row, top, bottom in _steps(height, chip_size):
        for col, left, right in _steps(width, chip_size):
            chip = source.chip(number, row, col, chip_size)
            if "mask" in chip:
                mask = chip["mask"]
                counted = mask.new_full(mask.shape, IGNORE)
                inside = slice(top - row, bottom - row), slice(left - col, right - col)
                counted[inside] = mask[inside]
                chip = {**chip, "mask": counted, "counted": torch.tensor((bottom - top) * (right - left))}
                if border == "isprs-eroded":
                    near = torch.from_numpy(near_border(mask.numpy().astype(np.uint8)))
                    eroded = near & (counted != IGNORE)
                    chip["mask"], chip["eroded"] = counted.masked_fill(eroded, IGNORE), eroded.sum()
            yield chip


def middle_tile(source: Source, number: int, chip_size: int) -> ChipItem:
    """The chip in the middle of an image."""
    height, width = source.size(number)
    row, col = max(height - chip_size, 0) // 2, max(width - chip_size, 0) // 2
    return source.chip(number, row, col, chip_size)


def spread(count: int, wanted: int) -> Sequence[int]:
    """Some of `count` numbers, evenly spread; all of them where there are not more than wanted."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()
    return places


def reopen_files(_: int) -> None:
    """Make a worker process open files of its own."""
    worker = get_worker_info()
    source = getattr(None if worker is None else worker.dataset, "source", None)
    if isinstance(source, FootprintSource):
        source.reopen()


def _steps(length: int, size: int) -> list[tuple[int, int, int]]:
    """First pixel of each tile along one side, and the part of it that counts."""
    last = max(0, length - size)
    return [(min(begin, last), begin, min(begin + size, length)) for begin in range(0, length, size)]
