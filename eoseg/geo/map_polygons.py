"""From a map of classes to a file of polygons."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio import DatasetReader
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.geo.cog import require_writable
from eoseg.geo.mapfile import PROBABILITY_STEPS, MapInfo, map_kind, probability_path, read_map_info
from eoseg.geo.pixel_area import AreaUnit, PixelArea
from eoseg.geo.polygon_file import PolygonRows, PolygonSchema, require_suffix, write_polygons
from eoseg.geo.polygons import Polygons, PolygonTracer
from eoseg.geo.scene import gdal_message, open_dataset
from eoseg.geo.settings import gdal_settings
from eoseg.geo.simplify import simplified_corners
from eoseg.geo.window import Window
from eoseg.progress import Progress
from eoseg.recipe import IGNORE, MapClass

_STRIP_PIXELS = 2**22
_STRIP_ROWS = (64, 1024)
"""Least and most rows of a strip."""
_ROWS_AT_ONCE = 10_000
"""Polygons that are turned into bytes at a time."""


@dataclass(frozen=True, slots=True)
class VectorizeOptions:
    """What becomes a polygon, and how."""

    min_area: float = 0.0
    """Smaller polygons are left out, in the unit of the area: m2, or pixels without a CRS."""
    simplify: float = 0.0
    """Tolerance in units of the CRS; 0 keeps the edges of the pixels. See `simplified_corners`."""
    classes: tuple[str, ...] | None = None
    """Names of the classes that become polygons; None for all."""
    probabilities: Path | None = None
    """The probabilities of the map; by default those beside it where there are any."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("min_area", "simplify"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be a number of at least 0, found {value:g}.")


@dataclass(frozen=True, slots=True)
class Vectorized:
    """What was written."""

    path: Path
    classes: tuple[MapClass, ...]
    """Those that were wanted."""
    counts: tuple[int, ...]
    """Polygons of each of them."""
    areas: tuple[float, ...]
    """Their area, class by class."""
    unit: AreaUnit
    """Of areas."""
    left_out: int
    """Polygons that were smaller than wanted."""
    left_out_area: float
    probabilities: Path | None
    """Where the probabilities came from."""


