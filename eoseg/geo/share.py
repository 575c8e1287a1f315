"""The files of one share of a map's parts: values and journal, written so that a kill costs nothing."""

import fcntl
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from itertools import groupby
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import BusyError, OutputError
from eoseg.geo.layer import Layer
from eoseg.geo.parts import END, Parts, told
from eoseg.geo.window import Window

_LEAST_BYTES = 16  # GDAL does not look at smaller files
_STRIP_BYTES = 2 * 2**20  # of a band that are read at a time


class Share:
    """The tiles of one process. Use it as a context manager."""

    def __init__(self, parts: Parts, number: int, *, wait: bool = False, check: bool = True) -> None:
        """Find out which tiles are finished, and open the files to write the others.

        Args:
            parts: The folder of the run.
            number: Which share.
            wait: Wait for a process that works on it, instead of refusing.
            check: Compare finished tiles with their checksums; without, none counts as finished.

        Raises:
            BusyError: Another process works on this share.
            OutputError: The files cannot be written.
        """
        self.parts, self.number = parts, number
        self.skipped = 0
        """Tiles without a valid pixel, so far."""
        self._files: list[FileIO] = []
        self._journal: IO[bytes] | None = None
        self._first_row, self._end_row = parts.rows(number)
        start, stop = parts.bounds(number)
        try:
            self._journal = parts.journal_path(number).open("a+b")
            self._lock(self._journal, wait=wait)
            for layer_number, layer in enumerate(parts.layers):
                file = os.open(parts.raw_path(number, layer_number), os.O_RDWR | os.O_CREAT, 0o666)
                self._files.append(FileIO(file, "r+"))
                rows = self._end_row - self._first_row
                os.ftruncate(file, max(rows * parts.grid.width * layer.pixel_bytes, _LEAST_BYTES))
            done = self._check() if check else set()
        except OSError as error:
            self.close()
            raise told(parts.target, "begun", error) from error
        except BaseException:
            self.close()
            raise
        self.pending = [index for index in range(start, stop) if index not in done]
        """Tiles that are to be computed."""
        self.done = len(done)
        """Tiles that were finished before."""

    def _lock(self, journal: IO[bytes], *, wait: bool) -> None:
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BusyError(
                f"Another process is making '{self.parts.target}' at this moment. Wait for it, or stop it."
            ) from None

    def _check(self) -> set[int]:
        """Which tiles are whole; the journal keeps only their lines."""
        assert self._journal is not None
        self._journal.seek(0)
        start, stop = self.parts.bounds(self.number)
        lines = self._journal.read().splitlines(keepends=True)
        noted = [(_read_line(line, len(self.parts.layers)), line) for line in lines]
        entries = [(entry, line) for entry, line in noted if entry and start <= entry.index < stop]
        found = self._checksums({entry.index for entry, _ in entries})
        kept = {entry.index: line for entry, line in entries if found[entry.index] == entry.checksums}
        self.skipped = sum(b" s " in line for line in kept.values())
        if len(kept) < stop - start and list(kept.values()) != lines:
            self._journal.truncate(0)
            self._journal.write(b"".join(kept.values()))
            self._journal.flush()
        return set(kept)

    def _checksums(self, indices: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """Checksums of what the files hold for some tiles, one for each layer.

        Tiles of one row are read together, because rows of the whole width are one piece of the file.
        """
        columns, found = self.parts.cores.columns, dict[int, tuple[int, ...]]()
        for _, group in groupby(sorted(indices), key=lambda index: index // columns):
            cores = {index: self.parts.cores.tile(index).core for index in group}
            for layer in range(len(self.parts.layers)):
                for index, checksum in self._row_checksums(layer, cores).items():
                    found[index] = (*found.get(index, ()), checksum)
        return found

    def _row_checksums(self, layer: int, cores: Mapping[int, Window]) -> dict[int, int]:
        """Checksums of a layer's values for tiles side by side."""
        kind, sums = self.parts.layers[layer], dict.fromkeys(cores, 0)
        first = next(iter(cores.values()))
        step = max(1, _STRIP_BYTES // (self.parts.grid.width * kind.item_bytes))
        for band in range(len(kind.bands)):
            for row in range(first.row, first.row_stop, step):
                values = self.read_rows(layer, band, row, min(row + step, first.row_stop))
                for index, core in cores.items():
                    own = np.ascontiguousarray(values[:, core.col : core.col_stop])
                    sums[index] = zlib.crc32(own, sums[index])
        return sums

    def read_rows(self, layer: int, band: int, row: int, row_stop: int) -> NDArray[Any]:
        """Whole rows of a band, `(rows, width)`; what other shares have of them means nothing."""
        kind, width = self.parts.layers[layer], self.parts.grid.width
        values = np.empty((row_stop - row, width), kind.dtype)
        begin = band * (self._end_row - self._first_row) + row - self._first_row
        self._fill(layer, values, begin * width * kind.item_bytes)
        return values

    def read(self, layer: int, window: Window) -> NDArray[Any]:
        """What a layer holds in a window, `(bands, height, width)`."""
        kind = self.parts.layers[layer]
        values = np.empty((len(kind.bands), window.height, window.width), kind.dtype)
        for rows, offset in self._rows(kind, window, values):
            self._fill(layer, rows, offset)
        return values

    def _fill(self, layer: int, values: NDArray[Any], offset: int) -> None:
        """Fill an array, which is one piece of memory, from a place of a file."""
        self._files[layer].seek(offset)
        read = self._files[layer].readinto(memoryview(values).cast("B"))
        if read != values.nbytes:
            values.reshape(-1).view(np.uint8)[read:] = 0  # a file that was cut: no checksum fits

    def write(self, index: int, values: Sequence[NDArray[Any]], *, skipped: bool = False) -> None:
        """Write the values of a tile's core, then its line in the journal.

        Args:
            index: The tile.
            values: For each layer `(bands, height, width)`, or `(height, width)` for one band.
            skipped: Whether there is no value at all.

        Raises:
            OutputError: The values do not fit the core or the layer, or the disk is full.
        """
        core, checksums = self.parts.cores.tile(index).core, []
        for number, (layer, given) in enumerate(zip(self.parts.layers, values, strict=True)):
            array = np.ascontiguousarray(given if given.ndim == 3 else given[None])
            expected = (len(layer.bands), core.height, core.width)
            if array.shape != expected or array.dtype != layer.dtype:
                raise OutputError(
                    f"A tile of '{self.parts.target}' has {expected} values of {layer.dtype} (bands, rows, "
                    f"columns); found {array.shape} of {array.dtype}."
                )
            self._put(number, layer, core, array)
            checksums.append(f"{zlib.crc32(array):08x}")
        self._note(f"{index} {'s' if skipped else 'c'} {','.join(checksums)}\n")
        self.skipped += skipped

    def finish(self) -> None:
        """Note that all tiles of the share are there.

        Raises:
            OutputError: The disk is full.
        """
        assert self._journal is not None
        self._journal.seek(0)
        if not self._journal.read().endswith(END.encode()):
            self._note(END)

    def _note(self, line: str) -> None:
        assert self._journal is not None
        try:
            self._journal.write(line.encode("ascii"))
            self._journal.flush()
        except OSError as error:
            raise told(self.parts.target, "written", error) from error

    def _put(self, number: int, layer: Layer, window: Window, array: NDArray[Any]) -> None:
        try:
            for rows, offset in self._rows(layer, window, array):
                content = memoryview(rows).cast("B")
                self._files[number].seek(offset)
                while content:  # a disk that gets full takes a part
                    content = content[self._files[number].write(content) :]
        except OSError as error:
            raise told(self.parts.target, "written", error) from error

    def _rows(self, layer: Layer, window: Window, array: NDArray[Any]) -> Any:
        """The pieces of an array that lie together in the file, with their offsets."""
        width, height = self.parts.grid.width, self._end_row - self._first_row
        first = window.row - self._first_row
        for band in range(len(layer.bands)):
            begin = band * height + first
            if window.width == width:
                yield array[band], begin * width * layer.item_bytes
                continue
            for row in range(window.height):
                yield array[band, row], ((begin + row) * width + window.col) * layer.item_bytes

    def close(self) -> None:
        """Close the files; what was written stays."""
        for file in (*self._files, self._journal):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Entry:
    index: int
    checksums: tuple[int, ...]


def _read_line(line: bytes, layers: int) -> _Entry | None:
    """A line of the journal, or None where it is cut off or of something else."""
    fields = line.decode("ascii", errors="replace").split()
    if not line.endswith(b"\n") or len(fields) != 3 or not fields[0].isdecimal():
        return None
    try:
        checksums = tuple(int(text, 16) for text in fields[2].split(","))
    except ValueError:
        return None
    return _Entry(int(fields[0]), checksums) if len(checksums) == layers else None
