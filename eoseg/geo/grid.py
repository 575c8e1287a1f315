"""Where the pixels of a raster are."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from eoseg.errors import GridError
from eoseg.geo.window import Window

# Two grids count as the same where their corners differ by less than this share of a pixel:
# transforms that travelled through text or another CRS library differ in the last digits.
_TOLERANCE_PX = 0.01

_METRES_PER_DEGREE = 111_320.0  # of latitude, and of longitude at the equator


@dataclass(frozen=True, slots=True)
class Grid:
    """CRS, pixel-to-CRS transform and size of a raster. Immutable."""

    crs: CRS | None
    transform: Affine
    height: int
    width: int

    @property
    def window(self) -> Window:
        """All pixels."""
        return Window(0, 0, self.height, self.width)

    @property
    def is_georeferenced(self) -> bool:
        """Whether the raster has a CRS."""
        return self.crs is not None

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Width and height of a pixel in units of the CRS, both positive."""
        return math.hypot(self.transform.a, self.transform.d), math.hypot(self.transform.b, self.transform.e)

    @property
    def square_kilometres(self) -> float | None:
        """Area on the map; None where the CRS has no unit of length."""
        if self.crs is None or not self.crs.is_projected:
            return None
        metres = float(self.crs.linear_units_factor[1])
        return abs(self.transform.determinant) * self.height * self.width * metres**2 / 1e6

    @property
    def pixel_metres(self) -> float | None:
        """Side of a square as large as a pixel, in metres; None without a CRS.

        Of geographic grids it is that in the middle of the raster; of projected ones it leaves out by how
        much the projection distorts.
        """
        if self.crs is None:
            return None
        width, height = self.pixel_size
        side = math.sqrt(width * height)
        if not self.crs.is_geographic:
            return side * float(self.crs.linear_units_factor[1])
        _, bottom, _, top = self.bounds
        narrowed = max(math.cos(math.radians((bottom + top) / 2)), 0.01)
        return side * math.sqrt(narrowed) * _METRES_PER_DEGREE

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top in units of the CRS."""
        corners = [self.transform @ corner for corner in self._corners()]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    def places(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates x and y of places that are given in pixels from the top left corner."""
        t = self.transform
        return t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f

    def to_dict(self) -> dict[str, Any]:
        """The grid as plain values."""
        crs = None if self.crs is None else self.crs.to_wkt()
        return {"crs": crs, "transform": [*self.transform[:6]], "height": self.height, "width": self.width}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a grid from `to_dict`."""
        crs = None if values["crs"] is None else CRS.from_wkt(values["crs"])
        return cls(crs, Affine(*values["transform"]), values["height"], values["width"])

    def crop(self, window: Window) -> "Grid":
        """The grid of a part; the window may reach outside."""
        moved = self.transform @ Affine.translation(window.col, window.row)
        return Grid(self.crs, moved, window.height, window.width)

    def difference(self, other: "Grid") -> str | None:
        """Say how another grid differs from this one, or None where they are the same."""
        if (self.height, self.width) != (other.height, other.width):
            return f"size {other.width} x {other.height} px instead of {self.width} x {self.height} px"
        if self.crs != other.crs:
            return f"CRS {crs_name(other.crs)} instead of {crs_name(self.crs)}"
        if self.crs is None:
            return None  # without a CRS, two rasters of one size are matched pixel by pixel
        inverse = ~self.transform
        shift = max(math.dist(inverse @ (other.transform @ corner), corner) for corner in self._corners())
        if shift < _TOLERANCE_PX:
            return None
        ours, theirs = self.pixel_size, other.pixel_size
        if not all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(ours, theirs, strict=True)):
            return f"pixel size {theirs[0]:g} x {theirs[1]:g} instead of {ours[0]:g} x {ours[1]:g}"
        return f"corners up to {shift:.3g} px away"

    def require_same(self, other: "Grid", *, this: str, that: str) -> None:
        """Refuse a raster on another grid.

        Args:
            other: The grid that must equal this one.
            this: Path of the raster on this grid, for the message.
            that: Path of the other raster.

        Raises:
            GridError: The grids differ. The message holds the command that repairs it.
        """
        found = self.difference(other)
        if found is None:
            return
        if self.crs is None or other.crs is None:
            remedy = "One of them has no CRS: give both the same georeference, or neither."
            if self.crs is None and other.crs is None:
                remedy = "Neither has a CRS, so they cannot be aligned: cut both to one size."
        else:
            target = with_suffix(that, "_aligned")
            remedy = "To repair: rio warp " + shlex.join(
                [that, target, "--like", this, "--resampling", "nearest"]
            )
        raise GridError(f"'{that}' is not on the grid of '{this}': {found}. {remedy}")

    def _corners(self) -> list[tuple[int, int]]:
        return [(0, 0), (self.width, 0), (0, self.height), (self.width, self.height)]


def crs_name(crs: CRS | None) -> str:
    """A CRS in a few words, for messages."""
    if crs is None:
        return "none"
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())[:60]


def with_suffix(path: str, suffix: str) -> str:
    """The path of a file beside another one: "b.tif" and "_aligned" give "b_aligned.tif"."""
    stem, dot, extension = path.rpartition(".")
    return f"{stem}{suffix}.{extension}" if dot and "/" not in extension else f"{path}{suffix}.tif"
