"""Label rasters: class values or colours in, class indices out.

A label reader gives, for a window, the index of each pixel's class or `IGNORE`. Rasters are read here,
polygons in `eoseg.geo.vectors`; `open_labels` takes either.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from eoseg.errors import ConfigError, DataError
from eoseg.geo.grid import Grid
from eoseg.geo.scene import gdal_message, open_dataset
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE, MapClass, format_color, parse_color

type LabelEncoding = Literal["values", "colors"]
"""Whether label rasters hold class values or the classes' colours."""

VECTOR_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".gml", ".kml")
"""Endings of files that are read as vectors."""

_STRIP = 512
"""Rows that are read at once where a whole file is looked through."""


class LabelReader(Protocol):
    """Whatever gives class indices for windows of one scene."""

    path: str

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class indices or `IGNORE`, `(height, width)`; `IGNORE` outside the scene."""

    def close(self) -> None:
        """Close the file."""


def is_vector(path: str | Path) -> bool:
    """Whether a path names a vector file, by its ending."""
    return str(path).lower().endswith(VECTOR_SUFFIXES)


def open_labels(
    path: str | Path,
    *,
    grid: Grid,
    image: str,
    classes: Sequence[MapClass],
    encoding: LabelEncoding = "values",
    ignore: Sequence[int | str] = (),
    attribute: str | None = None,
) -> LabelReader:
    """Open labels of either kind for one scene or map.

    Args:
        path: A raster on the scene's grid, or a vector file in any CRS.
        grid: The grid of the scene or map.
        image: Its path, for messages.
        classes: The classes, in the order of their indices.
        encoding: What a raster holds.
        ignore: Values, colours, attribute values or layers that mean "no label".
        attribute: For vectors, the attribute that holds the class; None: one layer per class.

    Raises:
        DataError: The file is missing, on another grid, without CRS, or has no such attribute.
        ConfigError: An option does not suit the file.
    """
    if is_vector(path):
        from eoseg.geo.vectors import read_polygons  # geopandas takes a second to import

        if encoding != "values":
            raise ConfigError(f"label_encoding '{encoding}' is for rasters, but '{path}' is a vector file.")
        polygons = read_polygons([str(path)], classes=classes, attribute=attribute, ignore=ignore)
        return polygons.on(grid, image=image)
    if attribute is not None:
        raise ConfigError(f"attribute '{attribute}' is for vector files, but '{path}' is a raster.")
    labels = RasterLabels(path, classes=classes, encoding=encoding, ignore=ignore)
    try:
        grid.require_same(labels.grid, this=image, that=labels.path)
    except DataError:
        labels.close()
        raise
    return labels


class RasterLabels:
    """An open label raster. Use it in one thread; close it."""

    def __init__(
        self,
        path: str | Path,
        *,
        classes: Sequence[MapClass],
        encoding: LabelEncoding = "values",
        ignore: Sequence[int | str] = (),
    ) -> None:
        """Open a label raster.

        Args:
            path: A raster with one band of class values, or an RGB, RGBA or paletted raster.
            classes: The classes, in the order of their indices.
            encoding: "values": a pixel holds one of `MapClass.values`. "colors": its `color`.
            ignore: Values ("values") or "#RRGGBB" colours ("colors") that mean "no label". The file's
                nodata value, transparent pixels and, unless a class has it, the value 255 mean so too.

        Raises:
            DataError: The file is missing, is no raster, or does not suit the encoding.
            ConfigError: `ignore` or the classes' values do not suit the encoding, or contradict.
        """
        self.path = str(path)
        self._colors = encoding == "colors"
        self._class_list = tuple(classes)
        known = _color_codes(classes, ignore) if self._colors else _value_codes(classes, ignore)
        self._codes = np.array(sorted(known), np.int64)
        self._classes = np.array([known[code] for code in sorted(known)], np.uint8)
        self._dataset = open_dataset(self.path)
        try:
            self._describe()
        except BaseException:
            self._dataset.close()
            raise

    def _describe(self) -> None:
        dataset = self._dataset
        self.grid = Grid(dataset.crs, dataset.transform, dataset.height, dataset.width)
        self.block_shape: tuple[int, int] = dataset.block_shapes[0]
        kinds = dataset.colorinterp
        self._alpha = kinds.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in kinds else None
        self._bands = [n for n, kind in enumerate(kinds, start=1) if kind != ColorInterp.alpha]
        self._palette: NDArray[np.int64] | None = None
        self._nodata: float | None = dataset.nodatavals[self._bands[0] - 1]
        if self._colors:
            self._describe_colors()
        else:
            self._describe_values()
        if self._nodata is not None and self._palette is None:
            self._refuse_nodata_that_is_a_class(self._nodata)
        self._table = self._make_table()

    def _make_table(self) -> NDArray[np.int16] | None:
        """The class of each value that a file of small integers can hold, -1 for those of no class.

        It takes a tenth of the time of a search for each pixel. None for other files.
        """
        dtype = np.dtype(self._dataset.dtypes[self._bands[0] - 1])
        if self._colors or self._alpha is not None or dtype.kind not in "iu" or dtype.itemsize > 2:
            return None
        values = np.arange(256**dtype.itemsize).astype(f"u{dtype.itemsize}").view(dtype)
        codes = values.astype(np.int64)
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        table = np.where(self._codes[places] == codes, self._classes[places].astype(np.int16), -1)
        if self._nodata is not None:
            table[values == np.asarray(self._nodata).astype(dtype)] = IGNORE
        return table

    def _describe_colors(self) -> None:
        dataset, first = self._dataset, self._bands[0]
        if dataset.dtypes[0] != "uint8" or len(self._bands) not in (1, 3):
            raise DataError(
                f"'{self.path}' has {len(self._bands)} bands of {dataset.dtypes[0]}; colour-coded labels are "
                "RGB, RGBA or paletted with 8 bits. For class values set label_encoding: values."
            )
        if len(self._bands) == 1:
            if dataset.colorinterp[first - 1] != ColorInterp.palette:
                raise DataError(
                    f"'{self.path}' has one band without a colour table, so it holds no colours. Set "
                    "label_encoding: values."
                )
            self._palette = np.full(256, -1, np.int64)
            for index, (red, green, blue, alpha) in dataset.colormap(first).items():
                self._palette[index] = _pack(red, green, blue) if alpha else -1

    def _describe_values(self) -> None:
        if len(self._bands) != 1:
            raise DataError(
                f"'{self.path}' has {len(self._bands)} bands; labels as class values have one. If it shows "
                "the classes' colours, set label_encoding: colors."
            )
        if np.dtype(self._dataset.dtypes[0]).kind == "c":
            raise DataError(f"'{self.path}' holds complex numbers; labels are integers.")

    def _refuse_nodata_that_is_a_class(self, nodata: float) -> None:
        code = _pack(int(nodata), int(nodata), int(nodata)) if self._colors else nodata
        place = np.flatnonzero(self._codes == code)
        if place.size and self._classes[place[0]] != IGNORE:
            name = self._class_list[self._classes[place[0]]].name
            raise DataError(
                f"'{self.path}' declares {nodata:g} as nodata, but {nodata:g} stands for the class '{name}'. "
                f"If it is the class, remove the declaration: rio edit-info --unset-nodata '{self.path}'; "
                "if it means no label, take it from the class."
            )

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class indices or `IGNORE`, `(height, width)`; `IGNORE` outside the raster.

        Raises:
            DataError: The file cannot be read there, or holds a value or colour that is no class's.
        """
        labels = np.full((window.height, window.width), IGNORE, np.uint8)
        inside = window.intersection(self.grid.window)
        if inside is None:
            return labels
        if self._table is not None:
            raw = self._read_raw(inside)[0]
            found = self._table[raw.view(f"u{raw.dtype.itemsize}")]
            if found.min() >= 0:
                labels[inside.slices_in(window)] = found
                return labels
        codes, known = self._read_codes(inside)
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        strange = known & (self._codes[places] != codes)
        if strange.any():
            raise self._strange(codes, strange, inside)
        labels[inside.slices_in(window)] = np.where(known, self._classes[places], IGNORE)
        return labels

    def _read_codes(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Values or packed colours, and where the file has any."""
        raw = self._read_raw(window)  # (bands, h, w)
        known = np.ones(raw.shape[1:], np.bool_)
        if self._alpha is not None:
            known &= raw[-1] > 0
            raw = raw[:-1]
        if self._nodata is not None:
            known &= (raw != np.asarray(self._nodata).astype(raw.dtype)).any(axis=0)
        if self._palette is not None:
            codes = self._palette[raw[0]]
            return codes, known & (codes >= 0)
        if self._colors:
            red, green, blue = raw.astype(np.int64)
            return _pack(red, green, blue), known
        if raw.dtype.kind == "f":
            known &= np.isfinite(raw[0])
            self._refuse_fractions(raw[0], known, window)
            raw = np.where(known, raw, 0)
        return raw[0].astype(np.int64), known

    def _read_raw(self, window: Window) -> NDArray[Any]:
        """What the file holds, `(bands, h, w)`, with its alpha band last where it has one."""
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        bands = self._bands if self._alpha is None else [*self._bands, self._alpha]
        try:
            raw: NDArray[Any] = self._dataset.read(bands, window=area)
        except (RasterioError, ValueError) as error:
            raise DataError(
                f"'{self.path}' cannot be read at rows {window.row} to {window.row_stop - 1}: "
                f"{gdal_message(error)}. The file may be truncated: copy or download it again."
            ) from error
        return raw

    def _refuse_fractions(self, values: NDArray[Any], known: NDArray[np.bool_], window: Window) -> None:
        broken = known & (values != np.round(values))
        if broken.any():
            row, col = np.argwhere(broken)[0]
            raise DataError(
                f"'{self.path}' has the label {values[row, col]:g} at row {window.row + row}, column "
                f"{window.col + col}; labels are whole numbers. Was it resampled bilinearly? Resample "
                "labels with nearest."
            )

    def _strange(self, codes: NDArray[np.int64], strange: NDArray[np.bool_], window: Window) -> DataError:
        if self._colors:
            return self._strange_color()
        row, col = np.argwhere(strange)[0]
        held = ", ".join(
            f"{entry.name} ({', '.join(str(value) for value in entry.values)})" for entry in self._class_list
        )
        return DataError(
            f"'{self.path}' has the label value {codes[row, col]} at row {window.row + row}, column "
            f"{window.col + col}, which no class has: {held}. Give it to a class, or list it under 'ignore'."
        )

    def _strange_color(self) -> DataError:
        """Look through the whole file, so that the message can say how much of it is concerned."""
        found: Counter[int] = Counter()
        for window in _strips(self.grid):
            codes, known = self._read_codes(window)
            values, counts = np.unique(codes[known & ~np.isin(codes, self._codes)], return_counts=True)
            found.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        code, count = found.most_common(1)[0]
        color = (code >> 16, code >> 8 & 255, code & 255)
        nearest = min(
            self._class_list,
            key=lambda entry: sum((a - b) ** 2 for a, b in zip(entry.color, color, strict=True)),
        )
        others = f" and {len(found) - 1} more such colours" if len(found) > 1 else ""
        blurred = " Labels must not be JPEG-compressed or smoothed." if len(found) > 20 else ""
        return DataError(
            f"'{self.path}' has the colour {format_color(color)} in {count} pixels{others}, which no class "
            f"has; the nearest is {nearest.name} with {format_color(nearest.color)}. Correct the classes' "
            f"colours, or list it under 'ignore'.{blurred}"
        )

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()


def _value_codes(classes: Sequence[MapClass], ignore: Sequence[int | str]) -> dict[int, int]:
    """Label value to class index."""
    codes: dict[int, int] = {}
    for index, entry in enumerate(classes):
        for value in entry.values:
            if not isinstance(value, int):
                raise ConfigError(
                    f"Class '{entry.name}' has the label value '{value}', but label rasters hold integers. "
                    "Give the raster value of the class."
                )
            codes[value] = index
    for value in ignore:
        if not isinstance(value, int):
            raise ConfigError(
                f"'ignore' lists '{value}', but label rasters with values hold integers. List values, or "
                "set label_encoding: colors."
            )
        if value in codes:
            raise ConfigError(f"'ignore' lists {value}, which is '{classes[codes[value]].name}'. Remove one.")
    return {IGNORE: IGNORE} | codes | {int(value): IGNORE for value in ignore}


def _color_codes(classes: Sequence[MapClass], ignore: Sequence[int | str]) -> dict[int, int]:
    """Packed colour to class index."""
    codes = {_pack(*entry.color): index for index, entry in enumerate(classes)}
    for value in ignore:
        if not isinstance(value, str):
            raise ConfigError(
                f"'ignore' lists {value}, but with label_encoding: colors labels are colours. Write it "
                "as '#RRGGBB'."
            )
        code = _pack(*parse_color(value))
        if codes.get(code, IGNORE) != IGNORE:
            raise ConfigError(f"'ignore' lists {value}, which is '{classes[codes[code]].name}'. Remove one.")
        codes[code] = IGNORE
    return codes


def _pack[T: (int, NDArray[np.int64])](red: T, green: T, blue: T) -> T:
    return (red << 16) | (green << 8) | blue


def _strips(grid: Grid) -> Iterator[Window]:
    for row in range(0, grid.height, _STRIP):
        yield Window(row, 0, min(_STRIP, grid.height - row), grid.width)
