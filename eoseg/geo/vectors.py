"""Label polygons: read from vector files, checked, reprojected and burnt into windows of a scene.

A pixel belongs to the polygon that holds its centre; pixels outside all polygons are `IGNORE`. So are
pixels under polygons of different classes, because one of them must be wrong, and pixels under a
polygon whose class is to be ignored.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.geo.grid import Grid
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE, MapClass

_log = logging.getLogger(__name__)

_POLYGONS = (3, 6)
"""Shapely's numbers for polygon and multipolygon."""


@dataclass(frozen=True, eq=False)
class LabelPolygons:
    """The checked polygons of one or more vector files."""

    path: str
    """The files, for messages."""
    crs: str
    """CRS of the shapes, as WKT."""
    shapes: NDArray[np.object_]
    """Polygons and multipolygons, at least one."""
    classes: NDArray[np.uint8]
    """Class index of each shape, or `IGNORE`."""

    def on(self, grid: Grid, *, image: str) -> "VectorLabels":
        """The labels of one scene.

        Args:
            grid: The scene's grid; the polygons are reprojected to its CRS.
            image: The scene's path, for the message.

        Raises:
            DataError: The scene has no CRS, or the polygons cannot be reprojected to it.
        """
        if grid.crs is None:
            raise DataError(
                f"'{image}' has no CRS, so the polygons of '{self.path}' cannot be laid over it. Give it one "
                f"(rio edit-info --crs EPSG:... '{image}'), or use raster labels."
            )
        shapes = reproject(self.shapes, self.crs, grid.crs.to_wkt())
        if not np.isfinite(shapely.bounds(shapes)).all():
            raise DataError(
                f"Polygons of '{self.path}' lie outside the area of use of the CRS of '{image}'. Check the "
                "CRS of both files."
            )
        return VectorLabels(self.path, grid, shapes, self.classes)


class VectorLabels:
    """Polygons in the CRS of one scene, burnt window by window."""

    def __init__(
        self, path: str, grid: Grid, shapes: NDArray[np.object_], classes: NDArray[np.uint8]
    ) -> None:
        """Index the polygons; `LabelPolygons.on` calls this."""
        self.path = path
        self.grid = grid
        self._shapes = shapes
        self._classes = classes
        self._tree = shapely.STRtree(shapes)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class indices or `IGNORE`, `(height, width)`; `IGNORE` outside the scene."""
        return self.read_with_conflicts(window)[0]

    def read_with_conflicts(self, window: Window) -> tuple[NDArray[np.uint8], int]:
        """The labels, and how many pixels lie under polygons of different classes."""
        labels = np.full((window.height, window.width), IGNORE, np.uint8)
        inside = window.intersection(self.grid.window)
        if inside is None:
            return labels, 0
        part = self.grid.crop(inside)
        hits = self._tree.query(outline(part))
        covers = np.zeros((inside.height, inside.width), np.uint8)
        burnt = labels[inside.slices_in(window)]
        for index in np.unique(self._classes[hits]):
            shapes = self._shapes[hits[self._classes[hits] == index]]
            held = rasterize(shapes, out_shape=covers.shape, transform=part.transform, dtype="uint8") == 1
            covers += held
            burnt[held] = index
        burnt[covers > 1] = IGNORE
        return labels, int((covers > 1).sum())

    def touching(self) -> NDArray[np.bool_]:
        """For each polygon, whether it touches the scene's footprint."""
        touches = np.zeros(len(self._shapes), np.bool_)
        touches[self._tree.query(outline(self.grid), predicate="intersects")] = True
        return touches

    @property
    def classes(self) -> NDArray[np.uint8]:
        """Class index of each polygon, or `IGNORE`."""
        return self._classes

    @property
    def shapes(self) -> NDArray[np.object_]:
        """The polygons in the scene's CRS."""
        return self._shapes

    def pixels_in(self, window: Window) -> NDArray[np.float64]:
        """For each polygon, how many pixels of a window it covers, in fractions, `(n,)`."""
        frame = outline(self.grid.crop(window))
        hits = self._tree.query(frame, predicate="intersects")
        covered = np.zeros(len(self._shapes))
        covered[hits] = shapely.area(shapely.intersection(self._shapes[hits], frame))
        return covered / abs(self.grid.transform.determinant)

    def read_numbers(self, window: Window) -> NDArray[np.int32]:
        """Which polygon a pixel belongs to, `(height, width)`: its place, or -1 for none or for several.

        Polygons of one class that overlap leave the pixel to the later one; where `read` gives `IGNORE`
        there is none.
        """
        numbers = np.full((window.height, window.width), -1, np.int32)
        inside = window.intersection(self.grid.window)
        if inside is None:
            return numbers
        part = self.grid.crop(inside)
        hits = self._tree.query(outline(part))
        if len(hits):
            burnt = rasterize(
                zip(self._shapes[hits], hits.tolist(), strict=True),
                out_shape=(inside.height, inside.width),
                transform=part.transform,
                fill=-1,
                dtype="int32",
            )
            numbers[inside.slices_in(window)] = burnt
        numbers[self.read(window) == IGNORE] = -1
        return numbers

    def close(self) -> None:
        """Nothing is open."""


