"""The file of a sample: a GeoPackage that a person fills in QGIS, and that says how it was drawn.

Layers: "points", the centres of the drawn pixels with the answers, and "pixels", their outlines. Tables:
"sampling_design", pixels and points of each stratum, for people; "sampling_record", the whole design as JSON.
(GDAL's own metadata would be the place for it, but GDAL then writes an .aux.xml beside the file when it is
read.)
"""

import contextlib
import json
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from eoseg.errors import DataError, OutputError
from eoseg.geo.cog import require_writable
from eoseg.geo.grid import Grid
from eoseg.geo.layer_styles import add_layer_styles, interpretation_style, outline_style
from eoseg.geo.whole_file import whole_file
from eoseg.recipe import MapClass

if TYPE_CHECKING:
    import geopandas

POINTS, PIXELS, TABLE, RECORD = "points", "pixels", "sampling_design", "sampling_record"
"""Names of the layers and tables."""

CONFIDENCES = ("high", "medium", "low")


@dataclass(frozen=True, eq=False)
class SamplePixels:
    """The n pixels of a sample, in the order of their numbers."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    strata: Sequence[str] | None = None
    """Name of the stratum of each; None hides it."""
    classes: Sequence[str] | None = None
    """Class of each in the map; None hides it."""


@dataclass(frozen=True, eq=False)
class FilledSample:
    """What the file of a sample holds."""

    path: str
    ids: NDArray[np.int64]
    """`(n,)`, in the order of the file; -1 where there is none."""
    xs: NDArray[np.float64]
    """`(n,)`, in the CRS of the map."""
    ys: NDArray[np.float64]
    answers: list[str | None]
    """Reference class of each; None where it is not answered."""
    design: dict[str, Any]
    """What was given to `write_sample`."""


def write_sample(
    path: Path,
    pixels: SamplePixels,
    grid: Grid,
    classes: Sequence[MapClass],
    *,
    design: dict[str, Any],
    strata: Mapping[str, Sequence[Any]],
    overwrite: bool = False,
) -> None:
    """Write the file of a sample, without answers.

    It has another name until it is complete.

    Args:
        path: The file, .gpkg.
        pixels: What was drawn.
        grid: Of the map.
        classes: What an answer may be.
        design: How it was drawn, plain values.
        strata: The table of strata, by columns.
        overwrite: Whether the file may exist.

    Raises:
        OutputError: The file has another ending, exists, or cannot be written.
    """
    import pyogrio

    require_writable(path, overwrite=overwrite)
    if path.suffix.lower() != ".gpkg":
        raise OutputError(f"A sample is a GeoPackage, .gpkg; found '{path}'. Change the name.")
    points = _points(pixels, grid)
    squares = points[["id", "geometry"]].set_geometry(_squares(pixels, grid), crs=points.crs)
    with whole_file(path) as part:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # maps without one are fine
            pyogrio.write_dataframe(points, part, layer=POINTS, driver="GPKG")
            pyogrio.write_dataframe(squares, part, layer=PIXELS, driver="GPKG", append=True)
        fixed = [
            name for name in points.columns if name not in ("reference", "confidence", "note", "geometry")
        ]
        style = interpretation_style(
            classes, answer="reference", lists={"confidence": CONFIDENCES}, fixed=fixed
        )
        with contextlib.closing(sqlite3.connect(part)) as database, database:
            _add_table(database, TABLE, strata)
            _add_table(database, RECORD, {"design": [json.dumps(design)]})
            add_layer_styles(database, {POINTS: style, PIXELS: outline_style()}, name="interpretation")


def read_sample(path: str | Path) -> FilledSample:
    """Read the file of a sample.

    Raises:
        DataError: The file is missing, is no vector file, or does not say how its points were drawn.
    """
    import pyogrio

    if not Path(path).is_file():
        raise DataError(f"There is no file '{path}'. Check the path.")
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
    except pyogrio.errors.DataSourceError as error:
        raise DataError(
            f"'{path}' is not a vector file that GDAL can read ({' '.join(str(error).split())})."
        ) from error
    design = _design(Path(path))
    if design is None:
        raise DataError(
            f"'{path}' does not say how its points were drawn, so it is no probability sample: nothing "
            "can be "
            "said of places that were not visited. Draw points with 'eoseg sample', and fill in that file "
            "itself (an export of its layer leaves the design behind)."
        )
    if POINTS not in layers:
        raise DataError(f"'{path}' has no layer '{POINTS}' any more; it has {', '.join(layers)}. Restore it.")
    frame = pyogrio.read_dataframe(path, layer=POINTS)
    missing = [name for name in ("id", "reference") if name not in frame.columns]
    if missing:
        raise DataError(
            f"The layer '{POINTS}' of '{path}' has no column '{missing[0]}' any more. Restore it."
        )
    shapes = frame.geometry.to_numpy()
    return FilledSample(
        str(path),
        frame["id"].fillna(-1).to_numpy(np.int64),
        shapely.get_x(shapes),
        shapely.get_y(shapes),
        [_answer(value) for value in frame["reference"].tolist()],
        design,
    )


def _points(pixels: SamplePixels, grid: Grid) -> "geopandas.GeoDataFrame":
    import geopandas

    count = len(pixels.rows)
    cols, rows = pixels.cols.astype(np.float64), pixels.rows.astype(np.float64)
    xs, ys = grid.places(cols + 0.5, rows + 0.5)
    columns: dict[str, Any] = {"id": np.arange(1, count + 1)}
    if pixels.strata is not None:
        columns["stratum"] = list(pixels.strata)
    if pixels.classes is not None:
        columns["map_class"] = list(pixels.classes)
    empty = np.full(count, None, object)
    columns |= {"reference": empty, "confidence": empty, "note": empty}
    crs = grid.crs.to_wkt() if grid.crs is not None else None
    if crs is not None:
        import pyproj

        move = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        longitudes, latitudes = move.transform(xs, ys)
        columns |= {"lon": np.round(longitudes, 7), "lat": np.round(latitudes, 7)}
    return geopandas.GeoDataFrame(columns, geometry=shapely.points(xs, ys), crs=crs)


def _squares(pixels: SamplePixels, grid: Grid) -> NDArray[np.object_]:
    cols, rows = pixels.cols.astype(np.float64), pixels.rows.astype(np.float64)
    corners = [(0, 0), (0, 1), (1, 1), (1, 0)]
    rings = np.stack(
        [np.stack(grid.places(cols + right, rows + down), axis=-1) for down, right in corners],
        axis=1,
    )  # (n, 4, 2)
    squares: NDArray[np.object_] = shapely.polygons(rings)
    return squares


def _design(path: Path) -> dict[str, Any] | None:
    """The design that a file holds; None where it holds none."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            ((text,),) = database.execute(f"SELECT design FROM {RECORD}").fetchall()
        design = json.loads(text)
    except (sqlite3.Error, ValueError, TypeError):
        return None
    return design if isinstance(design, dict) else None


def _add_table(database: sqlite3.Connection, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
    """Add a table without geometry, as GIS programs find it."""
    kinds = {int: "INTEGER", float: "REAL", str: "TEXT"}
    listed = ", ".join(f'"{column}" {kinds[type(values[0])]}' for column, values in columns.items())
    database.execute(f'CREATE TABLE "{name}" (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, {listed})')
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES (?, 'attributes', ?)",
        (name, name),
    )
    quoted = ", ".join(f'"{column}"' for column in columns)
    places = ", ".join("?" * len(columns))
    rows = zip(*columns.values(), strict=True)
    database.executemany(f'INSERT INTO "{name}" ({quoted}) VALUES ({places})', rows)


def _answer(value: object) -> str | None:
    """An answer as text; None where there is none."""
    if value is None or value != value:  # NaN
        return None
    return str(value).strip() or None
