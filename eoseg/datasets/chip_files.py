"""The datamodule for scene classification from image files, such as a folder for each class."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eoseg.batch import Batch
from eoseg.datasets.augment import Augmenter
from eoseg.datasets.chip_list import ChipFileSource, ChipList, find_chips
from eoseg.datasets.chip_store import ChipStore
from eoseg.datasets.config import AugmentConfig
from eoseg.datasets.grouping import ItemSplitConfig, split_items
from eoseg.datasets.item_split import SPLITS, ItemSplit
from eoseg.datasets.items import ItemData, Places
from eoseg.datasets.statistics import RunningMoments, band_statistics
from eoseg.errors import DataError
from eoseg.geo.position import lonlat
from eoseg.geo.scene import Scene
from eoseg.recipe import Schema, Statistics

_log = logging.getLogger(__name__)

_SAMPLE = 400_000
"""Pixels from which percentiles are estimated; where there are fewer, they are exact."""

_READ_CHIPS = 64
"""Chips that are read at once for the statistics."""


@dataclass(frozen=True, eq=False)
class ChipReader:
    """Reads batches; it can be sent to worker processes."""

    store: ChipStore
    labels: NDArray[np.int64]
    ids: Sequence[str]

    def __call__(self, places: Places) -> Batch:
        """The chips at these places."""
        image, valid = self.store.read(places)
        return {
            "image": torch.from_numpy(image),  # (B, C, H, W)
            "valid": torch.from_numpy(valid),  # (B, H, W)
            "label": torch.from_numpy(self.labels[places]),  # (B,) or (B, K)
            "id": [self.ids[place] for place in places.tolist()],
        }


class ChipFileData(ItemData):
    """Image files that each show one class, or several.

    Files are found and labels read when they are first asked for; every image is read once before
    training, for the statistics and to find misfits, and kept in memory as far as 1 GiB goes.
    """

    def __init__(
        self,
        chips: ChipFileSource,
        *,
        batch_size: int = 32,
        split: ItemSplitConfig = ItemSplitConfig(),  # noqa: B008 (frozen)
        augment: AugmentConfig = AugmentConfig(),  # noqa: B008 (frozen)
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """Take the configuration; no file is read yet.

        Args:
            chips: Where the files are, and how they say their classes.
            batch_size: Chips in a batch at most, on each process.
            split: How chips are divided into training, validation and test chips.
            augment: What is done to training chips.
            num_workers: Processes that read chips, for each training process. With chips in memory none is
                best.
            seed: Seed of the order and of the augmentation.

        Raises:
            ConfigError: A number is out of range, or an augmentation is unknown.
        """
        super().__init__()
        self.chips = chips
        self.batch_size = batch_size
        self.split_config = split
        self.num_workers = num_workers
        self.seed = seed
        self._check_numbers(batch_size=1, num_workers=0, seed=0)
        self._augmenter = Augmenter(augment, seed=seed)

    @cached_property
    def chip_list(self) -> ChipList:
        """The chips, from file names and labels."""
        return find_chips(self.chips)

    @cached_property
    def store(self) -> ChipStore:
        """Reads the chips."""
        source = self.chips
        return ChipStore(
            self.chip_list.paths, bands=source.bands, band_names=source.band_names, nodata=source.nodata
        )

    @cached_property
    def chip_size(self) -> int:  # type: ignore[override]
        """Height and width of a chip in pixels, from the first file."""
        header = self.store.header
        if header.height != header.width:
            raise DataError(
                f"Chips must be square; '{self.store.paths[0]}' has {header.height} x {header.width} px. Cut "
                "or resample them (rio warp)."
            )
        return header.height

    @cached_property
    def schema(self) -> Schema:
        """Bands and classes, from the first file and the configuration."""
        header, source = self.store.header, self.chips
        return Schema(
            bands=header.bands,
            classes=source.map_classes,
            file_bands=header.all_bands,
            bands_named_by_config=source.band_names is not None,
            nodata=source.nodata,
            pixel_size=header.pixel_size,
            pixel_metres=header.pixel_metres,
            multilabel=source.multilabel,
        )

    @cached_property
    def statistics(self) -> Statistics:
        """Values and counts over the training chips, and only those; every chip is read for it once."""
        _ = self.chip_size
        self.store.check()
        return survey_chips(
            self.reader, self.split.of("train"), self.schema, self.store.header.dtype, self.seed
        )

    @cached_property
    def reader(self) -> ChipReader:
        """Reads batches of chips."""
        return ChipReader(self.store, self.chip_list.labels, self.chip_list.files)

    @property
    def groups(self) -> Sequence[str] | None:
        """The group of each chip, where the configuration names groups."""
        return self.chip_list.groups

    def files(self) -> list[str]:
        """The chips' files, and the table of labels where there is one."""
        source = self.chips
        table = [] if source.labels is None else [str(Path(source.root or ".") / source.labels)]
        return [*self.chip_list.paths, *table]

    def make_split(self) -> ItemSplit:
        """Divide the chips as the configuration says."""
        found = self.chip_list
        return split_items(
            found.labels,
            self.split_config,
            ids=found.files,
            files=found.files,
            classes=[entry.name for entry in self.chips.map_classes],
            groups=found.groups,
        )

    def places(self, ids: Sequence[str]) -> list[tuple[float, float] | None]:
        """Longitude and latitude of the middle of chips, None where a file does not say where it lies."""
        if not self.schema.pixel_metres:
            return [None] * len(ids)  # no need to open each: the first has no CRS
        paths = dict(zip(self.chip_list.files, self.chip_list.paths, strict=True))
        found = []
        for name in ids:
            with Scene(paths[name]) as scene:
                grid = scene.grid
            found.append(lonlat(grid, row=grid.height / 2, col=grid.width / 2))
        return found

    def setup(self, stage: str) -> None:
        """Say how much there is to learn from.

        Args:
            stage: "fit", "validate" or "test".
        """
        if stage == "fit":
            self._augmenter.prepare(self.statistics, self.chip_size)
            held = [len(self.split.of(name)) for name in SPLITS]
            _log.info("%d training, %d val and %d test chips of %d px.", *held, self.chip_size)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Augment training chips on the device; Lightning's hook."""
        if self.trainer is None or not self.trainer.training:
            return batch
        rank, _ = self._process()
        number = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        return self._augmenter(batch, epoch=self.trainer.current_epoch, rank=rank, number=number)


