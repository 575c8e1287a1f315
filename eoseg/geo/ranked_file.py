"""Lists of places for people to look at, the most urgent first: GeoPackage with a style for QGIS."""

import contextlib
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from eoseg.errors import ConfigError, OutputError
from eoseg.geo.layer_styles import add_layer_styles
from eoseg.geo.polygon_file import qgis_style
from eoseg.geo.whole_file import whole_file
from eoseg.recipe import MapClass

RANK = "rank"
"""The column that orders the rows, from 1."""

_OUTLINE = (
    "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    '<qgis version="3.22.0" styleCategories="Symbology|Labeling" labelsEnabled="1">'
    '<renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0" forceraster="0"><symbols>'
    '<symbol type="fill" name="0" alpha="1"><layer class="SimpleFill" enabled="1" pass="0" locked="0">'
    '<Option type="Map"><Option type="QString" name="style" value="no"/>'
    '<Option type="QString" name="outline_color" value="179,0,0,255"/>'
    '<Option type="QString" name="outline_style" value="solid"/>'
    '<Option type="QString" name="outline_width" value="0.6"/></Option></layer></symbol>'
    "</symbols></renderer-v2>"
    f'<labeling type="simple"><settings><text-style fieldName="{RANK}" fontSize="10" '
    'textColor="179,0,0,255"/>'
    "</settings></labeling></qgis>\n"
)
"""Red outlines with the rank beside them."""


def require_geopackage(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before any work is done.

    Raises:
        ConfigError: Its name does not end with .gpkg.
        OutputError: It exists, or its folder does not.
    """
    if path.suffix.lower() != ".gpkg":
        raise ConfigError(f"Places are written as .gpkg (GeoPackage); found '{path}'. Change the name.")
    if path.exists() and not overwrite:
        raise OutputError(f"'{path}' exists already. Name another file, or add --overwrite.")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"'{path}' cannot be written: there is no folder '{path.parent}'. Make it.")


def write_ranked(
    path: Path,
    layer: str,
    columns: Mapping[str, Sequence[Any]],
    *,
    shapes: NDArray[np.object_] | None,
    crs: CRS | None,
    classes: Sequence[MapClass] | None = None,
) -> None:
    """Write rows in their order, with their rank as the first column.

    The file has another name until it is complete.

    Args:
        path: The file, .gpkg.
        layer: Name of the layer.
        columns: Values of each row by the name of the column.
        shapes: Polygons of the rows `(n,)`; None for rows without a place.
        crs: Of the polygons.
        classes: Fill polygons by the column "class" in these colours; without, outlines and ranks are drawn.

    Raises:
        OutputError: The file cannot be written.
    """
    import geopandas
    import pandas as pd
    import pyogrio

    count = len(next(iter(columns.values()), ()))
    held = pd.DataFrame({RANK: np.arange(1, count + 1), **columns})
    if shapes is not None:
        held = geopandas.GeoDataFrame(held, geometry=shapes, crs=None if crs is None else crs.to_wkt())
    style = _OUTLINE if classes is None else qgis_style(classes)
    with whole_file(path) as part:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # scenes without one are fine
            options = {} if shapes is None else {"geometry_type": "MultiPolygon", "promote_to_multi": True}
            pyogrio.write_dataframe(held, part, layer=layer, driver="GPKG", **options)
        if shapes is not None:
            with contextlib.closing(sqlite3.connect(part)) as database, database:
                add_layer_styles(database, {layer: style}, name=layer)
