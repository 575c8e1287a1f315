"""The datamodule for the data sets that torchgeo knows. Nothing but wiring."""

import dataclasses
import hashlib
import json
import logging
from functools import cached_property
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from eoseg.batch import Batch
from eoseg.datasets.augment import Augmenter
from eoseg.datasets.base import EOData
from eoseg.datasets.chips import ChipItem, collate
from eoseg.datasets.config import AugmentConfig
from eoseg.datasets.loader import TimedLoader, worker_options
from eoseg.datasets.resumable import ResumableLoader, calm_worker
from eoseg.datasets.statistics import statistics_json
from eoseg.datasets.torchgeo_build import build, data_root, set_up
from eoseg.datasets.torchgeo_loading import (
    EveryTile,
    RandomDraws,
    TrainingChips,
    middle_tile,
    reopen_files,
    spread,
)
from eoseg.datasets.torchgeo_samples import Form, Reading, form_of, own_values
from eoseg.datasets.torchgeo_sources import FootprintSource, ImageSource, Source
from eoseg.datasets.torchgeo_statistics import areas_of, survey_images
from eoseg.datasets.torchgeo_traits import default_bands, default_classes, traits_of
from eoseg.errors import ConfigError, DataError
from eoseg.files import write_atomically
from eoseg.geo.erosion import Border
from eoseg.recipe import ClassSpec, MapClass, Plain, Schema, Statistics, match_bands, parse_classes

_log = logging.getLogger(__name__)

_SPLITS = ("train", "val", "test")
_CACHE_BYTES = 1_000_000_000
"""What all workers together keep of images larger than a chip, from each of which several are cut."""


