"""Which chips come in which order, on which process."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data.distributed import DistributedSampler

from eoseg.datasets.chips import Chip, chip_in
from eoseg.datasets.splits import Region
from eoseg.errors import ConfigError, DataError

_CANDIDATES = 64
"""Positions drawn at once while looking for one with labels."""

_MOST_ROUNDS = 100_000


class RandomChips(DistributedSampler[Chip]):
    """Random chips of the training regions, drawn anew in every epoch.

    A region is drawn by its area (times the share of its positions that hold labels), then a position,
    all of them equally likely, from the region's first row and column to the last that fits: so its
    four corners are covered. Positions without a labelled pixel are drawn again, so where labels are
    sparse every chip holds some, and every labelled pixel is as likely to be seen as any other, but
    for those near the region's edges. In a region smaller than a chip there is one position.

    It is a `DistributedSampler` so that Lightning leaves it in place. The same seed, epoch and rank
    give the same chips; each rank draws its own.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        labelled: Sequence[NDArray[np.int64]],
        *,
        cell: int,
        chip_size: int,
        chips_per_epoch: int | None,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Prepare to draw.

        Args:
            regions: The training regions.
            labelled: Labelled pixels of each in cells: see `TrainingSurvey`.
            cell: Height and width of a cell in pixels, at most an eighth of a chip or 1.
            chip_size: Height and width of a chip in pixels.
            chips_per_epoch: Chips in an epoch over all processes, rounded up to full batches; by default
                the regions' area where labels are, divided by the area of a chip.
            batch_size: Chips in a batch.
            seed: Seed of the run.
            rank: Number of this process.
            world_size: How many processes draw.

        Raises:
            DataError: No region holds a label, so there is no chip to draw.
        """
        held = [
            _LabelCells(region, cells, cell, chip_size)
            for region, cells in zip(regions, labelled, strict=True)
        ]
        self._regions = [entry for entry in held if entry.share > 0]
        if not self._regions:
            raise DataError(
                f"There is no chip to train on: none of the {len(regions)} training regions holds a labelled "
                "valid pixel. Check the labels, 'nodata' and the split."
            )
        super().__init__(self._regions, num_replicas=world_size, rank=rank, shuffle=True, seed=seed)  # type: ignore[arg-type]
        area = np.array([entry.area * entry.share for entry in self._regions])
        self._weights = area / area.sum()
        self._chip_size = chip_size
        wanted = chips_per_epoch or -(-int(area.sum()) // chip_size**2)
        batches = -(-wanted // (world_size * batch_size))
        self._count = max(1, batches) * batch_size
        self._batch_size = batch_size
        self.first_batch = 0

    def __len__(self) -> int:
        """Chips of this process in an epoch: whole batches, the same on every process."""
        return self._count

    def __iter__(self) -> Iterator[Chip]:
        """Draw the chips of this epoch, from `first_batch` on."""
        rng = np.random.default_rng([self.seed, self.epoch, self.rank])
        numbers = rng.choice(len(self._regions), size=self._count, p=self._weights)
        first = self.first_batch * self._batch_size
        for place, number in enumerate(numbers):
            chip = self._regions[number].draw(rng)  # those before it too: what comes next follows from them
            if place >= first:
                yield chip


class EveryChip(DistributedSampler[Chip]):
    """A fixed list of chips in batches, which are divided over the processes without repeating any chip.

    The batches are the same for any number of processes, so that a network gives the same logits to the last
    bit; only where there are fewer batches than processes are they made smaller.
    """

    def __init__(
        self, chips: Sequence[Chip], *, split: str, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        """Take every `world_size`-th batch, from number `rank` on.

        Args:
            chips: All chips of the split.
            split: Name of the split, for messages.
            batch_size: Chips in a batch.
            rank: Number of this process.
            world_size: How many processes share the chips.

        Raises:
            DataError: There is no chip.
            ConfigError: There are fewer chips than processes, so one would have nothing to do.
        """
        if not chips:
            raise DataError(
                f"The {split} split has no chip with a label. Give it more scenes or blocks, or set its "
                "share to 0."
            )
        if len(chips) < world_size:
            raise ConfigError(
                f"The {split} split has {len(chips)} chips for {world_size} processes. Use fewer processes."
            )
        super().__init__(chips, num_replicas=world_size, rank=rank, shuffle=False)  # type: ignore[arg-type]
        size = batch_size if -(-len(chips) // batch_size) >= world_size else len(chips) // world_size
        starts = range(0, len(chips), size)[rank::world_size]
        self._own = [chip for start in starts for chip in chips[start : start + size]]

    def __len__(self) -> int:
        """Chips of this process."""
        return len(self._own)

    def __iter__(self) -> Iterator[Chip]:
        """The chips of this process, in their order."""
        return iter(self._own)


class _LabelCells:
    """Finds positions in a region where a chip holds a label."""

    def __init__(self, region: Region, cells: NDArray[np.int64], cell: int, chip_size: int) -> None:
        self.region = region
        self.area = region.window.height * region.window.width
        self._cell = cell
        self._chip_size = chip_size
        self._cells = cells.shape
        self._rows = max(region.window.height - chip_size, 0)  # the last position, inclusive
        self._cols = max(region.window.width - chip_size, 0)
        # Sums over all cells above and left of a corner give the labels in any rectangle of cells.
        self._sums = np.pad((cells > 0).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        rows = np.unique(np.r_[0 : self._rows : cell, self._rows])
        cols = np.unique(np.r_[0 : self._cols : cell, self._cols])
        self.share = float(self._hold_labels(rows[:, None], cols[None, :]).mean())
        """Share of positions that hold labels, on a lattice one cell wide."""

    def _hold_labels(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether chips at these positions hold a whole cell with a label."""
        top, bottom = self._whole_cells(rows, self._cells[0], self.region.window.height)
        left, right = self._whole_cells(cols, self._cells[1], self.region.window.width)
        sums = self._sums
        held = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        return np.asarray(held > 0)

    def _whole_cells(
        self, starts: NDArray[np.int64], count: int, length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First whole cell of chips along one side, and the first behind it."""
        stops = starts + self._chip_size
        ends = np.where(stops >= length, count, stops // self._cell)  # the last cell may be cut short
        return -(-starts // self._cell), ends

    def draw(self, rng: np.random.Generator) -> Chip:
        """A position that holds labels, all of them equally likely."""
        for _ in range(_MOST_ROUNDS):
            rows = rng.integers(0, self._rows + 1, _CANDIDATES)
            cols = rng.integers(0, self._cols + 1, _CANDIDATES)
            found = np.flatnonzero(self._hold_labels(rows, cols))
            if found.size:
                window = self.region.window
                row, col = window.row + int(rows[found[0]]), window.col + int(cols[found[0]])
                return chip_in(self.region, row, col, self._chip_size)
        raise DataError(f"No chip with a label was found in the scene '{self.region.scene_id}'.")