def vectorize_map(
    map_path: Path,
    out: Path,
    *,
    options: VectorizeOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Vectorized:
    """Write the polygons of a map of classes.

    A polygon is all pixels of one class that are connected over their sides; "no value" makes none.
    The map is read once, strip by strip: see `eoseg.geo.polygons` for the memory.

    Args:
        map_path: A map that `eoseg predict` wrote.
        out: The file, .gpkg or .parquet.
        options: See `VectorizeOptions`.
        progress: Is called after each strip.

    Raises:
        ConfigError: There is no such class, or the file has another suffix.
        DataError: The map is no map of classes, or the probabilities are not those of the map.
        GridError: The probabilities are on another grid.
        OutputError: The file exists or cannot be written.
    """
    chosen = options or VectorizeOptions()
    require_suffix(out)
    require_writable(out, overwrite=chosen.overwrite)
    _require_classes(map_path)
    info = read_map_info(map_path)
    probabilities = _find_probabilities(info, chosen.probabilities)
    job = _Job(info, chosen, probabilities, progress)
    area = f"area_{job.area.unit}"
    schema = PolygonSchema(info.classes, info.grid.crs, area, has_probability=probabilities is not None)
    with gdal_settings():
        write_polygons(out, map_path.stem, schema, job.rows())
    return Vectorized(
        path=out,
        classes=tuple(info.classes[index] for index in job.wanted),
        counts=tuple(int(job.counts[index]) for index in job.wanted),
        areas=tuple(float(job.areas[index]) for index in job.wanted),
        unit=job.area.unit,
        left_out=job.left_out,
        left_out_area=job.left_out_area,
        probabilities=probabilities,
    )


class _Job:
    """One map on its way to polygons."""

    def __init__(
        self,
        info: MapInfo,
        options: VectorizeOptions,
        probabilities: Path | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.area = PixelArea(info.grid)
        self.counts = np.zeros(len(info.classes), np.int64)
        self.areas = np.zeros(len(info.classes))
        self.left_out = 0
        self.left_out_area = 0.0
        self._info = info
        self._options = options
        self._probabilities = probabilities
        self._progress = progress
        self.wanted = _class_indices(info, options.classes)
        """Indices of the classes that become polygons."""

    def rows(self) -> Iterator[PolygonRows]:
        """All polygons that are wanted."""
        grid = self._info.grid
        layers = (self.area.constant is None) + 2 * (self._probabilities is not None)
        tracer = PolygonTracer(
            grid.width, outside=IGNORE, transform=grid.transform, values=self.wanted, layers=layers
        )
        least, most = _STRIP_ROWS
        step = min(max(_STRIP_PIXELS // grid.width, least), most)
        with ExitStack() as stack:
            classes = stack.enter_context(open_dataset(self._info.path))
            steps = None
            if self._probabilities is not None:
                steps = stack.enter_context(open_dataset(str(self._probabilities)))
            for row in range(0, grid.height, step):
                window = Window(row, 0, min(step, grid.height - row), grid.width)
                values = _read(classes, 1, window)
                _require_known(values, self._info)
                polygons = tracer.add(
                    values,
                    self._layers(values, steps, window),
                    vertices=self._vertices(values),
                    last=window.row_stop == grid.height,
                )
                yield from self._select(polygons)
                if self._progress is not None:
                    self._progress(Progress(window.row_stop * grid.width, grid.height * grid.width))

    def _vertices(self, values: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        if self._options.simplify == 0:
            return None
        return simplified_corners(values, self._options.simplify, self._info.grid.pixel_size)

    def _layers(
        self, values: NDArray[np.uint8], steps: DatasetReader | None, window: Window
    ) -> list[NDArray[Any]]:
        """What is summed up over each polygon: the area, the probability of the class, where it is known."""
        layers: list[NDArray[Any]] = []
        if self.area.constant is None:
            layers.append(self.area.of_rows(window.row, window.height))
        if steps is not None:
            own = np.full_like(values, IGNORE)
            for index in np.unique(values[values != IGNORE]):
                holds = values == index
                own[holds] = _read(steps, int(index) + 1, window)[holds]
            known = own != IGNORE
            own[~known] = 0
            layers += [own, known]
        return layers

    def _select(self, polygons: Polygons) -> Iterator[PolygonRows]:
        """Leave out the small ones, count, and hand on in pieces."""
        if self.area.constant is None:
            areas = polygons.sums[:, 0]
        else:
            areas = polygons.pixels.astype(np.float64) * self.area.constant
        small = areas < self._options.min_area
        self.left_out += int(small.sum())
        self.left_out_area += float(areas[small].sum())
        kept = np.flatnonzero(~small)
        count = len(self.counts)
        self.counts += np.bincount(polygons.values[kept], minlength=count)
        self.areas += np.bincount(polygons.values[kept], areas[kept], count)
        probabilities = None
        if self._probabilities is not None:
            steps, known = polygons.sums[:, -2:].T
            probabilities = np.full(len(known), np.nan)
            np.divide(steps, known * PROBABILITY_STEPS, out=probabilities, where=known > 0)
        for first in range(0, len(kept), _ROWS_AT_ONCE):
            some = kept[first : first + _ROWS_AT_ONCE]
            yield PolygonRows(
                polygons.shapes[some],
                polygons.values[some],
                areas[some],
                None if probabilities is None else probabilities[some],
            )


def _require_classes(map_path: Path) -> None:
    """Refuse what holds something else than one class per pixel."""
    kind = map_kind(map_path)
    if kind == "values":
        raise DataError(
            f"'{map_path}' holds a quantity, one number per pixel; expected a map of classes. Give one, "
            "or draw contours with gdal_contour."
        )
    if kind == "labels":
        names = ", ".join(entry.name for entry in read_map_info(map_path, kind="labels").classes)
        raise DataError(
            f"'{map_path}' holds several labels per pixel ({names}), whose areas may overlap; expected a map "
            "of classes. Give a map of a checkpoint with one class per pixel."
        )


def _class_indices(info: MapInfo, names: tuple[str, ...] | None) -> list[int]:
    known = [entry.name for entry in info.classes]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"classes: {unknown_name(f"class in '{info.path}'", name, known)}")
    return [index for index, name in enumerate(known) if names is None or name in names]


def _find_probabilities(info: MapInfo, given: Path | None) -> Path | None:
    """The probabilities that go with a map, which are checked."""
    path = given or probability_path(Path(info.path))
    if given is None and not path.exists():
        return None
    found = read_map_info(path, kind="probabilities")
    info.grid.require_same(found.grid, this=info.path, that=str(path))
    ours, theirs = ([entry.name for entry in each.classes] for each in (info, found))
    if ours != theirs:
        raise DataError(
            f"'{path}' holds probabilities of {', '.join(theirs)}; the map '{info.path}' has "
            f"{', '.join(ours)}. Give those that were written with the map."
        )
    return path


def _require_known(values: NDArray[np.uint8], info: MapInfo) -> None:
    strange = values[(values >= len(info.classes)) & (values != IGNORE)]
    if strange.size:
        raise DataError(
            f"'{info.path}' holds the value {strange[0]}, but its classes are 0 to {len(info.classes) - 1}. "
            "Make the map again."
        )


def _read(dataset: DatasetReader, band: int, window: Window) -> NDArray[np.uint8]:
    area = RasterioWindow(window.col, window.row, window.width, window.height)
    try:
        values: NDArray[np.uint8] = dataset.read(band, window=area)
    except RasterioError as error:
        raise DataError(
            f"'{dataset.name}' cannot be read at rows {window.row} to {window.row_stop - 1}: "
            f"{gdal_message(error)}. The file may be truncated: copy it or make it again."
        ) from error
    return values
