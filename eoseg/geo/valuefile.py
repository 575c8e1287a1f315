"""Files of a quantity: one float32 number per pixel, that explain themselves."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from eoseg.errors import DataError, OutputError
from eoseg.geo.cog import COG_BLOCK, CogWriter, Layout, quiet_georeference, require_writable
from eoseg.geo.grid import Grid
from eoseg.geo.scene import Scene, open_dataset
from eoseg.geo.window import Window
from eoseg.recipe import Quantity

_KIND, _QUANTITY = "EOSEG_KIND", "EOSEG_QUANTITY"

_READ_BACK = 4 * COG_BLOCK


class ValueWriter(CogWriter):
    """Write a float32 COG of one band with nodata NaN: see `CogWriter` for the way of the file.

    NaN rather than a number such as -9999: no estimate can be taken for it, and a program that does
    not know of nodata gets NaN instead of a mean that looks plausible. The band is described by the
    quantity's name and has its unit as unit type. Overviews are means.
    """

    def __init__(
        self,
        path: str | Path,
        grid: Grid,
        quantity: Quantity,
        *,
        block: int = COG_BLOCK,
        overwrite: bool = False,
    ) -> None:
        """Begin a file.

        Args:
            path: Where the finished file will be.
            grid: The scene's grid.
            quantity: What the numbers are.
            block: See `CogWriter`.
            overwrite: Replace an existing file, at the very end.

        Raises:
            OutputError: The file exists, or nothing can be written there.
        """
        content = json.dumps({"name": quantity.name, "unit": quantity.unit}, ensure_ascii=False)
        self.path = Path(path)
        self.grid = grid
        self.layout = Layout((quantity.name,), "AVERAGE", {_KIND: "values", _QUANTITY: content})
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._cog = self.path.with_name(f"{self.path.name}.cog.part")
        self._sidecar = self.path.with_name(f"{self.path.name}.aux.xml.part")
        self._written = _Content()
        require_writable(self.path, overwrite=overwrite)
        self._dataset = None
        try:
            with self._told("begun"), quiet_georeference():
                self._dataset = rasterio.open(self._part, "w", **_profile(grid, block))
                self._annotate(self._dataset)
                self._dataset.units = (quantity.unit,)
        except BaseException:
            self.abort()
            raise

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write a window.

        Args:
            window: Where, inside the grid; no pixel may be written twice.
            values: Floats `(height, width)` or `(1, height, width)`, NaN where there is no value.

        Raises:
            OutputError: The values do not fit the window, are infinite, or the disk is full.
        """
        array = values if values.ndim == 3 else values[None]
        if array.shape != (1, window.height, window.width):
            raise OutputError(
                f"A window of {window.height} x {window.width} values is written at once; found an array of "
                f"{' x '.join(map(str, values.shape))}."
            )
        if not self.grid.window.contains(window):
            raise OutputError(f"'{self.path}' has no pixels at {window}; write inside its grid only.")
        if self._dataset is None:
            raise OutputError(f"'{self.path}' is already built; write before.")
        stored = array.astype(np.float32)
        if np.isinf(stored).any():
            raise OutputError(
                f"'{self.path}' holds finite numbers and NaN; found an infinite one at {window}. The network "
                "may have diverged: train again with a smaller learning rate."
            )
        self._written.add(stored)
        with self._told("written"):
            self._dataset.write(stored, window=_area(window))

    def build(self, tags: Mapping[str, str]) -> None:
        """Close the part file, make the COG from it and make sure that it holds what was written.

        Args:
            tags: Metadata for the file, beside what its numbers are: where it comes from.

        Raises:
            OutputError: The disk is full, or the file does not hold what was written: each pixel once.
        """
        if self._dataset is None:
            raise OutputError(f"'{self.path}' is already built.")
        with self._told("finished"), quiet_georeference():
            self._dataset.update_tags(**{**tags, **self.layout.tags})
            self._dataset.close()
            self._dataset = None
            rasterio.shutil.copy(
                self._part,
                self._cog,
                driver="COG",
                COMPRESS="DEFLATE",
                PREDICTOR="YES",
                BLOCKSIZE=str(COG_BLOCK),
                OVERVIEW_RESAMPLING=self.layout.overviews,
                BIGTIFF="IF_SAFER",
            )
            found = _content_of(self._cog)
        # GDAL may learn that a disk is full when it closes a file, where nothing is raised any more.
        if found != self._written:
            raise OutputError(
                f"'{self.path}' does not hold what was written to it. The disk may be full or failing: "
                "check it, then run again."
            )
        self._part.unlink()

    @property
    def value_pixels(self) -> int:
        """Pixels written with a value."""
        return self._written.known


@dataclass
class _Content:
    """What tells one content from another, in whatever order its parts come."""

    pixels: int = 0
    known: int = 0
    bits: int = 0
    """Sum of all values read as 32-bit integers, so that not one bit may differ."""

    def add(self, values: NDArray[np.float32]) -> None:
        known = ~np.isnan(values)
        self.pixels += values.size
        self.known += int(known.sum())
        # NaN has many patterns of bits, which software may exchange.
        self.bits += int(values[known].view(np.uint32).sum(dtype=np.uint64))


def _content_of(path: Path) -> _Content:
    """Read a file in pieces."""
    content = _Content()
    with rasterio.open(path) as dataset:
        for row in range(0, dataset.height, _READ_BACK):
            for col in range(0, dataset.width, _READ_BACK):
                height, width = min(_READ_BACK, dataset.height - row), min(_READ_BACK, dataset.width - col)
                content.add(dataset.read(1, window=RasterioWindow(col, row, width, height)))
    return content


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """What a file of a quantity says of itself."""

    path: str
    grid: Grid
    quantity: Quantity
    tags: dict[str, str]
    """Provenance: eoseg's version, checkpoint, scene, options, and whether the map is exact."""


def read_value_info(path: str | Path) -> ValueInfo:
    """Read what a file of a quantity says of itself.

    Raises:
        DataError: The file is missing, is no raster, or holds no quantity that eoseg wrote.
    """
    with open_dataset(str(path)) as dataset:
        tags = {key: value for key, value in dataset.tags().items() if key.startswith("EOSEG_")}
    kind = tags.pop(_KIND, None)
    try:
        quantity = Quantity(**json.loads(tags.pop(_QUANTITY))) if kind == "values" else None
    except (KeyError, TypeError, ValueError):
        quantity = None
    if quantity is None:
        held = f"holds {kind}" if kind and kind != "values" else "does not name its quantity"
        raise DataError(
            f"'{path}' {held}; expected a map of a quantity. Make one with 'eoseg predict' and a regression "
            "checkpoint."
        )
    with Scene(path) as scene:
        return ValueInfo(str(path), scene.grid, quantity, tags)


def _profile(grid: Grid, block: int) -> dict[str, Any]:
    compressed = block % 16 == 0
    size = block if compressed else COG_BLOCK
    return {
        "driver": "GTiff",
        "dtype": "float32",
        "nodata": np.nan,
        "count": 1,
        "height": grid.height,
        "width": grid.width,
        "crs": grid.crs,
        "transform": grid.transform,
        "tiled": True,
        "blockxsize": size,
        "blockysize": size,
        "compress": "DEFLATE" if compressed else "NONE",
        "zlevel": 1,  # the part file lives for one run
        "sparse_ok": True,
        "bigtiff": "IF_SAFER",
    }


def _area(window: Window) -> RasterioWindow:
    return RasterioWindow(window.col, window.row, window.width, window.height)
