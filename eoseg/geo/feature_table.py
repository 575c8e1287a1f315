"""Tables of features with footprints: GeoParquet, written piece by piece, read by column.

GeoParquet 1.0.0 (https://geoparquet.org/releases/v1.0.0/) is a Parquet file whose metadata say where its
geometry is. GeoPandas writes a table at once; here rows come as they are computed, so that memory does not
grow with the scenes.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from eoseg.errors import ConfigError, DataError, OutputError, unknown_name
from eoseg.geo.cog import require_writable
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window

if TYPE_CHECKING:
    import pyarrow

LABEL, SCENE = "label", "scene"
"""Names of the columns that say what a row is, and where it comes from."""

_FEATURE = re.compile(r"f\d+")
_ROWS = 2048
"""Rows of a row group: with 2048 features 16 MB."""


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Some rows, all of one scene."""

    scene: str
    windows: Sequence[Window]
    """Where in the scene each row was seen."""
    footprints: NDArray[np.object_]
    """Polygons `(n,)` in the table's CRS."""
    valid: Sequence[float]
    """Share of the pixels that have a value, 0 to 1."""
    features: NDArray[np.float32]
    """`(n, D)`."""
    labels: Sequence[str | None] | None = None
    """Only in a table with labels; None where a row has none."""


class FeatureWriter:
    """Write a table: `write` rows, `publish` it under its name.

    Use it as a context manager: what is not published when the block ends is removed. Columns: scene, row
    and col (of the first pixel), valid, label where there are any, f000 and so on, geometry.
    """

    def __init__(
        self, path: Path, *, features: int, crs: CRS | None, labelled: bool, overwrite: bool = False
    ) -> None:
        """Begin the file.

        Args:
            path: Where the finished file will be.
            features: D, the number of features.
            crs: Of the footprints; None where they are in pixels.
            labelled: Whether there is a column of labels.
            overwrite: Replace an existing file, at the very end.

        Raises:
            OutputError: The file exists, or nothing can be written there.
        """
        import pyarrow
        from pyarrow import parquet

        require_writable(path, overwrite=overwrite)
        self.path = path
        self.rows = 0
        """Rows so far."""
        self._part = path.with_name(path.name + ".part")
        self.crs = crs
        """Of the footprints."""
        self._labelled = labelled
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._waiting: list[pyarrow.RecordBatch] = []
        digits = max(3, len(str(features - 1)))
        columns = [(SCENE, pyarrow.string()), ("row", pyarrow.int32()), ("col", pyarrow.int32())]
        columns += [("valid", pyarrow.float32())]
        columns += [(LABEL, pyarrow.string())] if labelled else []
        columns += [(f"f{number:0{digits}}", pyarrow.float32()) for number in range(features)]
        self._schema = pyarrow.schema([*columns, ("geometry", pyarrow.binary())])
        try:
            self._file = parquet.ParquetWriter(self._part, self._schema, compression="zstd")
        except OSError as error:
            raise self._told(error) from error

    @property
    def crs_name(self) -> str:
        """The CRS of the footprints, for people."""
        if self.crs is None:
            return "none (pixels)"
        code = self.crs.to_epsg()
        return f"EPSG:{code}" if code else str(self.crs.to_wkt())[:60]

    def write(self, rows: FeatureRows) -> None:
        """Add rows.

        Raises:
            OutputError: The disk is full.
        """
        import pyarrow

        count = len(rows.windows)
        columns: list[Any] = [
            [rows.scene] * count,
            [window.row for window in rows.windows],
            [window.col for window in rows.windows],
            list(rows.valid),
        ]
        if self._labelled:
            columns.append(list(rows.labels or [None] * count))
        columns += [np.ascontiguousarray(column) for column in rows.features.T]
        columns.append(shapely.to_wkb(rows.footprints).tolist())
        arrays = [
            pyarrow.array(column, type=entry.type)
            for column, entry in zip(columns, self._schema, strict=True)
        ]
        bounds = shapely.total_bounds(rows.footprints)
        self._bounds[:2] = np.minimum(self._bounds[:2], bounds[:2])
        self._bounds[2:] = np.maximum(self._bounds[2:], bounds[2:])
        self._waiting.append(pyarrow.record_batch(arrays, schema=self._schema))
        self.rows += count
        if sum(batch.num_rows for batch in self._waiting) >= _ROWS:
            self._flush()

    def publish(self, metadata: Mapping[str, str]) -> None:
        """Complete the file and give it its name.

        Args:
            metadata: How the table came about; kept in the file's metadata under "eoseg", as JSON.

        Raises:
            OutputError: The disk is full.
        """
        bounds = self._bounds.tolist() if self.rows else None
        own = {"geo": geoparquet_metadata(self.crs, bounds), "eoseg": json.dumps(dict(metadata))}
        self._flush()
        try:
            self._file.add_key_value_metadata(own)
            self._file.close()
            self._part.replace(self.path)
        except OSError as error:
            raise self._told(error) from error

    def _flush(self) -> None:
        import pyarrow

        if not self._waiting:
            return
        table = pyarrow.Table.from_batches(self._waiting)
        self._waiting = []
        try:
            self._file.write_table(table, row_group_size=len(table))
        except OSError as error:
            raise self._told(error) from error

    def _told(self, error: OSError) -> OutputError:
        return OutputError(
            f"'{self.path}' cannot be written: {error.strerror or error}. Check the folder and the free "
            "space."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # of a full disk, which was raised already
            self._file.close()
        self._part.unlink(missing_ok=True)


def geoparquet_metadata(crs: CRS | None, bounds: list[float] | None) -> str:
    """What makes a Parquet file with polygons as WKB in the column "geometry" a GeoParquet file.

    Args:
        crs: Of the polygons; None where they are in pixels.
        bounds: Least x and y, greatest x and y; None where there are no rows.

    Returns:
        The value of the key "geo", JSON.
    """
    import geopandas

    described = None
    if crs is not None:
        described = geopandas.GeoSeries([], crs=crs.to_wkt()).crs.to_json_dict()
    column = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": described, "edges": "planar"}
    if bounds is not None:
        column["bbox"] = bounds
    return json.dumps({"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}})


def common_crs(grids: Mapping[str, Grid]) -> CRS | None:
    """The CRS of the footprints of several scenes: theirs where it is one, else EPSG:4326.

    Args:
        grids: By the path of the scene.

    Raises:
        DataError: Some scenes have a CRS and some have none.
    """
    first, *others = grids.items()
    for path, grid in others:
        if (grid.crs is None) != (first[1].crs is None):
            with_crs, without = (first[0], path) if grid.crs is None else (path, first[0])
            raise DataError(
                f"'{with_crs}' has a CRS, '{without}' has none, so their footprints cannot lie in one table. "
                "Give all scenes a CRS (rio edit-info --crs), or make a table of each."
            )
    if all(grid.crs == first[1].crs for _, grid in others):
        return first[1].crs
    return CRS.from_epsg(4326)


def footprints_in(grid: Grid, windows: Sequence[Window], crs: CRS | None) -> NDArray[np.object_]:
    """Outlines of windows, as far as they lie inside the grid, as polygons in a CRS.

    Args:
        grid: Of the scene.
        windows: Each of them at least partly inside.
        crs: What `common_crs` gave.
    """
    parts = [window.intersection(grid.window) or window for window in windows]
    corners = np.array(
        [[(p.col, p.row), (p.col, p.row_stop), (p.col_stop, p.row_stop), (p.col_stop, p.row)] for p in parts],
        np.float64,
    )  # (n, 4, 2): x, y
    t = grid.transform
    matrix, origin = np.array([[t.a, t.d], [t.b, t.e]]), np.array([t.c, t.f])
    shapes: NDArray[np.object_] = shapely.polygons(corners @ matrix + origin)
    if grid.crs is None or crs is None or grid.crs == crs:
        return shapes
    import geopandas

    moved = geopandas.GeoSeries(shapes, crs=grid.crs.to_wkt()).to_crs(crs.to_wkt())
    return np.asarray(moved.to_numpy(), object)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Columns of a Parquet file."""

    values: NDArray[np.float32]
    """`(n, F)`; NaN where there is none."""
    names: tuple[str, ...]
    """Of the F features."""
    labels: list[str]
    """"" where a row has none."""
    groups: list[str] | None


def read_feature_table(
    path: Path, *, label: str, features: Sequence[str] | None = None, groups: str | None = None
) -> FeatureTable:
    """Read a Parquet file, such as `FeatureWriter` writes.

    Args:
        path: The file.
        label: Name of the column of labels.
        features: Names of the columns of features; by default those named f and a number.
        groups: Name of a column of groups; by default "scene" where there is one.

    Raises:
        DataError: The file is no Parquet file, or a feature is no number.
        ConfigError: There is no such column.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            held = file.schema_arrow.names
            chosen = list(features) if features else [name for name in held if _FEATURE.fullmatch(name)]
            if not chosen:
                raise ConfigError(
                    f"'{path}' has no columns f000, f001 and so on; name the 'features' among its "
                    f"{len(held)} columns ({', '.join(held[:8])})."
                )
            grouped = groups or (SCENE if SCENE in held else None)
            for option, name in (("label", label), ("groups", grouped), *(("features", n) for n in chosen)):
                if name is not None and name not in held:
                    raise ConfigError(f"{option}: {unknown_name(f"column in '{path}'", name, held)}")
            wanted = dict.fromkeys([*chosen, label, *([grouped] if grouped else [])])
            table = file.read(columns=list(wanted))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(
            f"'{path}' is not a Parquet file that can be read ({' '.join(str(error).split())[:160]}). Copy "
            "or make it again."
        ) from error
    return FeatureTable(
        values=np.stack([_numbers(table, name, path) for name in chosen], axis=1),
        names=tuple(chosen),
        labels=_texts(table, label),
        groups=_texts(table, grouped) if grouped else None,
    )


def _numbers(table: "pyarrow.Table", name: str, path: Path) -> NDArray[np.float32]:
    column = table.column(name)
    values = column.to_numpy(zero_copy_only=False) if column.null_count == 0 else None
    if values is None:
        values = np.array([np.nan if value is None else value for value in column.to_pylist()])
    if values.dtype.kind not in "iuf":
        raise DataError(f"The feature '{name}' of '{path}' is {column.type}; expected numbers. Leave it out.")
    return np.asarray(values, np.float32)


def _texts(table: "pyarrow.Table", name: str) -> list[str]:
    """A column as text; whole numbers without a point, "" where there is nothing."""
    values = table.column(name).to_pylist()
    return [
        "" if value is None or value != value  # NaN
        else str(int(value)) if isinstance(value, float) and value.is_integer()
        else str(value)
        for value in values
    ]  # fmt: skip
