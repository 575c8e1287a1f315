"""Reads images and labels of all scenes by window; keeps few files open and small scenes decoded."""

import logging
import math
import os
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.index import SceneEntry, SceneIndex, open_raster_labels
from eoseg.errors import DataError
from eoseg.geo.erosion import RADIUS, near_border
from eoseg.geo.labels import LabelReader, RasterLabels
from eoseg.geo.scene import Scene
from eoseg.geo.stack import SceneStack, usable_pixels
from eoseg.geo.values import ValueLabels
from eoseg.geo.vectors import LabelPolygons, read_polygons
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

_log = logging.getLogger(__name__)

_OPEN_SCENES = 16
"""Scenes whose files are open at once, per process."""

_OPEN_FILES = 96
"""Image files of dated scenes that are open at once, per process."""

_DECODED_BYTES = 512 * 2**20
"""Memory for decoded scenes, per process; processes that are forked off share what is there already."""

type Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Image `(C, h, w)` in raw values, and where it is valid, `(h, w)`.

For pairs and series `(T, C, h, w)` and `(T, h, w)`.
"""

type Labels = LabelReader | ValueLabels


class SceneReader:
    """Windows of the scenes of an index.

    File handles belong to the process that opened them: after a fork or a pickle they are opened anew.
    Scenes that can only be read from the top (JPEG, PNG, one strip for all) are kept decoded in their
    own data type as long as the memory lasts; so are their labels, and polygons burnt over them.
    """

    def __init__(
        self, index: SceneIndex, *, open_scenes: int = _OPEN_SCENES, decoded_bytes: int = _DECODED_BYTES
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            index: The scenes.
            open_scenes: Scenes whose files are open at once; fewer where they have many dates.
            decoded_bytes: Memory for decoded scenes.
        """
        self.index = index
        self._open_scenes = max(1, min(open_scenes, _OPEN_FILES // index.schema.steps))
        self._open_labels = open_scenes
        self._decoded_left = decoded_bytes
        self._images: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {}
        self._masks: dict[str, NDArray[Any]] = {}
        self._polygons: LabelPolygons | None = None
        self._forget_handles()

    def _forget_handles(self) -> None:
        self._process = os.getpid()
        self._scenes: OrderedDict[str, Scene | SceneStack] = OrderedDict()
        self._labels: OrderedDict[str, Labels] = OrderedDict()
        # GDAL complains about files that are still open when the interpreter takes itself apart.
        weakref.finalize(self, _close_all, self._scenes, self._labels)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scenes": None, "_labels": None, "_process": None}

    def _own_handles(self) -> None:
        if self._process != os.getpid():
            self._forget_handles()

    def read(self, scene_id: str, window: Window) -> Pixels:
        """Image and validity of a window, as `Scene.read` or `SceneStack.read` gives them."""
        decoded = self._decoded_image(scene_id)
        if decoded is None:
            return self._scene(scene_id).read(window)
        values, known = decoded
        image = _cut(values, window, 0).astype(np.float32)
        return image, _cut(known, window, False)

    def read_labels(self, scene_id: str, window: Window) -> NDArray[np.uint8]:
        """Class indices or `IGNORE` of a window, `(h, w)`, whatever the image is there.

        Where labels are a quantity, 0 stands for any value: pixels are then counted as of one class. So are
        usable pixels of scenes without labels.
        """
        if not self.index.is_labelled:
            return self._without_labels(self.read(scene_id, window)[1])
        labels = self._read_target(scene_id, window)
        if labels.dtype == np.uint8:
            return labels.astype(np.uint8, copy=False)
        return np.where(np.isnan(labels), np.uint8(IGNORE), np.uint8(0))

    def read_near_border(self, scene_id: str, window: Window) -> NDArray[np.bool_]:
        """Labelled pixels of a window near a class border, `(h, w)`, wherever the window ends."""
        around = window.grow(RADIUS)
        return near_border(self.read_labels(scene_id, around))[window.slices_in(around)]

    def read_values(self, scene_id: str, window: Window) -> NDArray[np.float32]:
        """Values of a window where labels are a quantity, `(h, w)`; NaN where there is none.

        Raises:
            DataError: The labels are classes.
        """
        if self.index.schema.quantity is None:
            raise DataError("The labels are classes, so they have no values. Set 'quantity' for numbers.")
        return self._read_target(scene_id, window).astype(np.float32, copy=False)

    def read_labelled(
        self, scene_id: str, window: Window
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
        """Image, validity and labels, the labels `IGNORE` where the image is not usable."""
        image, valid = self.read(scene_id, window)
        if not self.index.is_labelled:
            return image, valid, self._without_labels(valid)
        labels = self.read_labels(scene_id, window)
        return image, valid, np.where(self.usable(valid), labels, np.uint8(IGNORE))

    def usable(self, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where the image says enough to learn from: see `eoseg.geo.stack.usable_pixels`."""
        return usable_pixels(valid, self.index.schema.time)

    def _without_labels(self, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        return np.where(self.usable(valid), np.uint8(0), np.uint8(IGNORE))

    def _read_target(self, scene_id: str, window: Window) -> NDArray[Any]:
        """Classes as uint8, or values as float32."""
        decoded = self._decoded_labels(scene_id)
        if decoded is None:
            return self.labels(scene_id).read(window)
        return _cut(decoded, window, IGNORE if decoded.dtype == np.uint8 else np.nan)

    def _decoded_image(self, scene_id: str) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        if scene_id in self._images:
            return self._images[scene_id]
        entry, schema = self.index.entry(scene_id), self.index.schema
        pixels = entry.grid.height * entry.grid.width * schema.steps
        size = pixels * (np.dtype(self.index.dtype).itemsize * len(schema.bands) + 1)
        if not _is_striped(entry) or size > self._decoded_left:
            return None
        decoded = self._decode(scene_id, entry)
        if decoded is not None:
            self._decoded_left -= size
            self._images[scene_id] = decoded
        return decoded

    def _decode(self, scene_id: str, entry: SceneEntry) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """A whole scene in its files' type, date by date: as float32 all dates may not fit the memory."""
        scene = self._scene(scene_id)
        if isinstance(scene, Scene):
            return _in_own_type(*scene.read(entry.grid.window), self.index.dtype)
        size = (entry.grid.height, entry.grid.width)
        values = np.empty((len(scene), len(scene.bands), *size), self.index.dtype)
        known = np.empty((len(scene), *size), np.bool_)
        for step in range(len(scene)):
            date = _in_own_type(*scene.read_date(step, entry.grid.window), self.index.dtype)
            if date is None:
                return None
            values[step], known[step] = date
        return values, known

    def _decoded_labels(self, scene_id: str) -> NDArray[Any] | None:
        if scene_id in self._masks:
            return self._masks[scene_id]
        entry = self.index.entry(scene_id)
        bytes_per_pixel = 1 if self.index.schema.quantity is None else 4
        size = entry.grid.height * entry.grid.width * bytes_per_pixel
        if size > self._decoded_left // 4:
            return None
        labels = self.labels(scene_id)
        if isinstance(labels, RasterLabels | ValueLabels) and labels.block_shape[1] != entry.grid.width:
            return None  # tiled files are read by window as quickly
        self._decoded_left -= size
        self._masks[scene_id] = labels.read(entry.grid.window)
        return self._masks[scene_id]

    def _scene(self, scene_id: str) -> Scene | SceneStack:
        self._own_handles()
        if scene_id not in self._scenes:
            self._scenes[scene_id] = self._open(self.index.entry(scene_id))
            if len(self._scenes) > self._open_scenes:
                self._scenes.popitem(last=False)[1].close()
        self._scenes.move_to_end(scene_id)
        return self._scenes[scene_id]

    def _open(self, entry: SceneEntry) -> Scene | SceneStack:
        bands, source = self.index.schema.bands, self.index.source
        if self.index.schema.time == "single":
            return Scene(entry.image, bands=bands, band_names=source.band_names, nodata=source.nodata)
        return SceneStack(
            entry.images,
            dates=entry.dates if self.index.schema.time == "series" else None,
            bands=bands,
            band_names=source.band_names,
            nodata=source.nodata,
            open_files=_OPEN_FILES,
        )

    def labels(self, scene_id: str) -> Labels:
        """The open labels of a scene; the reader closes them.

        Raises:
            DataError: The scenes have no labels.
        """
        if not self.index.is_labelled:
            raise DataError("The scenes have no labels. Name them in 'labels'.")
        self._own_handles()
        if scene_id not in self._labels:
            self._labels[scene_id] = self._labels_of(self.index.entry(scene_id))
            if len(self._labels) > self._open_labels:
                self._labels.popitem(last=False)[1].close()
        self._labels.move_to_end(scene_id)
        return self._labels[scene_id]

    def _labels_of(self, entry: SceneEntry) -> Labels:
        if entry.label is not None:
            return open_raster_labels(entry.label, self.index.source)
        if self._polygons is None:
            self._polygons = self._read_polygons()
        return self._polygons.on(entry.grid, image=entry.image)

    def _read_polygons(self) -> LabelPolygons:
        index = self.index
        polygons = read_polygons(
            index.vectors,
            classes=index.schema.classes,
            attribute=index.source.attribute,
            ignore=index.source.ignore,
        )
        touched = np.zeros(len(polygons.classes), np.bool_)
        for entry in index.entries.values():
            touched |= polygons.on(entry.grid, image=entry.image).touching()
        if not touched.any():
            raise DataError(
                f"None of the {len(touched)} polygons of '{polygons.path}' touches a scene. Check that they "
                "are of the same place, and that the CRS of both is right."
            )
        if not touched.all():
            _log.warning(
                "%d of the %d polygons of '%s' lie outside all scenes.",
                int((~touched).sum()),
                len(touched),
                polygons.path,
            )
        return polygons

    def close(self) -> None:
        """Close all files."""
        self._own_handles()
        _close_all(self._scenes, self._labels)
        self._forget_handles()


def _close_all(scenes: OrderedDict[str, Scene | SceneStack], labels: OrderedDict[str, Labels]) -> None:
    for scene in scenes.values():
        scene.close()
    for reader in labels.values():
        reader.close()
    scenes.clear()
    labels.clear()


def windows_of(area: Window, size: int) -> Iterator[Window]:
    """Windows of at most `size` x `size` pixels that together are the area, row by row."""
    for row in range(area.row, area.row_stop, size):
        for col in range(area.col, area.col_stop, size):
            yield Window.from_stops(row, col, min(row + size, area.row_stop), min(col + size, area.col_stop))


def read_size(size: int, steps: int, *, multiple: int = 1) -> int:
    """Rows and columns to read at once, so that many dates take no more memory than one.

    Args:
        size: Rows and columns of a single date, about.
        steps: Dates of a pixel.
        multiple: What the result is a multiple of.
    """
    return max(1, int(size / math.sqrt(steps)) // multiple) * multiple


def _in_own_type(
    image: NDArray[np.float32], valid: NDArray[np.bool_], dtype: str
) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
    """An image in the type of its file; None where that does not hold it: it is scaled to fractions."""
    values = image.astype(dtype)
    return (values, valid) if np.array_equal(values, image) else None


def _is_striped(entry: SceneEntry) -> bool:
    return entry.block_shape[1] == entry.grid.width


def _cut[T: np.generic](values: NDArray[T], window: Window, fill: float) -> NDArray[T]:
    """A window of an array whose last two axes are rows and columns, which it may reach beyond."""
    whole = Window(0, 0, values.shape[-2], values.shape[-1])
    result = np.full((*values.shape[:-2], window.height, window.width), fill, values.dtype)
    inside = window.intersection(whole)
    if inside is not None:
        result[(..., *inside.slices_in(window))] = values[(..., *inside.slices_in(whole))]
    return result
