"""Writing a raster of any size, window by window, as a Cloud Optimized GeoTIFF.

The way of a file: `NAME.part` (a tiled GeoTIFF, written window by window) -> `NAME.cog.part` (made from
it by GDAL's COG driver, with overviews) -> read back and compared with what was written -> renamed to
`NAME`. Whatever fails, even Ctrl-C, leaves nothing behind and an older file of that name as it was.
"""

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from xml.sax.saxutils import escape

import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # raised by rasterio.shutil.copy and by nothing public
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from eoseg.errors import OutputError
from eoseg.geo.grid import Grid
from eoseg.geo.scene import gdal_message
from eoseg.geo.tally import ByteTally, FloatTally
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

COG_BLOCK = 512
"""Height and width of the blocks of the finished file in pixels."""

_READ_BACK = 4 * COG_BLOCK


@dataclass(frozen=True, slots=True)
class Layout:
    """What the values of the raster mean."""

    bands: tuple[str, ...]
    """Descriptions of the bands."""
    overviews: Literal["MODE", "AVERAGE"]
    """How overviews are made: MODE for classes, AVERAGE for quantities."""
    tags: Mapping[str, str]
    """Metadata that says what the values are."""
    colors: Mapping[int, tuple[int, int, int]] | None = None
    """Colour of each value; None for no colour table."""
    categories: tuple[str, ...] | None = None
    """Name of each value from 0 on, for QGIS and GDAL, which keep them beside the file."""
    scale: float | None = None
    """What a stored value is multiplied with to get its meaning."""
    unit: str | None = None
    """Of the values, such as "m"."""
    cells: type[ByteTally | FloatTally] = ByteTally
    """What kind of numbers the values are."""


