"""Scenes decoded once onto a fast disk, from where chips are read as memory-mapped arrays.

A chip from a compressed GeoTIFF costs the decompression of every block that it touches: 11 ms for 256 px of
four bands in deflated blocks of 512 px, against less than one from a plain array. The arrays are shared by
all processes of a node through the system's page cache, and take no memory of their own.
"""

import hashlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.index import SceneEntry, SceneIndex
from eoseg.errors import ConfigError, OutputError
from eoseg.geo.window import Window

_log = logging.getLogger(__name__)

_VERSION = 1
"""Of the arrays' form; part of their fingerprint."""

_STRIP_BYTES = 64 * 2**20
"""Memory for the strip of a scene that is decoded at once, as float32."""

type Values = tuple[NDArray[Any], NDArray[np.bool_]]
"""Raw values `(C, H, W)` and where they are valid `(H, W)`, with a first axis for dates."""


class WindowSource(Protocol):
    """What reads windows from the files themselves."""

    def read_file(self, scene_id: str, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Image and validity of a window."""

    def read_target_file(self, scene_id: str, window: Window) -> NDArray[Any]:
        """Classes as uint8, or values as float32."""


@dataclass(frozen=True)
class Kept:
    """One scene in the cache, opened."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    target: NDArray[Any] | None
    """Classes as uint8 or values as float32, `(H, W)`; None where the scenes have no labels."""


class SceneCache:
    """Decoded scenes in a folder, each under a fingerprint of its files and of how they are read.

    A scene is written when it is first asked for, by whichever process asks, under a name of that process,
    and renamed when it is complete: processes never see half of one, and of two that write the same one is
    kept.
    The fingerprint holds path, size and time of change of each file, bands, nodata and the meaning of labels,
    so that changed files are decoded anew. (Of a VRT that is the VRT itself, and of a file at an address its
    address alone: delete the folder where what lies behind has changed.)
    """

    def __init__(self, folder: str | Path, index: SceneIndex) -> None:
        """Take a folder; nothing is written yet.

        Args:
            folder: Made where it does not exist. "~" and variables of the environment are replaced, as in
                "$SLURM_TMPDIR/eoseg". Other data sets may share it.
            index: The scenes.

        Raises:
            ConfigError: A variable is not set.
            OutputError: The folder cannot be made, or has less space than the scenes take.
        """
        self.folder = _expanded(str(folder))
        self._index = index
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise OutputError(f"The cache '{self.folder}' cannot be made: {error.strerror}.") from error
        missing = [entry for entry in index.entries.values() if not self._path(entry).exists()]
        needed = sum(map(self._bytes, missing))
        if needed > free:
            raise OutputError(
                f"The cache '{self.folder}' has {free / 1e9:.1f} GB of free space, but the decoded scenes "
                f"take {needed / 1e9:.1f} GB. Name a folder with more space, or leave cache out."
            )
        if missing:
            _log.info(
                "%d of %d scenes are decoded into '%s' when they are first read (%.2f GB).",
                len(missing),
                len(index.entries),
                self.folder,
                needed / 1e9,
            )

    def open(self, scene_id: str, source: WindowSource) -> Kept:
        """A scene as memory-mapped arrays; decoded first where it is not there yet.

        Raises:
            OutputError: It cannot be written.
        """
        path = self._path(self._index.entry(scene_id))
        if not path.exists():
            self._write(scene_id, path, source)
        target = path / "target.npy"
        return Kept(
            np.load(path / "values.npy", mmap_mode="r"),
            np.load(path / "valid.npy", mmap_mode="r"),
            np.load(target, mmap_mode="r") if target.exists() else None,
        )

    def _write(self, scene_id: str, path: Path, source: WindowSource) -> None:
        part = path.with_name(f"{path.name}.part-{socket.gethostname()}-{os.getpid()}")
        try:
            part.mkdir(exist_ok=True)
            self._decode(scene_id, part, source)
            try:
                part.rename(path)
            except OSError:
                if not path.exists():
                    raise
        except OSError as error:
            raise OutputError(
                f"The scene '{scene_id}' cannot be decoded into the cache '{self.folder}': "
                f"{error.strerror or error}. Free some space, or leave cache out."
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _decode(self, scene_id: str, folder: Path, source: WindowSource) -> None:
        # Values are read as float32. A smaller type of the files holds them too, unless they have a scale.
        own = np.dtype(self._index.dtype)
        if own.itemsize >= 4 or not self._decode_as(own.name, scene_id, folder, source):
            self._decode_as("float32", scene_id, folder, source)

    def _decode_as(self, dtype: str, scene_id: str, folder: Path, source: WindowSource) -> bool:
        """Write a scene strip by strip; False where the type does not hold a value."""
        index, entry = self._index, self._index.entry(scene_id)
        shape = (entry.grid.height, entry.grid.width)
        dates = () if index.schema.time == "single" else (index.schema.steps,)
        values = _array(folder / "values.npy", dtype, (*dates, len(index.schema.bands), *shape))
        valid = _array(folder / "valid.npy", "bool", (*dates, *shape))
        target = None
        if index.is_labelled:
            kind = "uint8" if index.schema.quantity is None else "float32"
            target = _array(folder / "target.npy", kind, shape)
        for window in _strips(entry, index.schema.steps * len(index.schema.bands)):
            rows = slice(window.row, window.row_stop)
            image, valid[..., rows, :] = source.read_file(scene_id, window)
            with np.errstate(invalid="ignore"):  # a value outside the type: compared below
                values[..., rows, :] = image
            if not np.array_equal(values[..., rows, :], image):
                return False
            if target is not None:
                target[rows] = source.read_target_file(scene_id, window)
        for array in (values, valid, target):
            if array is not None:
                array.flush()
        return True

    def _path(self, entry: SceneEntry) -> Path:
        return self.folder / f"scene-{self._fingerprint(entry)}"

    def _fingerprint(self, entry: SceneEntry) -> str:
        source = self._index.source
        labels = [entry.label] if entry.label is not None else list(self._index.vectors)
        said = {
            "version": _VERSION,
            "images": [_facts(path) for path in entry.images],
            "labels": [_facts(path) for path in labels],
            "bands": self._index.schema.bands,
            "band_names": source.band_names,
            "nodata": source.nodata,
            "classes": [(item.name, item.values, item.color) for item in source.map_classes],
            "quantity": source.quantity,
            "encoding": source.label_encoding,
            "ignore": source.ignore,
            "attribute": source.attribute,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]

    def _bytes(self, entry: SceneEntry) -> int:
        """Bytes of a decoded scene whose values have no scale."""
        schema = self._index.schema
        each = schema.steps * (min(np.dtype(self._index.dtype).itemsize, 4) * len(schema.bands) + 1)
        labels = (1 if schema.quantity is None else 4) if self._index.is_labelled else 0
        return entry.grid.height * entry.grid.width * (each + labels)


def _expanded(folder: str) -> Path:
    path = os.path.expandvars(os.path.expanduser(folder))  # noqa: PTH111 (before a Path is made of it)
    if "$" in path:
        raise ConfigError(
            f"cache names a variable of the environment that is not set: '{path}'. Set it, or name a folder."
        )
    return Path(path)


def _facts(path: str) -> Sequence[str | int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (path,)  # an address
    return (str(Path(path).resolve()), found.st_size, found.st_mtime_ns)


def _array(path: Path, dtype: str, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[Any]]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)


def _strips(entry: SceneEntry, planes: int) -> Iterator[Window]:
    """Whole rows of storage blocks, as many as the memory allows, from the top down."""
    height, width = entry.grid.height, entry.grid.width
    fit = max(1, _STRIP_BYTES // (4 * planes * width))
    block = entry.block_shape[0]
    rows = max(1, fit // block) * block if block < height else fit
    for row in range(0, height, rows):
        yield Window(row, 0, min(rows, height - row), width)