def read_polygons(
    paths: Sequence[str],
    *,
    classes: Sequence[MapClass],
    attribute: str | None = None,
    ignore: Sequence[int | str] = (),
) -> LabelPolygons:
    """Read and check label polygons.

    A class is recognised by one of its `values` or by its name. Self-intersecting polygons are
    repaired with a warning; a class without polygons is said.

    Args:
        paths: GeoPackage, GeoJSON, Shapefile or any vector file that GDAL reads.
        classes: The classes, in the order of their indices.
        attribute: Attribute that holds the class; None: each layer is a class, by its name.
        ignore: Attribute values or layer names that mean "no label".

    Raises:
        DataError: A file is missing, has no CRS, no such attribute, unknown classes, or shapes that
            are no polygons, empty or without area.
        ConfigError: Two classes go by one name, or `ignore` lists a class.
    """
    known = _known_values(classes, ignore)
    layers = [layer for path in paths for layer in _read_layers(path, known, attribute)]
    joined = ", ".join(paths)
    if not any(len(layer.classes) for layer in layers):
        raise DataError(f"'{joined}' holds no polygon. Check the file.")
    crs = layers[0].crs
    shapes = np.concatenate([reproject(layer.shapes, layer.crs, crs) for layer in layers])
    indices = np.concatenate([layer.classes for layer in layers])
    absent = [entry.name for number, entry in enumerate(classes) if number not in indices]
    if absent:
        _log.warning("'%s' has no polygon of %s.", joined, ", ".join(absent))
    return LabelPolygons(joined, crs, shapes, indices)


def _known_values(classes: Sequence[MapClass], ignore: Sequence[int | str]) -> dict[str, int]:
    """What stands for a class, as text, to its index."""
    known: dict[str, int] = {}
    for index, entry in enumerate(classes):
        for text in {entry.name, *map(str, entry.values)}:
            if known.get(text, index) != index:
                raise ConfigError(
                    f"'{text}' stands for the classes '{classes[known[text]].name}' and '{entry.name}'. Give "
                    "each class its own value."
                )
            known[text] = index
    for value in map(str, ignore):
        if known.get(value, IGNORE) != IGNORE:
            raise ConfigError(
                f"'ignore' lists '{value}', which is '{classes[known[value]].name}'. Remove one."
            )
        known[value] = IGNORE
    return known


def _read_layers(path: str, known: dict[str, int], attribute: str | None) -> list[LabelPolygons]:
    """The layers that are used, each in its own CRS."""
    import pyogrio

    if "://" not in path and not Path(path).exists():
        raise DataError(f"There is no file '{path}'. Check the path.")
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except pyogrio.errors.DataSourceError as error:
        raise DataError(
            f"'{path}' is not a vector file that GDAL can read ({' '.join(str(error).split())})."
        ) from error
    if attribute is None:
        _require_layers(path, layers, known)
        return [_read_layer(path, layer, None, known) for layer in layers]
    fields = {
        layer: [str(name) for name in pyogrio.read_info(path, layer=layer)["fields"]] for layer in layers
    }
    chosen = [layer for layer in layers if attribute in fields[layer]]
    if not chosen:
        held = sorted({name for names in fields.values() for name in names})
        if not held:
            raise DataError(
                f"'{path}' has no attributes, so none is '{attribute}'. For one layer per class leave "
                f"'attribute' out; its layers are {', '.join(layers)}."
            )
        raise DataError(f"'{path}': {unknown_name('attribute', attribute, held)}")
    return [_read_layer(path, layer, attribute, known) for layer in chosen]


