"""What tasks, the command line and the dashboard ask of every datamodule."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from lightning.pytorch import LightningDataModule

from eoseg.batch import Batch
from eoseg.datasets.data_hash import hash_data
from eoseg.recipe import Plain, Schema, Statistics


class EOData(LightningDataModule, ABC):
    """Labelled images, divided into training, validation and test, with raw values.

    Everything follows from the configuration and the files, so that every process finds the same. Loaders
    of validation and test give each labelled pixel or chip exactly once over all processes.
    """

    chip_size: int
    """Height and width of a chip in pixels; 1 for tables of pixels."""
    batch_size: int
    run_folder: Path | None = None
    """Where the split and the statistics are written; set before training starts."""

    @property
    @abstractmethod
    def schema(self) -> Schema:
        """Bands and classes, from headers and configuration alone."""

    @property
    @abstractmethod
    def statistics(self) -> Statistics:
        """Values and counts over the training pixels, and only those."""

    @property
    @abstractmethod
    def split_record(self) -> dict[str, Plain]:
        """How the split was made, at least `method` and `sha256`."""

    @abstractmethod
    def has(self, stage: str) -> bool:
        """Whether a split holds anything.

        Args:
            stage: "train", "val" or "test".
        """

    @abstractmethod
    def files(self) -> list[str]:
        """Paths of the files that images and labels are read from."""

    @cached_property
    def data_hash(self) -> dict[str, Plain]:
        """One hash over these files; see `eoseg.datasets.data_hash`. They are read for it once."""
        return hash_data(self.files())

    @abstractmethod
    def members(self, stage: str) -> list[str]:
        """What a split holds: names of its regions, chips, rows or images.

        Args:
            stage: "train", "val" or "test".
        """

    def pixels(self, stage: str) -> int | None:  # noqa: ARG002
        """Pixels, chips or rows of a split, labelled or not; None where only the batches say it."""
        return None

    def unit_of(self, chip_id: str) -> str:
        """What stays together with a chip that has no place: its group, or the chip itself."""
        return chip_id

    @abstractmethod
    def panel_chips(self, stage: str, count: int) -> Batch:
        """Some fixed chips, evenly spread over a split, for pictures.

        Args:
            stage: "train", "val" or "test".
            count: How many; fewer where the split has fewer.
        """

    @property
    def data_name(self) -> str:
        """What people call the data."""
        return type(self).__name__

    def places(self, ids: Sequence[str]) -> list[tuple[float, float] | None]:
        """Longitude and latitude of the middle of chips, None where nobody can say.

        Args:
            ids: As in a batch.
        """
        return [None] * len(ids)
