"""A rectangle of pixels."""

from dataclasses import dataclass
from typing import Self

from eoseg.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Window:
    """A non-empty rectangle of pixels, which may reach outside the scene.

    Half-open: it holds the rows `row` to `row + height - 1`. Row always comes before column.
    """

    row: int
    col: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for name in ("row", "col", "height", "width"):
            value = getattr(self, name)
            if not isinstance(value, int):
                raise TypeError(f"Window {name} must be an integer, got {value!r}")
        if self.height < 1 or self.width < 1:
            raise ConfigError(
                f"A window needs height and width of at least 1, got {self.height} x {self.width}."
            )

    @property
    def row_stop(self) -> int:
        """The first row below the window."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """The first column right of the window."""
        return self.col + self.width

    @classmethod
    def from_stops(cls, row: int, col: int, row_stop: int, col_stop: int) -> Self:
        """The window from its first row and column to before its stops."""
        return cls(row, col, row_stop - row, col_stop - col)

    def intersection(self, other: "Window") -> "Window | None":
        """The pixels in both windows, or None where there are none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        row_stop, col_stop = min(self.row_stop, other.row_stop), min(self.col_stop, other.col_stop)
        if row_stop <= row or col_stop <= col:
            return None
        return Window.from_stops(row, col, row_stop, col_stop)

    def grow(self, pixels: int) -> "Window":
        """The window with that many more pixels on each side (fewer where negative)."""
        return Window(self.row - pixels, self.col - pixels, self.height + 2 * pixels, self.width + 2 * pixels)

    def shift(self, rows: int, cols: int) -> "Window":
        """The window moved down and to the right."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def contains(self, other: "Window") -> bool:
        """Whether every pixel of the other window is in this one."""
        return self.intersection(other) == other

    def slices_in(self, outer: "Window") -> tuple[slice, slice]:
        """Row and column slices of this window in an array that holds the outer one."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)
