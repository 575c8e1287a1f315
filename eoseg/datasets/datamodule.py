"""The datamodule for scenes of one's own. Nothing but wiring."""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from eoseg.batch import Batch
from eoseg.datasets.augment import Augmenter
from eoseg.datasets.base import EOData
from eoseg.datasets.chips import Chip, ChipDataset, ChipItem, collate, grid_chips
from eoseg.datasets.config import AugmentConfig, SceneSource, SplitConfig, check_chip_size
from eoseg.datasets.index import SceneIndex, load_index
from eoseg.datasets.loader import TimedLoader, WorkerStart, check_worker_start, worker_options
from eoseg.datasets.reader import SceneReader
from eoseg.datasets.resumable import ResumableLoader, calm_worker
from eoseg.datasets.sampler import EveryChip, RandomChips
from eoseg.datasets.scene_cache import SceneCache
from eoseg.datasets.splits import SPLITS, Split, make_split
from eoseg.datasets.statistics import TrainingSurvey, statistics_json, survey_training
from eoseg.datasets.survey import LabelSurvey, survey_labels
from eoseg.errors import ConfigError
from eoseg.files import write_atomically
from eoseg.geo.erosion import Border
from eoseg.geo.position import lonlat
from eoseg.recipe import Plain, Schema, Statistics

_log = logging.getLogger(__name__)


