"""An area of interest: polygons that say which pixels of a scene are mapped."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.warp import transform_bounds

from eoseg.errors import DataError, unknown_name
from eoseg.geo.grid import Grid
from eoseg.geo.vectors import checked_shapes, outline, reproject
from eoseg.geo.window import Window

_EDGE_PARTS = 1000
"""Straight edges are cut into parts of this share of the scene: a line in one CRS is a curve in another."""

_TURNS = (0.0, 360.0, -360.0)
"""Degrees of longitude that are the same place."""

_MARGIN = 0.05
"""Share of the scene's extent around it in which polygons are kept: they end outside the scene."""


@dataclass(frozen=True, slots=True)
class Area:
    """The polygons of a vector file, wherever they are."""

    path: str
    """The file, for messages."""
    crs: str
    """CRS of the shapes, as WKT."""
    shapes: NDArray[np.object_]
    """Polygons and multipolygons, at least one."""

    def on(self, grid: Grid, *, image: str) -> "AreaOfInterest":
        """The area on the grid of a scene.

        Args:
            grid: The scene's grid; the polygons are reprojected to its CRS.
            image: The scene's path, for the message.

        Raises:
            DataError: The scene has no CRS, or the area lies outside the scene.
        """
        if grid.crs is None:
            raise DataError(
                f"'{image}' has no CRS, so the area of interest '{self.path}' cannot be laid over it. Give "
                f"it one (rio edit-info --crs EPSG:... '{image}'), or map it whole."
            )
        near = self._near(grid, image)
        shapes = reproject(near, self.crs, grid.crs.to_wkt())
        if grid.crs.is_geographic:  # a scene may count on beyond 180 degrees, where polygons do not
            shapes = np.concatenate([_moved(shapes, degrees) for degrees in _TURNS])
        area = AreaOfInterest(grid, shapes[shapely.intersects(shapes, outline(grid))])
        if not area.touches(grid.window):
            ours = _extent_text(shapely.total_bounds(self.shapes))
            theirs = _extent_text(self._bounds_of(grid, image))
            raise DataError(
                f"The area of interest '{self.path}' ({ours}) lies outside '{image}' ({theirs}; left, "
                "bottom, right, top in the CRS of the area). "
                "Check the area's CRS, or give another one."
            )
        return area

    def _near(self, grid: Grid, image: str) -> NDArray[np.object_]:
        """What of the shapes is near a grid, in short edges: elsewhere its CRS may have no coordinates."""
        left, bottom, right, top = self._bounds_of(grid, image)
        spans = [(left, right)] if left <= right else [(left, 180.0), (-180.0, right)]
        width, height = sum(east - west for west, east in spans), top - bottom
        aside, up = _MARGIN * width, _MARGIN * height
        turns = _TURNS if CRS.from_wkt(self.crs).is_geographic else (0.0,)
        boxes = [
            shapely.box(west + turn - aside, bottom - up, east + turn + aside, top + up)
            for west, east in spans
            for turn in turns
        ]
        near = shapely.intersection(self.shapes, shapely.union_all(boxes))
        cut: NDArray[np.object_] = shapely.segmentize(
            near[~shapely.is_empty(near)], max(width, height) / _EDGE_PARTS
        )
        return cut

    def _bounds_of(self, grid: Grid, image: str) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of a grid in the CRS of the area; left > right across the antimeridian."""
        try:
            left, bottom, right, top = transform_bounds(grid.crs, self.crs, *grid.bounds)
        except RasterioError:
            left = bottom = right = top = math.inf
        if not np.isfinite([left, bottom, right, top]).all():
            raise DataError(
                f"'{image}' lies outside the area of use of the CRS of the area of interest '{self.path}'. "
                "Check the CRS of both files."
            )
        return left, bottom, right, top


class AreaOfInterest:
    """An area in the CRS of one scene. A pixel belongs to it where its centre lies inside."""

    def __init__(self, grid: Grid, shapes: NDArray[np.object_]) -> None:
        """Index the polygons; `Area.on` calls this.

        Args:
            grid: The scene's grid.
            shapes: Polygons in the CRS of the grid.
        """
        self.grid = grid
        self._area = shapely.union_all(shapes)
        shapely.prepare(self._area)

    def around(self, grid: Grid) -> "AreaOfInterest":
        """The area on another grid over the same place, with all pixels of that grid that it touches."""
        return AreaOfInterest(grid, np.array([shapely.buffer(self._area, max(grid.pixel_size))], object))

    def touches(self, window: Window) -> bool:
        """Whether a window may hold pixels of the area; quick, without looking at pixels."""
        return bool(shapely.intersects(self._area, outline(self.grid.crop(window))))

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window are in the area, `(height, width)`; the window may reach outside."""
        part = self.grid.crop(window)
        shape, frame = (window.height, window.width), outline(part)
        if not shapely.intersects(self._area, frame):
            return np.zeros(shape, np.bool_)
        if shapely.contains(self._area, frame):
            return np.ones(shape, np.bool_)
        burnt: NDArray[np.uint8] = rasterize(
            [self._area], out_shape=shape, transform=part.transform, dtype="uint8"
        )
        inside: NDArray[np.bool_] = burnt == 1
        return inside


def read_area(path: str) -> Area:
    """Read the polygons of a vector file.

    Args:
        path: GeoPackage, GeoJSON, Shapefile or any vector file that GDAL reads; `FILE::LAYER` of a file with
            several layers.

    Raises:
        DataError: The file is missing or no vector file, has no such layer or no CRS, or holds no polygon.
    """
    import geopandas

    file, _, layer = path.partition("::")
    name = _require_layer(file, layer)
    frame = geopandas.read_file(file, layer=name, columns=[])
    if frame.crs is None:
        raise DataError(
            f"The area of interest '{path}' has no CRS, so it cannot be laid over a scene. Assign one with "
            "ogr2ogr -a_srs (a Shapefile needs its .prj)."
        )
    if len(frame) == 0:
        raise DataError(f"The area of interest '{path}' holds no polygon. Draw one, or give another file.")
    shapes = checked_shapes(frame.geometry.to_numpy(), f"The area of interest '{path}'")
    return Area(path, frame.crs.to_wkt(), shapely.force_2d(shapes))


def _require_layer(file: str, layer: str) -> str:
    """The layer to read.

    Raises:
        DataError: The file cannot be read, or it is not clear which layer is meant.
    """
    import pyogrio

    if "://" not in file and not Path(file).exists():
        raise DataError(f"There is no file '{file}'. Check the path.")
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
    except pyogrio.errors.DataSourceError as error:
        raise DataError(
            f"'{file}' is not a vector file that GDAL can read ({' '.join(str(error).split())})."
        ) from error
    if layer and layer not in layers:
        raise DataError(f"'{file}': {unknown_name('layer', layer, layers)}")
    if not layer and len(layers) != 1:
        raise DataError(
            f"'{file}' has {len(layers)} layers ({', '.join(layers)}); an area of interest is one. Name "
            f"it, as in '{file}::{layers[0] if layers else 'LAYER'}'."
        )
    return layer or layers[0]


def _moved(shapes: NDArray[np.object_], degrees: float) -> NDArray[np.object_]:
    """Shapes of geographic coordinates moved to the east."""
    moved: NDArray[np.object_] = shapely.transform(shapes, lambda places: places + np.array([degrees, 0]))
    return moved


def _extent_text(bounds: tuple[float, float, float, float]) -> str:
    return ", ".join(f"{value:.10g}" for value in bounds)
