"""Folders of small image files with known content."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from conftest import write_scene

from eoseg.datasets.chip_files import ChipFileData
from eoseg.datasets.chip_list import ChipFileSource

KINDS = ["crop", "lake", "town"]


def write_chip(
    path: Path, value: int, *, size: int = 8, width: int | None = None, bands: int = 3, **profile: Any
):
    """A PNG whose pixels hold `value` in the first band, and one more in each further band."""
    shape = (bands, size, width or size)
    values = np.arange(bands, dtype=np.uint8)[:, None, None] + np.full(shape, value, np.uint8)
    options = {"driver": "PNG", "crs": None} if path.suffix == ".png" else {}
    return write_scene(path, values, **{**options, **profile})


def make_folders(folder: Path, counts: Mapping[str, int]) -> dict[str, int]:
    """Write `<class>/<class>_<n>.png` and return the value that each holds: 1, 2, 3 and so on."""
    values = {}
    for kind, count in counts.items():
        for number in range(count):
            values[f"{kind}/{kind}_{number}.png"] = len(values) + 1
    for file, value in values.items():
        write_chip(folder / file, value)
    return values


def chips_of(folder: Path, **options: Any) -> ChipFileSource:
    """The configuration of `make_folders`."""
    return ChipFileSource(**{"root": str(folder), "images": "*/*.png", "classes": KINDS, **options})


def chip_data(folder: Path, *, split: Any = None, **options: Any) -> ChipFileData:
    """A datamodule for `make_folders`; source options and its own may be mixed."""
    own = {
        name: options.pop(name)
        for name in ("batch_size", "augment", "num_workers", "seed")
        if name in options
    }
    if split is not None:
        own["split"] = split
    return ChipFileData(chips_of(folder, **options), **own)