class SceneData(EOData):
    """Chips from scenes, of one date, two or many; labelled, or not for tasks that learn without labels.

    Everything is found when it is first asked for, in this order: the scenes' headers (`schema`), the
    labels (`split`), the training pixels (`statistics`). All of it follows from the configuration and
    the files, so every process finds the same.
    """

    def __init__(
        self,
        scenes: SceneSource,
        chip_size: int,
        *,
        batch_size: int = 8,
        split: SplitConfig = SplitConfig(),  # noqa: B008 (frozen)
        chips_per_epoch: int | None = None,
        augment: AugmentConfig = AugmentConfig(),  # noqa: B008 (frozen)
        border: Border = "isprs-full",
        num_workers: int = 0,
        worker_start: Literal["fork", "spawn", "forkserver"] | None = None,
        cache: str | None = None,
        seed: int = 0,
    ) -> None:
        """Take the configuration; no file is read yet.

        Args:
            scenes: Where scenes and labels are, and what they mean.
            chip_size: Height and width of a chip in pixels.
            batch_size: Chips in a batch, on each process.
            split: How scenes are divided into training, validation and test pixels.
            chips_per_epoch: Random training chips in an epoch over all processes, rounded up to full
                batches; by default as many as cover the labelled training area once.
            augment: What is done to training chips.
            border: Of validation and test: all labels count ("isprs-full"), or those within 3 px of another
                class are left out ("isprs-eroded"), as in the ISPRS benchmarks.
            num_workers: Processes that read chips, for each training process.
            worker_start: How these are started; Python's usual way by default.
            cache: Folder on a fast disk into which each scene is decoded once, and from where chips are then
                read: "$SLURM_TMPDIR/eoseg", for example. By default files are read as they are.
            seed: Seed of the chips' positions and of the augmentation.

        Raises:
            ConfigError: A number is out of range, or an augmentation is unknown or of no use.
        """
        super().__init__()
        augment.check_time(scenes.time)
        if border == "isprs-eroded" and (scenes.quantity is not None or scenes.labels is None):
            raise ConfigError(
                "data.border 'isprs-eroded' leaves out borders between classes, but the data have none. "
                "Leave it out."
            )
        check_chip_size(chip_size)
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("chips_per_epoch", 1 if chips_per_epoch is None else chips_per_epoch, 1),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ConfigError(f"data.{name} must be at least {least}; found {value}.")
        self.scenes = scenes
        self.chip_size = chip_size
        self.batch_size = batch_size
        self.split_config = split
        self.chips_per_epoch = chips_per_epoch
        check_worker_start(worker_start, num_workers)
        self.border: Border = border
        self.num_workers = num_workers
        self.worker_start: WorkerStart | None = worker_start
        self.cache = cache
        self.seed = seed
        self._augmenter = Augmenter(augment, seed=seed)

    @cached_property
    def index(self) -> SceneIndex:
        """The scenes, from their headers."""
        return load_index(self.scenes)

    @property
    def schema(self) -> Schema:
        """Bands, dates and classes or quantity, from headers and configuration alone."""
        return self.index.schema

    @cached_property
    def reader(self) -> SceneReader:
        """Reads windows of the scenes."""
        cache = None if self.cache is None else SceneCache(self.cache, self.index)
        return SceneReader(self.index, cache=cache)

    @cached_property
    def survey(self) -> LabelSurvey:
        """Where labels are; each label file is read once for it."""
        return survey_labels(self.reader, chip_size=self.chip_size, block_size=self.split_config.block_size)

    @cached_property
    def split(self) -> Split:
        """Which pixels train, validate and test."""
        return make_split(self.index, self.survey, self.split_config, chip_size=self.chip_size)

    @property
    def split_record(self) -> dict[str, Plain]:
        """How the split was made, and its hash."""
        split = self.split
        return {"method": split.method, **split.parameters, "seed": split.seed, "sha256": split.sha256}

    def has(self, stage: str) -> bool:
        """Whether a split holds any region."""
        return bool(self.split.of(stage))

    def files(self) -> list[str]:
        """Images, label rasters and vector files."""
        index = self.index
        held = [path for entry in index.entries.values() for path in entry.images]
        labels = [entry.label for entry in index.entries.values() if entry.label is not None]
        return [*held, *labels, *index.vectors]

    def members(self, stage: str) -> list[str]:
        """The regions of a split: scene, first row and column, height and width."""
        return [
            f"{region.scene_id}@{area.row},{area.col},{area.height},{area.width}"
            for region in self.split.of(stage)
            for area in (region.window,)
        ]

    def pixels(self, stage: str) -> int | None:
        """Pixels of the regions of a split."""
        return sum(region.window.height * region.window.width for region in self.split.of(stage))

    @cached_property
    def training_survey(self) -> TrainingSurvey:
        """What one pass over the training pixels found."""
        return survey_training(self.reader, self.split.of("train"), chip_size=self.chip_size, seed=self.seed)

    @property
    def statistics(self) -> Statistics:
        """Values and counts over the training pixels, and only those."""
        return self.training_survey.statistics

    def prepare_data(self) -> None:
        """Write what the run must remember of its data; Lightning calls this on one process."""
        if self.run_folder is None:
            return
        self.run_folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.run_folder / "split.json", self.split.to_json())
        write_atomically(self.run_folder / "statistics.json", statistics_json(self.statistics))

    def setup(self, stage: str) -> None:
        """Say how much there is to learn from.

        Args:
            stage: "fit", "validate" or "test".
        """
        if stage == "fit":
            statistics = self.statistics
            schema = self.schema
            self._augmenter.prepare(statistics, self.chip_size, time=schema.time, steps=schema.steps)
            chips = {name: len(self.chips(name)) for name in SPLITS[1:]}
            _log.info(
                "%d scenes; training on %s valid pixels%s, %s; %d val and %d test chips.",
                len(self.index.entries),
                f"{statistics.valid_pixels:,}",
                f" of {schema.steps} dates together" if schema.steps > 1 else "",
                f"{sum(statistics.class_pixels):,} labelled" if self.index.is_labelled else "without labels",
                chips["val"],
                chips["test"],
            )

    def chips(self, stage: str) -> list[Chip]:
        """The chips that cover a split, each labelled pixel counted once.

        Args:
            stage: "train", "val" or "test".
        """
        return grid_chips(self.split.of(stage), chip_size=self.chip_size, survey=self.survey)

    def train_dataloader(self) -> DataLoader[ChipItem]:
        """Random chips of the training regions."""
        rank, world_size = self._process()
        sampler = RandomChips(
            self.split.of("train"),
            self.training_survey.labelled,
            cell=self.training_survey.cell,
            chip_size=self.chip_size,
            chips_per_epoch=self.chips_per_epoch,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        return self._loader(ResumableLoader, sampler)

    def val_dataloader(self) -> DataLoader[ChipItem] | list[DataLoader[ChipItem]]:
        """Every chip of the validation regions; nothing where the split leaves none."""
        return self._every_chip("val") if self.split.of("val") else []

    def test_dataloader(self) -> DataLoader[ChipItem]:
        """Every chip of the test regions."""
        return self._every_chip("test")

    def panel_chips(self, stage: str, count: int) -> Batch:
        """Some fixed chips, evenly spread over a split, for pictures.

        The choice depends on the split alone, not on the number of processes.

        Args:
            stage: "train", "val" or "test".
            count: How many; fewer where the split has fewer.
        """
        chips = sorted(self.chips(stage), key=lambda chip: (chip.scene_id, chip.window.row, chip.window.col))
        if not chips or count < 1:
            raise ConfigError(
                f"There are {len(chips)} {stage} chips, {count} were asked for; both must be positive."
            )
        places = np.unique(np.linspace(0, len(chips) - 1, min(count, len(chips))).round().astype(int))
        dataset = ChipDataset(self.reader, border="isprs-full" if stage == "train" else self.border)
        return collate([dataset[chips[place]] for place in places])

    @property
    def data_name(self) -> str:
        """The name of the folder that the scenes lie in, where there is one."""
        return Path(self.scenes.root or "").name or type(self).__name__

    def places(self, ids: Sequence[str]) -> list[tuple[float, float] | None]:
        """Longitude and latitude of the middle of chips, None where a scene has no CRS."""
        found = []
        for name in ids:
            scene, _, corner = name.rpartition("@")
            row, col = (int(number) + self.chip_size / 2 for number in corner.split(","))
            found.append(lonlat(self.index.entry(scene).grid, row=row, col=col))
        return found

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Augment training chips on the device; Lightning's hook."""
        if self.trainer is None or not self.trainer.training:
            return batch
        rank, _ = self._process()
        number = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        return self._augmenter(batch, epoch=self.trainer.current_epoch, rank=rank, number=number)

    def _every_chip(self, stage: str) -> DataLoader[ChipItem]:
        rank, world_size = self._process()
        chips = EveryChip(
            self.chips(stage), split=stage, batch_size=self.batch_size, rank=rank, world_size=world_size
        )
        return self._loader(TimedLoader, chips)

    def _loader(
        self, kind: type[DataLoader[ChipItem]], sampler: RandomChips | EveryChip
    ) -> DataLoader[ChipItem]:
        border = self.border if isinstance(sampler, EveryChip) else "isprs-full"
        return kind(
            ChipDataset(self.reader, border=border),
            batch_size=self.batch_size,
            sampler=cast("torch.utils.data.Sampler[int]", sampler),
            collate_fn=collate,
            **worker_options(self.num_workers, self.worker_start),
            worker_init_fn=calm_worker(),
        )

    def _process(self) -> tuple[int, int]:
        """Rank and number of processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