def survey_chips(reader: ChipReader, places: Places, schema: Schema, dtype: str, seed: int) -> Statistics:
    """Read the training chips once.

    Args:
        reader: All chips.
        places: The training chips, and no others: nothing else has an influence.
        schema: Bands and classes.
        dtype: Data type of the files.
        seed: Draws the sample for the percentiles.

    Raises:
        DataError: No training chip has a valid pixel.
    """
    moments = RunningMoments.of(len(schema.bands))
    rng, samples, pixels, rate = np.random.default_rng(seed), [], 0, 1.0
    for start in range(0, len(places), _READ_CHIPS):
        batch = reader(places[start : start + _READ_CHIPS])
        valid = batch["valid"].numpy()
        values = batch["image"].numpy().transpose(1, 0, 2, 3)[:, valid].astype(np.float64)  # (C, n)
        moments.update(values)
        rate = min(1.0, _SAMPLE / (len(places) * valid[0].size))
        samples.append(values[:, rng.random(values.shape[1]) < rate])
        pixels += valid.size
    if not moments.count:
        raise DataError("The training chips hold no valid pixel. Check 'nodata', and the files.")
    labels = reader.labels[places]
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(schema.classes))
    return Statistics(
        bands=band_statistics(schema.bands, moments, np.concatenate(samples, axis=1)),
        dtype=dtype,
        pixels=pixels,
        valid_pixels=moments.count,
        class_pixels=tuple(int(count) for count in counts),
    )
