"""One way to cut chips out of both kinds of torchgeo's data sets: single images, and places on earth."""

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eoseg.batch import IGNORE
from eoseg.datasets.chips import ChipItem
from eoseg.datasets.torchgeo_samples import Reading, crop
from eoseg.datasets.torchgeo_traits import sample_names, traits_of
from eoseg.errors import DataError


class Source(ABC):
    """The images of one split, of which chips can be cut."""

    dataset: Any
    """torchgeo's data set."""
    names: list[str]
    """What identifies each image, the same on every machine."""
    reading: Reading | None = None
    """How samples are read; set before the first chip is cut."""
    keep_bytes: int = 0
    """What is kept of images from which several chips are cut; at least one is."""

    @abstractmethod
    def size(self, number: int) -> tuple[int, int]:
        """Height and width of an image in pixels."""

    @abstractmethod
    def chip(self, number: int, row: int, col: int, size: int) -> ChipItem:
        """Cut a square out of an image; what lies outside is invalid and has no label."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)


class ImageSource(Source):
    """Images that are files of their own (torchgeo's NonGeoDataset)."""

    def __init__(self, dataset: Any, places: Sequence[int]) -> None:
        """Take some images of a data set.

        Args:
            dataset: A data set of torchgeo.
            places: Numbers of the images in it.
        """
        names, days = sample_names(dataset), traits_of(dataset).days
        self.dataset = dataset
        self.places = list(places)
        self.names = [names[place] for place in self.places]
        all_days = days(dataset) if days else None
        self.days = [all_days[place] for place in self.places] if all_days else None
        self._kept: OrderedDict[int, ChipItem] = OrderedDict()
        self._kept_bytes = 0

    def sample(self, number: int) -> Mapping[str, Any]:
        """What torchgeo yields for an image.

        Raises:
            DataError: The file is missing or broken.
        """
        try:
            sample: Mapping[str, Any] = self.dataset[self.places[number]]
        except Exception as error:  # anything that decoders and torchgeo raise
            raise DataError(
                f"'{self.names[number]}' cannot be read: {reason(error)}. Download the data set again."
            ) from error
        return sample

    def whole(self, number: int) -> ChipItem:
        """An image as a whole."""
        if number in self._kept:
            self._kept.move_to_end(number)
            kept = self._kept[number]
            return {**kept, "image": kept["image"].float()}
        assert self.reading is not None  # set before anything is read
        days = None if self.days is None else self.days[number]
        return self.reading.item(self.sample(number), self.names[number], days)

    def size(self, number: int) -> tuple[int, int]:
        """Height and width of an image in pixels; reads it."""
        height, width = self._keep(number)["valid"].shape[-2:]
        return height, width

    def chip(self, number: int, row: int, col: int, size: int) -> ChipItem:
        """Cut a square out of an image, or take all of it where it is of that size.

        Raises:
            DataError: A chip that has a label as a whole is of another size.
        """
        item = self._keep(number)
        height, width = item["valid"].shape[-2:]
        if "label" in item and (height, width) != (size, size):
            raise DataError(
                f"The chip '{item['id']}' has {height} x {width} px, others have {size} x {size}; chips with "
                "one label must all have one size."
            )
        part = item if (height, width) == (size, size) else crop(item, row, col, size)
        return {**part, "image": part["image"].float()}

    def _keep(self, number: int) -> ChipItem:
        """The image, kept as bytes or small numbers where it holds no others."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        item = self.whole(number)
        for kind in (torch.uint8, torch.int16):
            small = item["image"].to(kind)
            if torch.equal(small.float(), item["image"]):
                item = {**item, "image": small}
                break
        self._kept[number] = item
        self._kept_bytes += _bytes_of(item)
        while self._kept_bytes > self.keep_bytes and len(self._kept) > 1:
            self._kept_bytes -= _bytes_of(self._kept.popitem(last=False)[1])
        return item


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where and when a scene lies."""

    name: str
    left: float
    top: float
    rows: int
    cols: int
    pixel: tuple[float, float]
    """Width and height in units of the CRS."""
    crs: str
    """As WKT."""
    seconds: tuple[float, float]
    """First and last second, since 1970."""


class FootprintSource(Source):
    """Scenes with a place on earth (torchgeo's GeoDataset), each read by windows.

    A window is read with the time of its scene, so that a scene of another split that covers the same place
    at another time has no part in it.
    """

    def __init__(self, dataset: Any, sampler: Any) -> None:
        """Take the scenes of a data set, as far as the sampler's region of interest reaches.

        Args:
            dataset: A data set of torchgeo.
            sampler: torchgeo's sampler for it, or None.
        """
        self.dataset = dataset
        xres, yres = dataset.res
        region = getattr(sampler, "geometry", None)
        if region is None:
            region = getattr(sampler, "roi", None)
        self._boxes: list[tuple[float, float, int, int, Any]] = []
        self.names = []
        paths = list(dataset.index["filepath"]) if "filepath" in dataset.index else []
        for number, shape in enumerate(dataset.index.geometry):
            inside = shape if region is None else shape.intersection(region)
            if inside.is_empty:
                continue
            left, bottom, right, top = inside.bounds
            rows, cols = math.floor((top - bottom) / yres + 1e-6), math.floor((right - left) / xres + 1e-6)
            if rows < 1 or cols < 1:
                continue
            time = dataset.index.index[number]
            self._boxes.append((left, top, rows, cols, time))
            name = Path(str(paths[number])).name if paths else type(dataset).__name__
            self.names.append(f"{name}/{time.left:%Y-%m-%d}/{left:.0f},{top:.0f}")

    def size(self, number: int) -> tuple[int, int]:
        """Height and width of a scene in pixels of the data set's resolution."""
        return self._boxes[number][2], self._boxes[number][3]

    def footprints(self) -> list[Footprint]:
        """Where and when all scenes lie."""
        xres, yres = self.dataset.res
        crs = self.dataset.crs.to_wkt()
        return [
            Footprint(
                name,
                float(left),
                float(top),
                rows,
                cols,
                (float(xres), float(yres)),
                crs,
                (period.left.timestamp(), period.right.timestamp()),
            )
            for name, (left, top, rows, cols, period) in zip(self.names, self._boxes, strict=True)
        ]

    def chip(self, number: int, row: int, col: int, size: int) -> ChipItem:
        """Read a square of a scene."""
        assert self.reading is not None  # set before anything is read
        height, width = self.size(number)
        name = f"{self.names[number]}@{row},{col}"
        item = self.reading.item(self.sample(number, row, col, size), name, None)
        if item["valid"].shape[-2:] != (size, size):
            raise DataError(
                f"'{name}' gives {tuple(item['valid'].shape[-2:])} px where {size} x {size} were asked for. "
                "Set 'res' in data.init_args.args to the resolution of the files."
            )
        item["valid"][..., max(0, height - row) :, :] = False  # beyond the scene
        item["valid"][..., :, max(0, width - col) :] = False
        item["image"] = item["image"].masked_fill(~item["valid"].unsqueeze(-3), 0)
        if "mask" in item:
            item["mask"][max(0, height - row) :] = IGNORE
            item["mask"][:, max(0, width - col) :] = IGNORE
        return item

    def sample(self, number: int, row: int, col: int, size: int) -> Mapping[str, Any]:
        """What torchgeo yields for a window.

        Raises:
            DataError: It cannot be read, or has another size.
        """
        left, top, _, _, time = self._boxes[number]
        xres, yres = self.dataset.res
        west, north = left + col * xres, top - row * yres
        window = (
            slice(west, west + size * xres),
            slice(north - size * yres, north),
            slice(time.left, time.right),
        )
        try:
            sample: Mapping[str, Any] = self.dataset[window]
        except Exception as error:
            raise DataError(
                f"'{self.names[number]}' cannot be read at row {row}, column {col}: {reason(error)}. "
                "Download the data set again."
            ) from error
        return {key: value for key, value in sample.items() if key not in ("bounds", "transform", "crs")}

    def declare_nodata(self, value: float) -> None:
        """Keep pixels without a value out of the neighbours' when images are brought to another grid."""
        for part in (self.dataset, *getattr(self.dataset, "datasets", ())):
            if getattr(part, "is_image", False) and getattr(part, "nodata", None) is None:
                part.nodata = value
        self.reopen()

    def reopen(self) -> None:
        """Forget open files: a process that was forked may not share them with its parent."""
        for part in (self.dataset, *getattr(self.dataset, "datasets", ())):
            cached = getattr(part, "_cached_load_warp_file", None)
            if cached is not None:
                cached.cache_clear()


def reason(error: BaseException) -> str:
    """What an error of a library says, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 300 else text[:297] + "..."


def _bytes_of(item: ChipItem) -> int:
    tensors = [value for value in item.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.nbytes for tensor in tensors)
