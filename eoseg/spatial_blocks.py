"""Confusion matrices of spatial blocks: what intervals and paired comparisons are drawn from.

Pixels are counted in the squares of one lattice in each scene, wherever chips were cut, so that two networks
with other chips count in the same blocks. Chips and rows without a place are put into groups that stay
together, by the hash of their name.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError, OutputError

CELL = 64
"""Side of the smallest block in pixels."""

WANTED = 30
"""Blocks that should be left when they are made larger: enough to draw from, and far apart."""

GROUPS = 4096
"""Into how many groups items without a place are put at most."""

MOST_BYTES = 64_000_000
"""For the matrices of all blocks of one process; beyond it blocks are made larger."""

type Key = tuple[str, int, int]
"""Scene, row and column of a block in units of its side; without a place ("", number, 0)."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Confusion matrices by block."""

    names: tuple[str, ...]
    """The K classes."""
    keys: tuple[Key, ...]
    matrices: NDArray[np.int64]
    """`(B, K, K)`: rows reference, columns map."""
    side: int | None
    """Of a block in pixels; None where items have no place."""

    def doubled(self) -> "Blocks":
        """The same counts in blocks of twice the side; items without a place as they are."""
        if self.side is None:
            return self
        places: dict[Key, int] = {}
        numbers = [places.setdefault((name, row // 2, col // 2), len(places)) for name, row, col in self.keys]
        merged = np.zeros((len(places), *self.matrices.shape[1:]), np.int64)
        np.add.at(merged, np.array(numbers, np.int64), self.matrices)
        return Blocks(self.names, tuple(places), merged, 2 * self.side)

    def enlarged(self, side: int | None = None) -> "Blocks":
        """Blocks of that side; by default the largest that leave `WANTED` of them.

        Args:
            side: In pixels, a power of two times the present one.

        Raises:
            DataError: The side is none that these counts can be summed to.
        """
        blocks = self
        if side is None:
            while len(larger := blocks.doubled().keys) >= WANTED and len(larger) < len(blocks.keys):
                blocks = blocks.doubled()
            return blocks
        while blocks.side is not None and blocks.side < side:
            blocks = blocks.doubled()
        if blocks.side is not None and blocks.side != side:
            raise DataError(
                f"Blocks of {self.side} px can be put together to that times a power of two; found {side} px."
            )
        return blocks

    def sorted(self) -> "Blocks":
        """The same in the order of the keys, whichever process counted what."""
        order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
        return Blocks(self.names, tuple(self.keys[place] for place in order), self.matrices[order], self.side)

    def write(self, path: Path, record: Mapping[str, Any]) -> None:
        """Write a file that `read_blocks` reads.

        Args:
            path: The file, .npz.
            record: Plain values about the measurement.

        Raises:
            OutputError: It cannot be written.
        """
        head = {"names": self.names, "keys": self.keys, "side": self.side, "record": record}
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:
                text = np.frombuffer(json.dumps(head).encode(), np.uint8)
                np.savez_compressed(file, head=text, matrices=self.matrices)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(
                f"'{path}' cannot be written: {error.strerror or error}. Check the folder and the free space."
            ) from error


def read_blocks(path: Path) -> tuple[Blocks, dict[str, Any]]:
    """Read what `Blocks.write` wrote; no code in the file is run.

    Raises:
        DataError: The file is missing, or no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            head = json.loads(held["head"].tobytes())
            matrices = np.asarray(held["matrices"], np.int64)
        keys = tuple((str(name), int(row), int(col)) for name, row, col in head["keys"])
        blocks = Blocks(tuple(head["names"]), keys, matrices, head["side"])
        if matrices.shape != (len(keys), len(blocks.names), len(blocks.names)):
            raise ValueError(f"matrices of shape {matrices.shape} for {len(keys)} blocks")
        return blocks, dict(head["record"])
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'. Test again with 'eoseg test'.") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"'{path}' does not hold the blocks of a test ({error}). Test again with 'eoseg test'."
        ) from error


class BlockSums:
    """Counts pairs of classes block by block, in bounded memory."""

    def __init__(self, names: Sequence[str], *, placed: bool, most_bytes: int = MOST_BYTES) -> None:
        """Start without counts.

        Args:
            names: The K classes.
            placed: Whether what is counted has a place in a scene.
            most_bytes: Memory for all matrices, beyond which blocks are made larger.
        """
        self.names = tuple(names)
        self.side = CELL if placed else None
        self._most = max(1, most_bytes // (8 * len(names) ** 2))
        self._held: dict[Key, NDArray[np.int64]] = {}

    def add_pixels(
        self, scene: str, row: int, col: int, reference: NDArray[np.int64], mapped: NDArray[np.int64]
    ) -> None:
        """Count the pixels of a chip.

        Args:
            scene: Name of the scene.
            row: The chip's first row in the scene.
            col: The chip's first column.
            reference: Classes `(h, w)`, negative where nothing is counted.
            mapped: Classes of the same shape.
        """
        known_rows, known_cols = np.nonzero(reference >= 0)
        if not len(known_rows):
            return
        assert self.side is not None
        down, across = (known_rows + row) // self.side, (known_cols + col) // self.side
        top, left = int(down.min()), int(across.min())
        width = int(across.max()) - left + 1
        size = len(self.names)
        pairs = reference[known_rows, known_cols] * size + mapped[known_rows, known_cols]
        numbers = (down - top) * width + across - left
        flat = np.bincount(numbers * size**2 + pairs).astype(np.int64)
        counts = np.pad(flat, (0, -len(flat) % size**2)).reshape(-1, size, size)
        for number in np.unique(numbers).tolist():
            self._add((scene, top + number // width, left + number % width), counts[number])
        self._shrink()

    def add_item(self, name: str, reference: int, mapped: int) -> None:
        """Count a chip or row without a place.

        Args:
            name: What stays together: the item's name, or that of its group.
            reference: Its class.
            mapped: The class that it was given.
        """
        key = ("", zlib.crc32(name.encode()) % min(GROUPS, self._most), 0)
        if key not in self._held:
            self._held[key] = np.zeros((len(self.names),) * 2, np.int64)
        self._held[key][reference, mapped] += 1

    def add(self, blocks: Blocks) -> None:
        """Add what another process counted."""
        while self.side is not None and blocks.side is not None and self.side != blocks.side:
            if self.side < blocks.side:
                self._take(self.blocks().doubled())
            else:
                blocks = blocks.doubled()
        for key, matrix in zip(blocks.keys, blocks.matrices, strict=True):
            self._add(key, matrix)
        self._shrink()

    def blocks(self) -> Blocks:
        """What was counted so far, in the order of the keys."""
        size = len(self.names)
        held = np.stack(list(self._held.values())) if self._held else np.zeros((0, size, size), np.int64)
        return Blocks(self.names, tuple(self._held), held, self.side).sorted()

    def _add(self, key: Key, matrix: NDArray[np.int64]) -> None:
        held = self._held.get(key)
        self._held[key] = matrix.copy() if held is None else held + matrix

    def _shrink(self) -> None:
        while self.side is not None and len(self._held) > self._most:
            before = len(self._held)
            self._take(self.blocks().doubled())
            if len(self._held) == before:
                self._most = 2 * before  # a block for each of very many scenes cannot be made larger

    def _take(self, blocks: Blocks) -> None:
        self.side = blocks.side
        self._held = dict(zip(blocks.keys, blocks.matrices, strict=True))
