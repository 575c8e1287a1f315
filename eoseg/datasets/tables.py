"""The datamodule for tables of pixels: each row is a chip of one pixel, of one date or a series."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.batch import IGNORE, Batch
from eoseg.datasets.config import as_list
from eoseg.datasets.grouping import ItemSplitConfig, split_items
from eoseg.datasets.item_split import SPLITS, ItemSplit
from eoseg.datasets.items import ItemData, Places
from eoseg.datasets.label_text import encode
from eoseg.datasets.statistics import RunningMoments, band_statistics
from eoseg.datasets.table_files import Table, TableSource, read_table
from eoseg.errors import DataError
from eoseg.recipe import Schema, Statistics

_log = logging.getLogger(__name__)

_SAMPLE = 400_000
"""Values of a band from which percentiles are estimated; where there are fewer, they are exact."""


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of the tables, as tensors. Call it for a batch."""

    image: Tensor
    """Float32 `(n, F, 1, 1)`, or `(n, T, F, 1, 1)`; 0 where there is no value."""
    valid: Tensor
    """Bool `(n, 1, 1)`, or `(n, T, 1, 1)`."""
    mask: Tensor
    """Int64 `(n, 1, 1)`: class, or `IGNORE`."""
    days: Tensor | None
    """Float32 `(n, T)`, day of the year; None where rows have one date."""
    ids: Sequence[str]
    """File and row, such as "pixels.csv@12"."""
    files: Sequence[str]
    groups: Sequence[str] | None

    def __call__(self, places: Places) -> Batch:
        """The rows at these places."""
        chosen = torch.from_numpy(places)
        batch: Batch = {
            "image": self.image[chosen],
            "valid": self.valid[chosen],
            "mask": self.mask[chosen],
            "id": [self.ids[place] for place in places.tolist()],
        }
        if self.days is not None:
            batch["days"] = self.days[chosen]
        return batch


