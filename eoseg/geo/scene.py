"""Reading scenes: named bands in, raw values and validity out."""

import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window as RasterioWindow

from eoseg.errors import BandError, DataError, GridError
from eoseg.geo.grid import Grid
from eoseg.geo.remote import explain, may_be_missing, reads_remotely, shown
from eoseg.geo.settings import remote_settings
from eoseg.geo.window import Window
from eoseg.recipe import match_bands

_COLORS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
_EXACT_IN_FLOAT32 = ("uint8", "int8", "uint16", "int16", "float32")
type NodataPolicy = Literal["any", "all"]
"""Whether a pixel without a value in any band is invalid, or only one without a value in all bands."""


class Scene:
    """An open raster with named bands. Use it as a context manager, in one thread.

    A band's name is its description in the file; without one it is "red", "green" or "blue" where
    the file says so, else "band_1", "band_2" and so on. Alpha bands are validity, not bands.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        bands: Sequence[str] | None = None,
        band_names: Sequence[str] | None = None,
        nodata: float | None = None,
        nodata_policy: NodataPolicy = "any",
        fill: Sequence[float] | None = None,
    ) -> None:
        """Open a scene.

        Args:
            path: A GeoTIFF, VRT or any raster that GDAL reads.
            bands: Names of the bands to read, in this order; all bands by default.
            band_names: Names for all bands of the file, in file order, instead of its own.
            nodata: Value that means "no value", before scale and offset, instead of the file's own.
            nodata_policy: "any": a pixel is valid where all bands have a value. "all": where at least one
                has; the bands without one then hold their `fill`.
            fill: For each band that is read its value, after scale and offset, where a valid pixel has
                none in this band; 0 by default. The training mean is what a network takes for "nothing
                known", because `Normalize` makes 0 of it.

        Raises:
            DataError: The file is missing, is no raster, or holds complex numbers.
            BandError: A band is not there, or `band_names` does not name each band once.
            GridError: The file says that its pixels have no area.
        """
        self.path = str(path)
        self._is_remote = reads_remotely(self.path)
        self._dataset = open_dataset(self.path)
        try:
            self._describe(bands, band_names, nodata)
            self._needs_all = nodata_policy == "any"
            self._fill = [0.0] * len(self.bands) if fill is None else [float(value) for value in fill]
        except BaseException:
            self._dataset.close()
            raise

    def _describe(
        self, bands: Sequence[str] | None, band_names: Sequence[str] | None, nodata: float | None
    ) -> None:
        dataset = self._dataset
        named = own_bands(dataset)
        numbers, own = list(named), list(named.values())
        if not numbers:
            raise BandError(f"'{self.path}' has no band beside its alpha band; expected an image.")
        if any(np.issubdtype(np.dtype(kind), np.complexfloating) for kind in dataset.dtypes):
            raise DataError(f"'{self.path}' holds complex numbers; expected integers or floats.")
        self.grid = grid_of(dataset, path=self.path)
        self.has_band_names = any(not name.startswith("band_") for name in own)
        self.all_bands = list(band_names) if band_names is not None else own
        if len(self.all_bands) != len(numbers) or len(set(self.all_bands)) != len(self.all_bands):
            raise BandError(
                f"'{self.path}' has {len(numbers)} bands; the {len(self.all_bands)} band names given "
                f"({', '.join(self.all_bands)}) must name each once. Correct the band names."
            )
        self.bands = list(bands) if bands is not None else list(self.all_bands)
        places = match_bands(self.bands, self.all_bands, where=f"'{self.path}'")
        self._numbers = [numbers[place] for place in places]
        self.dtype = str(np.result_type(*(dataset.dtypes[n - 1] for n in self._numbers)))
        self._has_floats = np.dtype(self.dtype).kind == "f"
        # Of these types float32 holds every value, so that nodata may be looked for after the conversion.
        self._fits_float32 = self.dtype in _EXACT_IN_FLOAT32
        self.block_shape: tuple[int, int] = dataset.block_shapes[self._numbers[0] - 1]
        is_mixed = str(dataset.profile.get("interleave", "")).lower() == "pixel"
        decoded = range(1, dataset.count + 1) if is_mixed else self._numbers
        self.pixel_bytes = sum(np.dtype(dataset.dtypes[n - 1]).itemsize for n in decoded)
        """Of a pixel in the bands that are decoded together."""
        self.nodata = nodata if nodata is not None else dataset.nodatavals[self._numbers[0] - 1]
        self._nodata = [nodata if nodata is not None else dataset.nodatavals[n - 1] for n in self._numbers]
        flags = [dataset.mask_flag_enums[n - 1] for n in self._numbers]
        # Without any flag a band has a mask of its own, as in a VRT over files with masks.
        self._has_mask = any(kind not in ([MaskFlags.all_valid], [MaskFlags.nodata]) for kind in flags)
        # Where there is a nodata value GDAL's masks leave the alpha band out.
        alpha = [n for n in range(1, dataset.count + 1) if n not in named]
        self._alpha = alpha[0] if alpha and not self._has_mask else None
        self._scales = _column([dataset.scales[n - 1] for n in self._numbers])
        self._offsets = _column([dataset.offsets[n - 1] for n in self._numbers])
        self._is_scaled = bool((self._scales != 1).any() or (self._offsets != 0).any())

    @property
    def may_lack_values(self) -> bool:
        """Whether any pixel inside the scene can be invalid; False only where none can."""
        has_nodata = any(value is not None for value in self._nodata)
        return has_nodata or self._has_mask or self._alpha is not None or self._has_floats

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window, which may reach outside the scene.

        Returns:
            `image`: float32 `(C, height, width)`, file values times scale plus offset; 0 where
            invalid. `valid`: bool `(height, width)`, True where every band has a finite value that
            is not nodata (or any band, by `nodata_policy`), and the pixel is inside the scene.

        Raises:
            DataError: The file cannot be read there, for example because it is truncated.
        """
        shape, bands = (window.height, window.width), len(self._numbers)
        inside = window.intersection(self.grid.window)
        image = (np.empty if inside == window else np.zeros)((bands, *shape), np.float32)
        # Where a pixel needs all bands, one array is enough: each band takes from it what it lacks.
        known = np.zeros((1 if self._needs_all else bands, *shape), np.bool_)
        if inside is None:
            return image, known[0]
        rows, cols = inside.slices_in(window)
        self._read_into(inside, image[:, rows, cols], known[:, rows, cols])
        valid = known[0]
        if not self._needs_all:
            valid = known.any(axis=0)
            _fill_gaps(image, known, self._fill)
        if not valid.all():
            _fill_gaps(image, [valid] * bands, [0.0] * bands)
        return image, valid

    def _read_into(self, window: Window, image: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Fill views of the image and of what is known of it; the window lies inside the scene."""
        # GDAL converts while it copies.
        raw: NDArray[Any] = image if self._fits_float32 else np.empty(image.shape, self.dtype)
        masks = self._read_file(window, raw)
        known[:] = True
        each = list(known) * (len(raw) // len(known))
        for has_value, mask in zip(each, masks, strict=False):
            has_value &= mask > 0
        for band, has_value, nodata in zip(raw, each, self._nodata, strict=True):
            if nodata is not None and _holds(np.dtype(self.dtype), nodata):
                # The value may have passed through text or float64: compare in the file's own type.
                has_value &= band != np.asarray(nodata).astype(band.dtype)
        if raw is not image:
            image[:] = raw
        if self._is_scaled:
            image *= self._scales
            image += self._offsets
        if self._has_floats:
            for band, has_value in zip(image, each, strict=True):
                has_value &= np.isfinite(band)

    def _read_file(self, window: Window, into: NDArray[Any]) -> Sequence[NDArray[np.uint8]]:
        """Read what is in the file, `(C, h, w)`, and for each band its mask `(h, w)`, where there are any."""
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            with remote_settings(needed=self._is_remote):
                self._dataset.read(self._numbers, window=area, out=into)
                masks: Sequence[NDArray[np.uint8]] = []
                if self._has_mask:
                    masks = self._dataset.read_masks(self._numbers, window=area)
                elif self._alpha is not None:
                    masks = [self._dataset.read(self._alpha, window=area)] * len(into)
        except (RasterioError, ValueError) as error:
            message = gdal_message(error)
            remedy = "The file may be truncated: copy or download it again."
            if self._is_remote:
                remedy = "The connection may be lost, or credentials have expired: try again."
            raise DataError(
                f"'{shown(self.path)}' cannot be read at rows {window.row} to {window.row_stop - 1}: "
                f"{message}. {remedy}"
            ) from error
        return masks

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_all(path: str | Path) -> NDArray[np.generic]:
    """Read every band of a small raster as it is in the file, `(bands, height, width)`.

    Raises:
        DataError: The file is missing or is no raster.
    """
    with open_dataset(str(path)) as dataset:
        return np.asarray(dataset.read())


def open_dataset(path: str) -> rasterio.DatasetReader:
    """Open a raster with rasterio.

    Raises:
        DataError: The file is missing, is no raster or holds no band; or its server cannot be reached, or
            does not let us read.
    """
    if not may_be_missing(path) and not Path(path).exists():
        raise DataError(f"There is no file '{path}'. Check the path.")
    try:
        with warnings.catch_warnings(), remote_settings(needed=reads_remotely(path)):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path)
    except RasterioIOError as error:
        message = gdal_message(error)
        told = explain(path, message) if reads_remotely(path) else None
        raise DataError(told or f"'{shown(path)}' is not a raster that GDAL can read ({message}).") from error
    if dataset.count == 0:
        dataset.close()
        raise DataError(f"'{path}' holds no raster bands; it may be a container: name one of its parts.")
    return dataset


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether a value can occur in an array of this type (NaN is dealt with as not finite)."""
    if np.isnan(value):
        return False
    if dtype.kind == "f":
        return True
    info = np.iinfo(dtype)
    return float(value).is_integer() and info.min <= value <= info.max


def own_bands(dataset: rasterio.DatasetReader) -> dict[int, str]:
    """The bands of a file beside alpha: their numbers, from 1, and their own names."""
    return {
        number: (description or "").strip() or _COLORS.get(kind) or f"band_{number}"
        for number, (description, kind) in enumerate(
            zip(dataset.descriptions, dataset.colorinterp, strict=True), start=1
        )
        if kind != ColorInterp.alpha
    }


def grid_of(dataset: rasterio.DatasetReader, *, path: str) -> Grid:
    """The grid of an open file.

    Raises:
        GridError: Its pixels have no area, so that no place belongs to one pixel.
    """
    transform = dataset.transform
    if not math.isfinite(transform.determinant) or transform.determinant == 0:
        found = ", ".join(f"{value:g}" for value in transform[:6])
        raise GridError(
            f"'{shown(path)}' has pixels without area (transform {found}). "
            "Give it the right one: rio edit-info --transform '[...]', or gdal_edit.py -a_ullr."
        )
    return Grid(dataset.crs, transform, dataset.height, dataset.width)


def _fill_gaps(
    image: NDArray[np.float32], known: Iterable[NDArray[np.bool_]], values: Iterable[float]
) -> None:
    """Give the pixels of each band that have no value one."""
    for band, has_value, value in zip(image, known, values, strict=True):
        np.copyto(band, value, where=~has_value)


def _column(values: Sequence[float]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)[:, None, None]


def gdal_message(error: BaseException) -> str:
    """GDAL's own words, in one line."""
    cause = error.__cause__ or error
    return " ".join(str(cause).split())
