"""Reading scenes: named bands in, raw values and validity out."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window as RasterioWindow

from eoseg.errors import BandError, DataError
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window
from eoseg.recipe import match_bands

_COLORS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
_REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi")


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
    ) -> None:
        """Open a scene.

        Args:
            path: A GeoTIFF, VRT or any raster that GDAL reads.
            bands: Names of the bands to read, in this order; all bands by default.
            band_names: Names for all bands of the file, in file order, instead of its own.
            nodata: Value that means "no value", before scale and offset, instead of the file's own.

        Raises:
            DataError: The file is missing, is no raster, or holds complex numbers.
            BandError: A band is not there, or `band_names` does not name each band once.
        """
        self.path = str(path)
        self._dataset = open_dataset(self.path)
        try:
            self._describe(bands, band_names, nodata)
        except BaseException:
            self._dataset.close()
            raise

    def _describe(
        self, bands: Sequence[str] | None, band_names: Sequence[str] | None, nodata: float | None
    ) -> None:
        dataset = self._dataset
        kinds = dataset.colorinterp
        numbers = [n for n, kind in enumerate(kinds, start=1) if kind != ColorInterp.alpha]
        if not numbers:
            raise BandError(f"'{self.path}' has no band beside its alpha band; expected an image.")
        if any(np.issubdtype(np.dtype(kind), np.complexfloating) for kind in dataset.dtypes):
            raise DataError(f"'{self.path}' holds complex numbers; expected integers or floats.")
        self.grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
        own = [_own_name(dataset.descriptions[n - 1], kinds[n - 1], n) for n in numbers]
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
        self.block_shape: tuple[int, int] = dataset.block_shapes[self._numbers[0] - 1]
        self.nodata = nodata if nodata is not None else dataset.nodatavals[self._numbers[0] - 1]
        self._nodata = [nodata if nodata is not None else dataset.nodatavals[n - 1] for n in self._numbers]
        flags = {flag for n in self._numbers for flag in dataset.mask_flag_enums[n - 1]}
        self._has_mask = bool(flags & {MaskFlags.alpha, MaskFlags.per_dataset}) and (
            MaskFlags.nodata not in flags
        )
        self._scales = _column([dataset.scales[n - 1] for n in self._numbers])
        self._offsets = _column([dataset.offsets[n - 1] for n in self._numbers])
        self._is_scaled = bool((self._scales != 1).any() or (self._offsets != 0).any())

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a window, which may reach outside the scene.

        Returns:
            `image`: float32 `(C, height, width)`, file values times scale plus offset; 0 where
            invalid. `valid`: bool `(height, width)`, True where every band has a finite value that
            is not nodata, and the pixel is inside the scene.

        Raises:
            DataError: The file cannot be read there, for example because it is truncated.
        """
        image = np.zeros((len(self._numbers), window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        inside = window.intersection(self.grid.window)
        if inside is None:
            return image, valid
        rows, cols = inside.slices_in(window)
        self._read_into(inside, image[:, rows, cols], valid[rows, cols])
        return image, valid

    def _read_into(self, window: Window, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Fill views of `image` and `valid`; the window lies inside the scene."""
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            raw = self._dataset.read(self._numbers, window=area)  # (C, h, w)
            valid[:] = True
            if self._has_mask:
                valid[:] = (self._dataset.read_masks(self._numbers, window=area) > 0).all(axis=0)
        except (RasterioError, ValueError) as error:
            raise DataError(
                f"'{self.path}' cannot be read at rows {window.row} to {window.row_stop - 1}: "
                f"{gdal_message(error)}. The file may be truncated: copy or download it again."
            ) from error
        for band, nodata in zip(raw, self._nodata, strict=True):
            if nodata is not None and _holds(band.dtype, nodata):
                # The value may have passed through text or float64: compare in the file's own type.
                valid &= band != np.asarray(nodata).astype(band.dtype)
        image[:] = raw
        if self._is_scaled:
            image *= self._scales
            image += self._offsets
        if raw.dtype.kind == "f":
            for band in image:
                valid &= np.isfinite(band)
        if not valid.all():
            image[:, ~valid] = 0

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
        DataError: The file is missing, is no raster or holds no band.
    """
    if not path.startswith(_REMOTE) and not Path(path).exists():
        raise DataError(f"There is no file '{path}'. Check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path)
    except RasterioIOError as error:
        raise DataError(f"'{path}' is not a raster that GDAL can read ({gdal_message(error)}).") from error
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


def _own_name(description: str | None, kind: ColorInterp, number: int) -> str:
    return (description or "").strip() or _COLORS.get(kind) or f"band_{number}"


def _column(values: Sequence[float]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)[:, None, None]


def gdal_message(error: BaseException) -> str:
    """GDAL's own words, in one line."""
    cause = error.__cause__ or error
    return " ".join(str(cause).split())