class TableData(ItemData):
    """Rows of tables: values of single pixels, or of fields, with a class each.

    A row is a chip of one pixel, so every pixel-wise or series network learns from it, and maps whole
    scenes with the same bands afterwards. Tables are read when they are first asked for, and kept.
    """

    def __init__(
        self,
        table: TableSource,
        *,
        batch_size: int = 256,
        split: ItemSplitConfig = ItemSplitConfig(),  # noqa: B008 (frozen)
        seed: int = 0,
    ) -> None:
        """Take the configuration; no file is read yet.

        Args:
            table: Where the tables are, and what they hold.
            batch_size: Rows in a batch at most, on each process.
            split: How rows are divided into training, validation and test rows.
            seed: Seed of the order.

        Raises:
            ConfigError: A number is out of range.
        """
        super().__init__()
        self.table = table
        self.chip_size = 1
        self.batch_size = batch_size
        self.split_config = split
        self.seed = seed
        self._check_numbers(batch_size=1, seed=0)

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The tables, as they are in the files.

        Raises:
            DataError: Two files have other features or another number of dates.
        """
        paths = as_list(self.table.path)
        found = [read_table(path, self.table) for path in paths]
        for path, held in zip(paths, found, strict=True):
            ours = (found[0].all_bands, found[0].values.shape[1:])
            theirs = (held.all_bands, held.values.shape[1:])
            if ours != theirs:
                raise DataError(
                    f"All tables must have the same features and dates: '{paths[0]}' has {_said(found[0])}, "
                    f"'{path}' has {_said(held)}. Choose 'features' that both have, or train on one."
                )
        return tuple(found)

    @cached_property
    def schema(self) -> Schema:
        """Features and classes."""
        first = self.tables[0]
        is_series = first.values.ndim == 3
        return Schema(
            bands=first.bands,
            classes=self.table.map_classes,
            file_bands=first.all_bands,
            bands_named_by_config=isinstance(self.table.band_names, list),
            nodata=self.table.nodata,
            time="series" if is_series else "single",
            steps=first.values.shape[1] if is_series else 1,
        )

    @cached_property
    def reader(self) -> Rows:
        """Gives batches of rows.

        Raises:
            DataError: A label is no class.
        """
        paths = as_list(self.table.path)
        names = _short(paths)
        values = np.concatenate([table.values for table in self.tables])  # (n, [T,] F)
        held = np.isfinite(values)
        if self.table.nodata is not None:
            held &= values != np.float32(self.table.nodata)
        valid = held.all(axis=-1)  # (n[, T])
        values[~valid] = 0
        labels = [
            encode(table.labels, self.table.map_classes, ignore=self.table.unlabelled, where=f"'{path}'")
            for path, table in zip(paths, self.tables, strict=True)
        ]
        mask = np.concatenate(labels)
        mask[~valid.reshape(len(mask), -1).any(axis=1)] = IGNORE
        _notice(mask, valid, names, self.tables)
        groups = [table.groups for table in self.tables if table.groups is not None]
        dates = [table.dates for table in self.tables if table.dates is not None]
        sizes = zip(names, map(len, self.tables), strict=True)
        return Rows(
            image=torch.from_numpy(values)[..., None, None],  # (n, [T,] F, 1, 1)
            valid=torch.from_numpy(valid)[..., None, None],
            mask=torch.from_numpy(mask)[:, None, None],
            days=torch.from_numpy(days_of_year(np.concatenate(dates))) if dates else None,
            ids=[f"{name}@{row}" for name, size in sizes for row in range(size)],
            files=[path for path, table in zip(paths, self.tables, strict=True) for _ in range(len(table))],
            groups=np.concatenate(groups).tolist() if groups else None,
        )

    @property
    def groups(self) -> Sequence[str] | None:
        """The group of each row, where the configuration names a column of groups."""
        return self.reader.groups

    def files(self) -> list[str]:
        """The tables."""
        return [str(Path(self.table.root or ".") / path) for path in as_list(self.table.path)]

    def make_split(self) -> ItemSplit:
        """Divide the rows that have a label and a value as the configuration says."""
        rows = self.reader
        mask = rows.mask[:, 0, 0].numpy()
        return split_items(
            np.where(mask == IGNORE, -1, mask),
            self.split_config,
            ids=rows.ids,
            files=rows.files,
            classes=self.schema.class_names,
            groups=rows.groups,
        )

    @cached_property
    def statistics(self) -> Statistics:
        """Values and counts over the training rows, and only those.

        Raises:
            DataError: No table has a row with a label and a value.
        """
        rows, places = self.reader, torch.from_numpy(self.split.of("train"))
        valid = rows.valid[places].flatten()
        bands = len(self.schema.bands)
        values = rows.image[places].reshape(-1, bands)[valid].numpy().T.astype(np.float64)  # (F, pixels)
        moments = RunningMoments.of(bands)
        moments.update(values)
        rate = min(1.0, _SAMPLE / max(values.shape[1], 1))
        drawn = np.random.default_rng(self.seed).random(values.shape[1]) < rate
        counts = np.bincount(rows.mask[places].flatten().numpy(), minlength=len(self.schema.classes))
        return Statistics(
            bands=band_statistics(self.schema.bands, moments, values[:, drawn]),
            dtype=self.tables[0].dtype,
            pixels=len(valid),
            valid_pixels=moments.count,
            class_pixels=tuple(int(count) for count in counts),
        )

    def setup(self, stage: str) -> None:
        """Say how much there is to learn from.

        Args:
            stage: "fit", "validate" or "test".
        """
        if stage == "fit":
            held = [len(self.split.of(name)) for name in SPLITS]
            dates = f" of {self.schema.steps} dates" if self.schema.time == "series" else ""
            _log.info("%d training, %d val and %d test rows%s.", *held, dates)


def days_of_year(dates: NDArray[np.datetime64]) -> NDArray[np.float32]:
    """Day of the year of each date, 1 to 366."""
    days = dates.astype("datetime64[D]")
    return np.asarray((days - days.astype("datetime64[Y]")).astype(np.int64) + 1, np.float32)


def _short(paths: Sequence[str]) -> list[str]:
    """File names where these tell the tables apart, else paths."""
    names = [PurePosixPath(path).name for path in paths]
    return names if len(set(names)) == len(names) else list(paths)


def _said(table: Table) -> str:
    dates = f", {table.values.shape[1]} dates" if table.values.ndim == 3 else ""
    return f"{len(table.all_bands)} features ({', '.join(table.all_bands[:4])} ...){dates}"


def _notice(
    mask: NDArray[np.int64], valid: NDArray[np.bool_], names: Sequence[str], tables: Sequence[Table]
) -> None:
    """Say which rows cannot be used.

    Raises:
        DataError: None can.
    """
    without = np.flatnonzero(~valid.reshape(len(valid), -1).any(axis=1))
    if (mask == IGNORE).all():
        raise DataError(
            f"No row of {', '.join(names)} has a label and values: {len(without)} of {len(mask)} have no "
            "value. Check 'features', 'nodata' and 'ignore'."
        )
    if len(without):
        stops = np.cumsum([len(table) for table in tables])
        place = int(np.searchsorted(stops, without[0], side="right"))
        row = int(without[0] - (stops[place - 1] if place else 0))
        _log.warning(
            "%d of %d rows have no value (NaN or nodata) and are left out; the first is row %d of '%s'.",
            len(without),
            len(mask),
            row,
            names[place],
        )