class CogWriter:
    """Write a COG: `write` windows, `build` the file, `publish` it under its name.

    Use it as a context manager: what is not published when the block ends is removed.
    """

    def __init__(
        self, path: str | Path, grid: Grid, layout: Layout, *, block: int = COG_BLOCK, overwrite: bool = False
    ) -> None:
        """Begin the part file.

        Args:
            path: Where the finished file will be.
            grid: Its CRS, transform and size.
            layout: What its values mean.
            block: Height and width of the part file's blocks: best a divisor of the windows' lattice.
                Where it is no multiple of 16, blocks have the usual size and are not compressed, so
                that writing one in pieces costs no space.
            overwrite: Replace an existing file, at the very end.

        Raises:
            OutputError: The file exists, or nothing can be written there.
        """
        self.path = Path(path)
        self.grid = grid
        self.layout = layout
        self.written: Any = layout.cells()
        """What was written so far, over all bands."""
        self._part = _beside(self.path, ".part")
        self._cog = _beside(self.path, ".cog.part")
        self._sidecar = _beside(self.path, ".aux.xml.part")
        require_writable(self.path, overwrite=overwrite)
        compressed = block % 16 == 0
        size = block if compressed else COG_BLOCK
        self._dataset: rasterio.io.DatasetWriter | None = None
        try:
            with self._told("begun"), quiet_georeference():
                self._dataset = rasterio.open(
                    self._part,
                    "w",
                    driver="GTiff",
                    dtype=layout.cells.dtype,
                    nodata=layout.cells.nodata,
                    count=len(layout.bands),
                    height=grid.height,
                    width=grid.width,
                    crs=grid.crs,
                    transform=grid.transform,
                    tiled=True,
                    blockxsize=size,
                    blockysize=size,
                    compress="DEFLATE" if compressed else "NONE",
                    zlevel=1,  # the part file lives for one run
                    interleave="band",
                    sparse_ok=True,
                    bigtiff="IF_SAFER",
                )
                self._annotate(self._dataset)
        except BaseException:
            self.abort()
            raise

    def _annotate(self, dataset: Any) -> None:
        for number, name in enumerate(self.layout.bands, start=1):
            dataset.set_band_description(number, name)
        if self.layout.colors is not None:
            opaque = {value: (*color, 255) for value, color in self.layout.colors.items()}
            dataset.write_colormap(1, {**opaque, IGNORE: (0, 0, 0, 0)})
        if self.layout.scale is not None:
            dataset.scales = (self.layout.scale,) * len(self.layout.bands)
        if self.layout.unit is not None:
            dataset.units = (self.layout.unit,) * len(self.layout.bands)

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write a window of all bands.

        Args:
            window: Where, inside the grid; no pixel may be written twice.
            values: `(bands, height, width)`, or `(height, width)` for one band: integers 0 to 255, or floats
                with NaN where there is no value, as the layout says.

        Raises:
            OutputError: The values do not fit the window or the layout, or the disk is full.
        """
        array = values if values.ndim == 3 else values[None]
        if array.shape != (len(self.layout.bands), window.height, window.width):
            raise OutputError(
                f"A window of {len(self.layout.bands)} x {window.height} x {window.width} values is written "
                f"at once; found an array of {' x '.join(map(str, values.shape))}."
            )
        if not self.grid.window.contains(window):
            raise OutputError(f"'{self.path}' has no pixels at {window}; write inside its grid only.")
        if self._dataset is None:
            raise OutputError(f"'{self.path}' is already built; write before.")
        stored = self.written.store(array, self.path, window)
        self.written.add(stored)
        with self._told("written"):
            self._dataset.write(stored, window=_area(window))

    def build(self, tags: Mapping[str, str]) -> None:
        """Close the part file, make the COG from it and make sure that it holds what was written.

        Args:
            tags: Metadata for the file, beside the layout's: where it comes from.

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
                PREDICTOR=self.layout.cells.predictor,
                BLOCKSIZE=str(COG_BLOCK),
                OVERVIEW_RESAMPLING=self.layout.overviews,
                BIGTIFF="IF_SAFER",
            )
            found = _read_back(self._cog, self.layout.cells())
            if self.layout.categories is not None:
                self._sidecar.write_text(_category_xml(self.layout.categories), encoding="utf-8")
        # GDAL may learn that a disk is full when it closes a file, where nothing is raised any more.
        if found != self.written:
            raise OutputError(
                f"'{self.path}' does not hold what was written to it. The disk may be full or failing: "
                "check it, then run again."
            )
        self._part.unlink()

    def publish(self) -> None:
        """Give the built file its name.

        Raises:
            OutputError: The file was not built, or cannot be renamed.
        """
        if not self._cog.exists():
            raise OutputError(f"'{self.path}' must be built before it is published.")
        target = _beside(self.path, ".aux.xml")
        with self._told("put in place"):
            # The sidecar first: a file under its own name is complete.
            if self._sidecar.exists():
                self._sidecar.replace(target)
            else:
                target.unlink(missing_ok=True)  # of a file that is replaced
            with self._cog.open("rb") as file:
                os.fsync(file.fileno())
            self._cog.replace(self.path)

    def abort(self) -> None:
        """Remove all that is not published."""
        if self._dataset is not None:
            with suppress(RasterioError, CPLE_BaseError):  # it is thrown away
                self._dataset.close()
            self._dataset = None
        names = (self._part.name, self._cog.name, self._sidecar.name)
        if self.path.parent.is_dir():
            for leftover in self.path.parent.iterdir():  # GDAL's temporary overviews too
                ours = leftover.name in names or leftover.name.startswith(tuple(f"{name}." for name in names))
                if ours and leftover.is_file():
                    leftover.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """Turn what GDAL and the system raise into one line."""
        try:
            yield
        except (RasterioError, CPLE_BaseError, OSError) as error:
            free = shutil.disk_usage(self.path.parent).free / 2**20 if self.path.parent.is_dir() else 0.0
            raise OutputError(
                f"'{self.path}' could not be {done}: {gdal_message(error).rstrip('.')}. Its disk has "
                f"{free:,.0f} MB left; check space and permission, or choose another place with --out."
            ) from error


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Make sure, before any work, that a file can be written.

    Args:
        path: The file.
        overwrite: Whether it may exist.

    Raises:
        OutputError: The folder is missing or read-only, or the file exists.
    """
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder; name a file in it, such as '{path / 'map.tif'}'.")
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder '{path.parent}' to write '{path.name}' to. Make it first.")
    if path.exists() and not overwrite:
        raise OutputError(f"'{path}' exists already. Choose another name, or replace it with --overwrite.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"The folder '{path.parent}' is read-only for you. Choose another with --out.")


def _read_back(path: Path, tally: ByteTally | FloatTally) -> ByteTally | FloatTally:
    """Add all that a raster holds to an empty tally, in pieces."""
    with rasterio.open(path) as dataset:
        for row in range(0, dataset.height, _READ_BACK):
            for col in range(0, dataset.width, _READ_BACK):
                height, width = min(_READ_BACK, dataset.height - row), min(_READ_BACK, dataset.width - col)
                for number in dataset.indexes:
                    tally.add(dataset.read(number, window=RasterioWindow(col, row, width, height)))
    return tally


def _category_xml(names: tuple[str, ...]) -> str:
    """GDAL's sidecar with a name for each value: a TIFF itself has no place for them.

    https://gdal.org/en/stable/user/raster_data_model.html (category names)
    """
    lines = "".join(f"      <Category>{escape(name)}</Category>\n" for name in names)
    return (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n'
        f"{lines}    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )


@contextmanager
def quiet_georeference() -> Iterator[None]:
    """A scene without georeference gets a map without: no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _area(window: Window) -> RasterioWindow:
    return RasterioWindow(window.col, window.row, window.width, window.height)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
