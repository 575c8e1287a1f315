"""Files of polygons, written batch by batch: GeoPackage with the classes' colours, or GeoParquet."""

import contextlib
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from eoseg.errors import ConfigError
from eoseg.geo.feature_table import geoparquet_metadata
from eoseg.geo.layer_styles import add_layer_styles
from eoseg.geo.whole_file import whole_file
from eoseg.recipe import MapClass

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".gpkg", ".parquet")
"""Of the files that can be written."""

CLASS, NAME, PROBABILITY = "class", "name", "probability"
"""Names of columns; the area has its unit in its name."""


@dataclass(frozen=True, eq=False)
class PolygonRows:
    """Some polygons with what is known of each."""

    shapes: NDArray[np.object_]
    """`(n,)` in the CRS of the file."""
    classes: NDArray[np.int64]
    """`(n,)` class indices."""
    areas: NDArray[np.float64]
    """`(n,)`."""
    probabilities: NDArray[np.float64] | None
    """`(n,)`, NaN where it is not known; None in a file without them."""


@dataclass(frozen=True, slots=True)
class PolygonSchema:
    """What a file of polygons holds."""

    classes: tuple[MapClass, ...]
    crs: CRS | None
    area: str
    """Name of the column of areas."""
    has_probability: bool


def require_suffix(path: Path) -> None:
    """Refuse a file of another kind than can be written.

    Raises:
        ConfigError: The name ends otherwise.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"Polygons are written as .gpkg (GeoPackage) or .parquet (GeoParquet); found '{path}'. "
            "Change the name."
        )


def write_polygons(path: Path, layer: str, schema: PolygonSchema, rows: Iterable[PolygonRows]) -> None:
    """Write polygons as they come.

    The file has another name until it is complete. Whatever fails, even Ctrl-C, leaves nothing behind and an
    older file of that name as it was.

    Args:
        path: The file, .gpkg or .parquet.
        layer: Name of the layer, which a GeoPackage has.
        schema: What the rows hold.
        rows: The polygons. What they raise is raised here.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path) as part:
        if path.suffix.lower() == ".parquet":
            _write_geoparquet(part, schema, rows)
        else:
            _write_geopackage(part, layer, schema, rows)


def _arrow_schema(schema: PolygonSchema) -> "pyarrow.Schema":
    import pyarrow

    columns = [(CLASS, pyarrow.int32()), (NAME, pyarrow.string()), (schema.area, pyarrow.float64())]
    columns += [(PROBABILITY, pyarrow.float64())] if schema.has_probability else []
    # By this mark GDAL knows the geometry among the columns.
    mark = {"ARROW:extension:name": "ogc.wkb"}
    return pyarrow.schema([*columns, pyarrow.field("geometry", pyarrow.binary(), metadata=mark)])


def _batch(schema: PolygonSchema, rows: PolygonRows) -> "pyarrow.RecordBatch":
    import pyarrow

    names = np.array([entry.name for entry in schema.classes], object)
    columns: list[Any] = [rows.classes, names[rows.classes], rows.areas]
    if schema.has_probability:
        columns.append(rows.probabilities)
    columns.append(shapely.to_wkb(rows.shapes))
    arrow = _arrow_schema(schema)
    arrays = [
        pyarrow.array(column, type=field.type, from_pandas=True)  # NaN is "not known"
        for column, field in zip(columns, arrow, strict=True)
    ]
    return pyarrow.record_batch(arrays, schema=arrow)


def _write_geoparquet(part: Path, schema: PolygonSchema, rows: Iterable[PolygonRows]) -> None:
    from pyarrow import parquet

    arrow = _arrow_schema(schema).remove_metadata()
    bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
    with parquet.ParquetWriter(part, arrow, compression="zstd") as file:
        for some in rows:
            file.write_batch(_batch(schema, some))
            found = shapely.total_bounds(some.shapes)
            bounds = np.concatenate([np.fmin(bounds[:2], found[:2]), np.fmax(bounds[2:], found[2:])])
        known = bounds.tolist() if np.isfinite(bounds).all() else None
        file.add_key_value_metadata({"geo": geoparquet_metadata(schema.crs, known)})


def _write_geopackage(part: Path, layer: str, schema: PolygonSchema, rows: Iterable[PolygonRows]) -> None:
    import pyarrow
    import pyogrio

    failed: list[BaseException] = []

    def until_failure() -> "Iterator[pyarrow.RecordBatch]":
        # GDAL takes the batches by way of C, where an exception would become a line of text.
        try:
            for some in rows:
                yield _batch(schema, some)
        except BaseException as error:
            failed.append(error)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # maps without one are fine
        pyogrio.write_arrow(
            pyarrow.RecordBatchReader.from_batches(_arrow_schema(schema), until_failure()),
            part,
            layer=layer,
            driver="GPKG",
            geometry_name="geometry",
            geometry_type="Polygon",
            crs=schema.crs.to_wkt() if schema.crs is not None else None,
        )
    if failed:
        raise failed[0]
    with contextlib.closing(sqlite3.connect(part)) as database, database:
        add_layer_styles(database, {layer: qgis_style(schema.classes)}, name="classes")


def qgis_style(classes: Sequence[MapClass]) -> str:
    """A QGIS style (QML) that fills polygons with the colour of their class.

    Args:
        classes: In the order of their indices, which are the values of the column "class".
    """
    categories, symbols = [], []
    for index, entry in enumerate(classes):
        categories.append(
            f'<category value="{index}" symbol="{index}" label={quoteattr(entry.name)} render="true" '
            'type="integer"/>'
        )
        options = {"color": ",".join(map(str, (*entry.color, 255))), "style": "solid", "outline_style": "no"}
        listed = "".join(f'<Option type="QString" name="{key}" value="{v}"/>' for key, v in options.items())
        symbols.append(
            f'<symbol type="fill" name="{index}" alpha="1"><layer class="SimpleFill" enabled="1" pass="0" '
            f'locked="0"><Option type="Map">{listed}</Option></layer></symbol>'
        )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis version="3.22.0" styleCategories="Symbology"><renderer-v2 type="categorizedSymbol" '
        f'attr="{CLASS}" symbollevels="0" enableorderby="0" forceraster="0">'
        f"<categories>{''.join(categories)}</categories><symbols>{''.join(symbols)}</symbols>"
        "</renderer-v2></qgis>\n"
    )