class TorchGeoData(EOData):
    """Any datamodule of torchgeo that yields image and mask, image and label, or two dates.

    Its data sets and its split are taken, and the raw values of its files: none of its normalisation, crops
    or augmentation. Scenes with a place on earth are sampled by eoseg, with the run's seed.
    """

    def __init__(
        self,
        datamodule: str,
        *,
        args: dict[str, Plain] = {},  # noqa: B006 (never changed)
        chip_size: int | None = None,
        batch_size: int = 8,
        bands: list[str] | None = None,
        classes: ClassSpec | None = None,
        ignore: list[int] = [],  # noqa: B006 (never changed)
        nodata: float | None = None,
        folds: dict[str, list[int]] | None = None,
        chips_per_epoch: int | None = None,
        statistics_images: int = 1000,
        augment: AugmentConfig = AugmentConfig(),  # noqa: B008 (frozen)
        border: Border = "isprs-full",
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """Build torchgeo's datamodule; no file is read yet.

        Args:
            datamodule: A class of torchgeo.datamodules, such as EuroSATDataModule.
            args: Arguments of it and of its data set, such as root, download or bands.
            chip_size: Height and width of a chip in pixels; by default those of the images, or torchgeo's
                patch_size. Larger images are cut: at random for training, into tiles for evaluation.
            batch_size: Chips in a batch, on each process.
            bands: Names of the bands to use, in this order; all by default.
            classes: Names of the classes, with label values or colours: see `eoseg.recipe.parse_classes`. A
                value may also be the name of one of the data set's own classes. The data set's by default.
            ignore: Label values that mean "no label", beside those that the data set says.
            nodata: Value of a band that means "no value"; that of the data set by default.
            folds: Of a data set with folds, which are in which split, such as {train: [1, 2, 3], val: [4],
                test: [5]}; the official ones by default.
            chips_per_epoch: Training chips in an epoch over all processes, rounded up to full batches; by
                default each image once, or as many chips as cover it once.
            statistics_images: Training images from which statistics are made, drawn with the seed.
            augment: What is done to training chips.
            border: Of validation and test: all labels count ("isprs-full"), or those within 3 px of another
                class are left out ("isprs-eroded"), as in the ISPRS benchmarks.
            num_workers: Processes that read images, for each training process.
            seed: Seed of order, places of chips and augmentation.

        Raises:
            ConfigError: A number is out of range, or a name is unknown.
        """
        super().__init__()
        for name, value, least in (
            ("chip_size", 1 if chip_size is None else chip_size, 1),
            ("batch_size", batch_size, 1),
            ("chips_per_epoch", 1 if chips_per_epoch is None else chips_per_epoch, 1),
            ("statistics_images", statistics_images, 1),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ConfigError(f"data.{name} must be at least {least}; found {value}.")
        self.module = build(datamodule, args, folds)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self._chip_size = chip_size
        self._bands = bands
        self._classes = None if classes is None else parse_classes(classes)
        self._ignore = list(ignore)
        self._nodata = nodata
        self._folds = folds
        self.border: Border = border
        self._chips_per_epoch = chips_per_epoch
        self._statistics_images = statistics_images
        self._augmenter = Augmenter(augment, seed=seed)
        given = [value for entry in self._classes or () for value in entry.values]
        if set(given) & set(self._ignore):
            raise ConfigError(f"data.ignore {self._ignore} names a value of a class. Leave one of them out.")

    @cached_property
    def sources(self) -> dict[str, Source]:
        """The images of each split that has any; files are found, and downloaded where asked for."""
        return set_up(self.module, self._folds)

    def ready_sources(self) -> dict[str, Source]:
        """The images of each split, ready to be read."""
        return {split: self._ready(split) for split in self.sources}

    @cached_property
    def form(self) -> Form:
        """The shape of the samples, from the first training image."""
        source = self.sources["train"]
        if isinstance(source, FootprintSource):
            size = self._chip_size or _patch_size(self.module)
            form = form_of(source.sample(0, 0, 0, size), source.names[0])
        else:
            assert isinstance(source, ImageSource)  # the only other kind
            form = form_of(source.sample(0), source.names[0])
            if source.days is not None:
                return dataclasses.replace(form, time="series")
        if form.time == "series":
            raise DataError(
                f"{type(self.module).__name__} yields series of images, but eoseg does not know where it has "
                "their dates. PASTISDataModule does."
            )
        return form

    @property
    def chip_size(self) -> int:  # type: ignore[override]
        """Height and width of a chip in pixels."""
        if self._chip_size is None and self.form.height != self.form.width:
            raise ConfigError(
                f"The images of {type(self.module).__name__} are not square ({self.form.height} x "
                f"{self.form.width} px). Set data.init_args.chip_size."
            )
        return self._chip_size or self.form.height

    @cached_property
    def schema(self) -> Schema:
        """Bands and classes, from the data set's attributes, the configuration and one image."""
        source, form = self.sources["train"], self.form
        names = default_bands(self._dataset, form.bands)
        return Schema(
            bands=tuple(self._bands or names),
            classes=tuple(self._map_classes()),
            file_bands=tuple(names),
            bands_named_by_config=True,
            nodata=self._nodata_value(),
            pixel_size=self._dataset.res if isinstance(source, FootprintSource) else None,
            time=form.time,
            steps=self._steps(),
            multilabel=form.target == "labels",
        )

    @cached_property
    def statistics(self) -> Statistics:
        """Values and counts over a sample of the training images, and only those."""
        return survey_images(
            self._ready("train"),
            self.schema,
            images=self._statistics_images,
            chip_size=self.chip_size,
            seed=self.seed,
        )

    @property
    def split_record(self) -> dict[str, Plain]:
        """How the split was made: the datamodule, and a hash over the names of the images of each split."""
        names = {split: source.names for split, source in self.sources.items()}
        return {
            "method": f"torchgeo:{type(self.module).__name__}",
            "sha256": hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest(),
            "images": {split: len(held) for split, held in names.items()},
        }

    @property
    def data_name(self) -> str:
        """The data set of torchgeo."""
        return type(self.module).__name__.removesuffix("DataModule")

    def has(self, stage: str) -> bool:
        """Whether a split holds any image."""
        return stage in self.sources

    def files(self) -> list[str]:
        """What lies in the folder of the data set; torchgeo does not say which of it is read."""
        found = Path(data_root(self.module))
        return sorted(str(path) for path in found.rglob("*") if path.is_file()) if found.is_dir() else []

    def members(self, stage: str) -> list[str]:
        """Names of the images of a split."""
        if stage not in self.sources:
            return []
        source = self.sources[stage]
        # Some data sets have a folder for each split, and the same names in each.
        own = str(getattr(source.dataset, "root", "")).removeprefix(data_root(self.module))
        return [f"{own}/{name}" for name in source.names]

    def prepare_data(self) -> None:
        """Write what the run must remember of its data; Lightning calls this on one process."""
        if self.run_folder is None:
            return
        self.run_folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.run_folder / "split.json", json.dumps(self.split_record, indent=2) + "\n")
        write_atomically(self.run_folder / "statistics.json", statistics_json(self.statistics))

    def setup(self, stage: str) -> None:
        """Say how much there is to learn from.

        Args:
            stage: "fit", "validate" or "test".
        """
        if stage == "fit":
            schema = self.schema
            self._augmenter.prepare(self.statistics, self.chip_size, time=schema.time, steps=schema.steps)
            counts = ", ".join(f"{len(source)} {split}" for split, source in self.sources.items())
            _log.info("%s: %s images.", type(self.module).__name__, counts)

    def train_dataloader(self) -> DataLoader[ChipItem]:
        """Training chips in a new order in each epoch."""
        source, size = self._ready("train"), self.chip_size
        areas, rank_and_size = areas_of(source), self._process()
        form = self.form
        crops = max(1, round(form.height * form.width / size**2))
        chips = crops * len(source) if areas is None else max(1, round(float(areas.sum()) / size**2))
        if self._chips_per_epoch is not None:
            chips, crops = self._chips_per_epoch, max(1, -(-self._chips_per_epoch // len(source)))
        image_bytes = form.height * form.width * (2 * form.bands * self._steps() + 8)
        sampler = RandomDraws(
            len(source),
            chips=chips,
            crops=crops,
            held=min(self.batch_size, max(1, self._cache_bytes() // image_bytes)),
            areas=areas,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=rank_and_size[0],
            world_size=rank_and_size[1],
        )
        return self._loader(ResumableLoader, TrainingChips(source, size), sampler=sampler)

    def val_dataloader(self) -> DataLoader[ChipItem] | list[DataLoader[ChipItem]]:
        """Every pixel or chip of the validation images once; nothing where there are none."""
        return self._every_tile("val") if self.has("val") else []

    def test_dataloader(self) -> DataLoader[ChipItem]:
        """Every pixel or chip of the test images once."""
        return self._every_tile("test")

    def panel_chips(self, stage: str, count: int) -> Batch:
        """The middle of some images, evenly spread over a split, for pictures."""
        source = self._ready(stage)
        if count < 1:
            raise ConfigError(f"{count} {stage} chips were asked for; the number must be positive.")
        return collate([middle_tile(source, number, self.chip_size) for number in spread(len(source), count)])

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Augment training chips on the device; Lightning's hook."""
        if self.trainer is None or not self.trainer.training:
            return batch
        rank, _ = self._process()
        number = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        return self._augmenter(batch, epoch=self.trainer.current_epoch, rank=rank, number=number)

    def _every_tile(self, stage: str) -> DataLoader[ChipItem]:
        rank, world_size = self._process()
        source = self._ready(stage)
        if self.border == "isprs-eroded" and self.form.target != "mask":
            raise ConfigError(
                "data.border 'isprs-eroded' leaves out borders between classes, but each chip has one "
                "label as a whole. Leave it out."
            )
        tiles = EveryTile(
            source,
            self.chip_size,
            split=stage,
            batch_size=self.batch_size,
            border=self.border,
            rank=rank,
            world_size=world_size,
        )
        return self._loader(TimedLoader, tiles, batch_size=None)

    def _loader(self, kind: type[DataLoader[ChipItem]], dataset: Any, **options: Any) -> DataLoader[ChipItem]:
        return kind(
            dataset,
            collate_fn=collate,
            worker_init_fn=calm_worker(reopen_files),
            **worker_options(self.num_workers, None),
            **{"batch_size": self.batch_size, **options},
        )

    def _ready(self, stage: str) -> Source:
        """The images of a split, ready to be read.

        Raises:
            DataError: The data set has no such split.
        """
        if stage not in self.sources:
            raise DataError(
                f"{type(self.module).__name__} has no labelled {stage} split; it has "
                f"{', '.join(self.sources)}."
            )
        source = self.sources[stage]
        if source.reading is None:
            source.reading = self._reading
            nodata = self._nodata_value()
            if isinstance(source, FootprintSource) and nodata is not None:
                source.declare_nodata(nodata)
            source.keep_bytes = self._cache_bytes() if self.form.height > self.chip_size else 0
        return source

    @cached_property
    def _reading(self) -> Reading:
        names = default_bands(self._dataset, self.form.bands)
        return Reading(
            self.form,
            self.schema.classes,
            channels=match_bands(self.schema.bands, names, where=type(self.module).__name__),
            ignore=self._ignored(),
            nodata=self._nodata_value(),
            steps=self._steps(),
        )

    @property
    def _dataset(self) -> Any:
        return self.sources["train"].dataset

    def _map_classes(self) -> list[MapClass]:
        own = default_classes(self._dataset)
        if self._classes is not None:
            return own_values(self._classes, own)
        if own is None:
            raise ConfigError(
                f"{type(self.module).__name__} does not name its classes. List them in data.init_args."
                "classes in the order of their values."
            )
        return [entry for entry in own if entry.values[0] not in self._ignored()]

    def _ignored(self) -> list[int]:
        """Values that mean "no label"; a class of the configuration takes a value back."""
        taken = {value for entry in self._classes or () for value in entry.values}
        traits = traits_of(self._dataset)
        return [*self._ignore, *(value for value in traits.ignore if value not in taken)]

    def _nodata_value(self) -> float | None:
        return self._nodata if self._nodata is not None else traits_of(self._dataset).nodata

    def _steps(self) -> int:
        """T: the most dates that a sample of any split has."""
        if self.form.time != "series":
            return 2 if self.form.time == "pair" else 1
        held = [source.days for source in self.sources.values() if isinstance(source, ImageSource)]
        return max(len(days) for split in held for days in split or ())

    def _cache_bytes(self) -> int:
        return _CACHE_BYTES // max(1, self.num_workers)

    def _process(self) -> tuple[int, int]:
        """Rank and number of processes."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def _patch_size(module: Any) -> int:
    """What torchgeo would cut, where the configuration says nothing."""
    size = getattr(module, "patch_size", 256)
    return int(size if isinstance(size, (int, float)) else size[0])
