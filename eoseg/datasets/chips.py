"""Chips: which windows are cut from the scenes, and the dataset that cuts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from eoseg.batch import IGNORE, Batch
from eoseg.datasets.reader import SceneReader
from eoseg.datasets.splits import Region
from eoseg.datasets.survey import LabelSurvey
from eoseg.errors import DataError
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
    mask: Tensor
    id: str


class ChipDataset(Dataset[ChipItem]):
    """Cuts chips. It is indexed by `Chip`, which a sampler yields."""

    def __init__(self, reader: SceneReader) -> None:
        """Cut from the scenes of a reader, which opens files where and when they are needed."""
        self.reader = reader

    def __getitem__(self, chip: Chip) -> ChipItem:
        """Image `(C, h, w)`, valid `(h, w)` and mask `(h, w)`, of which neither leaves the region."""
        window = chip.window
        image = np.zeros((len(self.reader.index.schema.bands), window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        mask = np.full((window.height, window.width), IGNORE, np.int64)
        inside = window.intersection(chip.region)
        if inside is not None:
            rows, cols = inside.slices_in(window)
            image[:, rows, cols], valid[rows, cols], mask[rows, cols] = self.reader.read_labelled(
                chip.scene_id, inside
            )
        counted = np.zeros_like(valid)
        counted[chip.counted.slices_in(window)] = True
        mask[~counted] = IGNORE
        return {
            "image": torch.from_numpy(image),
            "valid": torch.from_numpy(valid),
            "mask": torch.from_numpy(mask),
            "id": chip.id,
        }


def collate(items: Sequence[ChipItem]) -> Batch:
    """Put chips of one size together, `(B, ...)`."""
    return {
        "image": torch.stack([item["image"] for item in items]),
        "valid": torch.stack([item["valid"] for item in items]),
        "mask": torch.stack([item["mask"] for item in items]),
        "id": [item["id"] for item in items],
    }


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