def _require_layers(path: str, layers: Sequence[str], known: dict[str, int]) -> None:
    strange = [layer for layer in layers if layer not in known]
    if strange:
        raise DataError(
            f"'{path}' has the layer '{strange[0]}'. {unknown_name('class', strange[0], known)} Without "
            "'attribute' each layer is a class: give the layer to a class, list it under 'ignore', or set "
            "'attribute' to the attribute that holds the class."
        )


def _read_layer(path: str, layer: str, attribute: str | None, known: dict[str, int]) -> LabelPolygons:
    import geopandas

    frame = geopandas.read_file(path, layer=layer, columns=[attribute] if attribute else [])
    where = f"Layer '{layer}' of '{path}'"
    if frame.crs is None:
        raise DataError(
            f"{where} has no CRS, so it cannot be laid over a scene. Assign one with ogr2ogr -a_srs "
            "(a Shapefile needs its .prj)."
        )
    if attribute is None:
        indices = [known[layer]] * len(frame)
    else:
        indices = _indices(list(frame[attribute]), list(frame[attribute].isna()), attribute, where, known)
    shapes = checked_shapes(frame.geometry.to_numpy(), where)
    return LabelPolygons(path, frame.crs.to_wkt(), shapes, np.array(indices, np.uint8))


def _indices(
    values: list[object], empty: list[bool], attribute: str, where: str, known: dict[str, int]
) -> list[int]:
    """Class indices of attribute values."""
    if any(empty):
        raise DataError(
            f"{where} has {sum(empty)} features whose attribute '{attribute}' is empty (first: feature "
            f"{empty.index(True)}). Fill it in, or delete them."
        )
    texts = [_text(value) for value in values]
    strange = [text for text in dict.fromkeys(texts) if text not in known]
    if strange:
        also = f" (also unknown: {', '.join(strange[1:])})" if strange[1:] else ""
        raise DataError(
            f"{where} has {texts.count(strange[0])} features whose '{attribute}' is '{strange[0]}'. "
            f"{unknown_name('class', strange[0], known)} Give it to a class, or list it under 'ignore'{also}."
        )
    return [known[text] for text in texts]


def _text(value: object) -> str:
    """A class attribute as text; whole numbers that a Shapefile keeps as reals lose their ".0"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def checked_shapes(shapes: NDArray[np.object_], where: str) -> NDArray[np.object_]:
    """Polygons that can be worked with; self-intersecting ones are repaired with a warning.

    Args:
        shapes: What a layer holds.
        where: The layer, for messages.

    Raises:
        DataError: A shape is no polygon, or has no area.
    """
    kinds = shapely.get_type_id(shapes)  # -1 where there is no geometry
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    _refuse(empty, where, "without geometry. Delete them")
    _refuse(~np.isin(kinds, _POLYGONS), where, "that are no polygons. Give polygons; buffer points and lines")
    invalid = ~shapely.is_valid(shapes)
    repaired = shapes.copy()
    # "structure" drops the lines and points that may remain beside the polygons.
    repaired[invalid] = shapely.make_valid(shapes[invalid], method="structure", keep_collapsed=False)
    # Only now: the two halves of a bow tie have areas of opposite sign.
    _refuse(shapely.area(repaired) == 0, where, "with zero area. Delete or redraw them")
    if invalid.any():
        first = int(np.flatnonzero(invalid)[0])
        _log.warning(
            "%s has %d invalid polygons, which are repaired (first: feature %d, %s).",
            where,
            int(invalid.sum()),
            first,
            shapely.is_valid_reason(shapes[first]),
        )
    return repaired


def _refuse(broken: NDArray[np.bool_], where: str, what: str) -> None:
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        raise DataError(f"{where} has {int(broken.sum())} features (first: feature {first}) {what}.")


def outline(grid: Grid) -> shapely.Polygon:
    """The footprint of a grid in its own CRS, also for rotated ones."""
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([grid.transform @ corner for corner in corners])


def reproject(shapes: NDArray[np.object_], crs: str, target: str) -> NDArray[np.object_]:
    """Shapes in another CRS; x is always east and y north, whatever the CRS's axis order."""
    import geopandas

    moved: NDArray[np.object_] = geopandas.GeoSeries(shapes, crs=crs).to_crs(target).to_numpy()
    return moved
