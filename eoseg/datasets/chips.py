"""Chips: which windows are cut from the scenes, and the dataset that cuts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from eoseg.batch import IGNORE, Batch
from eoseg.datasets.reader import SceneReader
from eoseg.datasets.splits import Region
from eoseg.datasets.survey import LabelSurvey
from eoseg.errors import DataError
from eoseg.geo.erosion import Border
from eoseg.geo.window import Window


@dataclass(frozen=True, slots=True)
class Chip:
    """A square window of a region."""

    scene_id: str
    window: Window
    """`chip_size` square; reaches outside the region only where the region is smaller."""
    region: Window
    """Pixels outside are invalid: they may belong to another split."""
    counted: Window
    """Labels outside are `IGNORE`: another chip of the grid counts them."""

    @property
    def id(self) -> str:
        """Where the chip comes from."""
        return f"{self.scene_id}@{self.window.row},{self.window.col}"


class ChipItem(TypedDict):
    """One chip as tensors; see `eoseg.batch.Batch`."""

    image: Tensor
    valid: Tensor
    mask: NotRequired[Tensor]
    label: NotRequired[Tensor]
    value: NotRequired[Tensor]
    days: NotRequired[Tensor]
    counted: NotRequired[Tensor]
    eroded: NotRequired[Tensor]
    id: str


class ChipDataset(Dataset[ChipItem]):
    """Cuts chips. It is indexed by `Chip`, which a sampler yields."""

    def __init__(self, reader: SceneReader, *, border: Border = "isprs-full") -> None:
        """Cut from the scenes of a reader, which opens files where and when they are needed.

        Args:
            reader: The scenes.
            border: Whether labels near class borders are left out.
        """
        self.reader = reader
        self.border: Border = border

    def __getitem__(self, chip: Chip) -> ChipItem:
        """One chip, of which nothing is from outside the region.

        Image `(C, h, w)` and valid `(h, w)`, with a first axis for the dates of pairs and series; mask
        `(h, w)`, or value `(h, w)` of a quantity, or neither without labels; days `(T,)` of a series.
        """
        index, window = self.reader.index, chip.window
        schema, size = index.schema, (window.height, window.width)
        dates = () if schema.time == "single" else (schema.steps,)
        image = np.zeros((*dates, len(schema.bands), *size), np.float32)
        valid = np.zeros((*dates, *size), np.bool_)
        inside = window.intersection(chip.region)
        if inside is not None:
            part = (..., *inside.slices_in(window))
            image[part], valid[part] = self.reader.read(chip.scene_id, inside)
        item: ChipItem = {"image": torch.from_numpy(image), "valid": torch.from_numpy(valid), "id": chip.id}
        if index.is_labelled:
            target = torch.from_numpy(self._target(chip, valid))
            item["mask" if schema.quantity is None else "value"] = target
            if self.border == "isprs-eroded":
                self._erode(item, chip)
        if schema.time == "series":
            item["days"] = torch.tensor(index.entry(chip.scene_id).days, dtype=torch.float32)
        return item

    def _erode(self, item: ChipItem, chip: Chip) -> None:
        """Take labels near class borders from the mask of a chip, and say how many there were."""
        near = self.reader.read_near_border(chip.scene_id, chip.window)
        eroded = torch.from_numpy(near) & (item["mask"] != IGNORE)
        item["mask"] = item["mask"].masked_fill(eroded, IGNORE)
        item["counted"] = torch.tensor(chip.counted.height * chip.counted.width)
        item["eroded"] = eroded.sum()

    def _target(self, chip: Chip, valid: NDArray[np.bool_]) -> NDArray[Any]:
        """Labels where they count and the image is usable: int64 classes or float32 values."""
        window, size = chip.window, (chip.window.height, chip.window.width)
        inside = window.intersection(chip.region)
        has_values = self.reader.index.schema.quantity is not None
        empty, kind = (np.nan, np.float32) if has_values else (IGNORE, np.int64)
        target = np.full(size, empty, kind)
        counted = np.zeros(size, np.bool_)
        counted[chip.counted.slices_in(window)] = True
        if inside is not None:
            read = self.reader.read_values if has_values else self.reader.read_labels
            target[inside.slices_in(window)] = read(chip.scene_id, inside)
        target[~(counted & self.reader.usable(valid))] = empty
        return target


def collate(items: Sequence[ChipItem]) -> Batch:
    """Put chips of one size together: each tensor gets a first axis `(B, ...)`.

    Raises:
        DataError: The chips differ in size, or in what they hold.
    """
    first = items[0]
    for item in items:
        if _shapes(item) != _shapes(first):
            raise DataError(
                f"Chips of one batch have one size: '{first['id']}' holds {_said(first)}, '{item['id']}' "
                f"{_said(item)}. Cut or resample the images to one size, or set batch_size: 1."
            )
    names = [name for name in first if name != "id"]
    batch: dict[str, Any] = {name: torch.stack([cast(Any, item)[name] for item in items]) for name in names}
    return cast(Batch, {**batch, "id": [item["id"] for item in items]})


def _shapes(item: ChipItem) -> dict[str, tuple[int, ...]]:
    return {name: tuple(held.shape) for name, held in item.items() if isinstance(held, Tensor)}


def _said(item: ChipItem) -> str:
    held = [f"{name} {' x '.join(map(str, shape)) or '(one)'}" for name, shape in _shapes(item).items()]
    return ", ".join(held)


def chip_in(region: Region, row: int, col: int, chip_size: int) -> Chip:
    """The chip with its first pixel there, all of whose labels in the region count."""
    window = Window(row, col, chip_size, chip_size)
    counted = window.intersection(region.window)
    if counted is None:
        raise DataError(f"The chip at {row},{col} lies outside its region of the scene '{region.scene_id}'.")
    return Chip(region.scene_id, window, region.window, counted)


def grid_chips(regions: Sequence[Region], *, chip_size: int, survey: LabelSurvey) -> list[Chip]:
    """Chips that count every labelled pixel of the regions exactly once.

    The last chip of a row or column is moved back into the region, so that it sees real surroundings;
    the pixels that it shares with its neighbour count there alone. Chips without any label are left
    out: they cannot count.

    Args:
        regions: The regions of one split.
        chip_size: Height and width of a chip in pixels.
        survey: Where labels are.
    """
    chips = []
    for region in regions:
        area = region.window
        for row, top, bottom in _steps(area.row, area.row_stop, chip_size):
            for col, left, right in _steps(area.col, area.col_stop, chip_size):
                counted = Window.from_stops(top, left, bottom, right)
                if _may_hold_labels(region.scene_id, counted, survey):
                    window = Window(row, col, chip_size, chip_size)
                    chips.append(Chip(region.scene_id, window, area, counted))
    return chips


def _steps(start: int, stop: int, size: int) -> list[tuple[int, int, int]]:
    """First pixel of each chip along one side, and the part of it that counts."""
    last = max(start, stop - size)
    return [(min(begin, last), begin, min(begin + size, stop)) for begin in range(start, stop, size)]


def _may_hold_labels(scene_id: str, window: Window, survey: LabelSurvey) -> bool:
    """Whether a cell that the window touches has a label."""
    cell = survey.cell
    rows = slice(window.row // cell, -(-window.row_stop // cell))
    cols = slice(window.col // cell, -(-window.col_stop // cell))
    return bool(survey.counts[scene_id][rows, cols].any())
