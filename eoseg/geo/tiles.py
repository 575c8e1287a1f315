"""Which pixels are computed from which: the tiles of a scene on one fixed lattice.

A tile has a `core`, the pixels that it writes, and a `read`, the pixels that it is computed from. The
cores cut the scene into squares on a lattice that starts at row 0, column 0, so each pixel is written
exactly once. A read is the core and a halo around it, and all reads have one size, so that memory and
batches do. Where a read would reach beyond the scene's extent (filled up, below and to the right, to a
multiple of the network's output stride) it is moved inwards, along the lattice of the stride, and the core
has more context on the other side. At the border of the scene the network thus pads as it would in one
pass over the whole scene; anywhere else the halo keeps that padding away from the core.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from eoseg.errors import ConfigError
from eoseg.geo.window import Window


@dataclass(frozen=True, slots=True)
class Tile:
    """The unit of inference."""

    core: Window
    """The pixels that this tile writes, all inside the scene."""
    read: Window
    """The pixels that it is computed from; they may reach beyond the scene below and to the right."""


@dataclass(frozen=True, slots=True)
class TilePlan:
    """All tiles of a scene, row by row, left to right."""

    height: int
    """Height of the scene in pixels."""
    width: int
    """Width of the scene in pixels."""
    core: int
    """Height and width of a core in pixels; less at the last row and column."""
    halo: int
    """Pixels of context around a core."""
    stride: int
    """Output stride of the network: reads begin at multiples of it and have multiples of it as size."""
    shift: int = 0
    """Rows and columns of the first cores, where the lattice begins inside a core; 0 where it does not."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ConfigError(f"A scene needs at least one pixel; found {self.width} x {self.height}.")
        if self.stride < 1:
            raise ConfigError(f"The output stride is 1 or more; found {self.stride}.")
        if self.core < 1:
            raise ConfigError(f"A tile needs a size of at least {self.stride} px; found {self.core}.")
        if self.halo < 0:
            raise ConfigError(f"A halo is 0 or more pixels; found {self.halo}.")
        if not 0 <= self.shift < self.core:
            raise ConfigError(f"A lattice is moved by 0 to {self.core - 1} pixels; found {self.shift}.")
        for name, pixels in (("tile size", self.core), ("halo", self.halo), ("shift", self.shift)):
            if pixels % self.stride:
                below = pixels // self.stride * self.stride
                near = f"{below} or {below + self.stride}" if below else f"{self.stride}"
                raise ConfigError(
                    f"The {name} must be a multiple of the network's output stride, {self.stride} px; "
                    f"found {pixels}. Use {near}."
                )

    @property
    def rows(self) -> int:
        """How many tiles lie above each other."""
        return self.row_of(self.height - 1) + 1

    @property
    def columns(self) -> int:
        """How many tiles lie side by side."""
        return self.row_of(self.width - 1) + 1

    def row_of(self, pixel: int) -> int:
        """Which row of tiles, or column, a row or column of pixels lies in; below 0 above the scene."""
        return (pixel - self.shift) // self.core + (self.shift > 0)

    def span(self, place: int, along: int) -> tuple[int, int]:
        """First pixel of the cores of a row of tiles, and the one after their last; of a column likewise.

        Args:
            place: Which row, or column.
            along: Height of the scene in pixels, or width.
        """
        start = self._start(place)
        return max(start, 0), min(start + self.core, along)

    def _start(self, place: int) -> int:
        """Where the cores of a row begin; of the first one above the scene, where the lattice is moved."""
        return place * self.core - (self.core - self.shift if self.shift else 0)

    @property
    def extent(self) -> Window:
        """The scene, filled up below and to the right to a multiple of the stride."""
        return Window(0, 0, round_up(self.height, self.stride), round_up(self.width, self.stride))

    @property
    def read_size(self) -> tuple[int, int]:
        """Height and width of every read in pixels."""
        wanted, extent = self.core + 2 * self.halo, self.extent
        return min(wanted, extent.height), min(wanted, extent.width)

    @property
    def read_pixels(self) -> int:
        """Pixels that pass through the network, each as often as it does."""
        height, width = self.read_size
        return len(self) * height * width

    def __len__(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[Tile]:
        for index in range(len(self)):
            yield self.tile(index)

    def tile(self, index: int) -> Tile:
        """The tile at a place in the row-by-row order.

        Raises:
            IndexError: There are fewer tiles.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        row, column = divmod(index, self.columns)
        square = Window(self._start(row), self._start(column), self.core, self.core)
        core = square.intersection(Window(0, 0, self.height, self.width))
        assert core is not None
        return Tile(core, self._read(square))

    def shifted(self) -> "TilePlan | None":
        """The same tiles on a lattice that lies half a tile further down and right.

        A pixel near the edge of a core lies near the middle of a shifted one, and the other way round.

        Returns:
            None where tiles are a single stride wide.
        """
        half = self.core // 2 // self.stride * self.stride
        return replace(self, shift=half) if half else None

    def _read(self, square: Window) -> Window:
        """The square and its halo, moved into the extent where it reaches beyond it."""
        extent = self.extent
        height, width = self.read_size
        top, left = square.row - self.halo, square.col - self.halo
        row = max(0, min(top, extent.height - height))
        col = max(0, min(left, extent.width - width))
        return Window(row, col, height, width)


def plan_tiles(height: int, width: int, *, core: int, halo: int, stride: int) -> TilePlan:
    """Cut a scene into tiles.

    Args:
        height: Height of the scene in pixels.
        width: Width of the scene in pixels.
        core: Height and width of the square that a tile writes, a multiple of the stride.
        halo: Pixels of context around it, a multiple of the stride.
        stride: Output stride of the network.

    Raises:
        ConfigError: A size is not positive, or not a multiple of the stride.
    """
    return TilePlan(height, width, core, halo, stride)


def round_up(pixels: int, multiple: int) -> int:
    """The smallest multiple that is at least so many pixels."""
    return math.ceil(pixels / multiple) * multiple
