"""Reads images and labels of all scenes by window; keeps few files open and small scenes decoded."""

import logging
import os
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.index import SceneEntry, SceneIndex
from eoseg.errors import DataError
from eoseg.geo.labels import LabelReader, RasterLabels
from eoseg.geo.scene import Scene
from eoseg.geo.vectors import LabelPolygons, read_polygons
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

_log = logging.getLogger(__name__)

_OPEN_SCENES = 16
"""Scenes whose files are open at once, per process."""

_DECODED_BYTES = 512 * 2**20
"""Memory for decoded scenes, per process; processes that are forked off share what is there already."""

type Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Image `(C, h, w)` in raw values, and where it is valid, `(h, w)`."""


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
            open_scenes: Scenes whose files are open at once.
            decoded_bytes: Memory for decoded scenes.
        """
        self.index = index
        self._open_scenes = open_scenes
        self._decoded_left = decoded_bytes
        self._images: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {}
        self._masks: dict[str, NDArray[np.uint8]] = {}
        self._polygons: LabelPolygons | None = None
        self._forget_handles()

    def _forget_handles(self) -> None:
        self._process = os.getpid()
        self._scenes: OrderedDict[str, Scene] = OrderedDict()
        self._labels: OrderedDict[str, LabelReader] = OrderedDict()
        # GDAL complains about files that are still open when the interpreter takes itself apart.
        weakref.finalize(self, _close_all, self._scenes, self._labels)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scenes": None, "_labels": None, "_process": None}

    def _own_handles(self) -> None:
        if self._process != os.getpid():
            self._forget_handles()

    def read(self, scene_id: str, window: Window) -> Pixels:
        """Image and validity of a window, as `Scene.read` gives them."""
        decoded = self._decoded_image(scene_id)
        if decoded is None:
            return self._scene(scene_id).read(window)
        values, known = decoded
        image = _cut(values, window, 0).astype(np.float32)
        return image, _cut(known, window, False)

    def read_labels(self, scene_id: str, window: Window) -> NDArray[np.uint8]:
        """Class indices or `IGNORE` of a window, `(h, w)`, whatever the image is there."""
        decoded = self._decoded_labels(scene_id)
        if decoded is None:
            return self.labels(scene_id).read(window)
        return _cut(decoded, window, IGNORE)

    def read_labelled(
        self, scene_id: str, window: Window
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
        """Image, validity and labels, the labels `IGNORE` where the image is invalid."""
        image, valid = self.read(scene_id, window)
        labels = self.read_labels(scene_id, window)
        return image, valid, np.where(valid, labels, np.uint8(IGNORE))

    def _decoded_image(self, scene_id: str) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        if scene_id in self._images:
            return self._images[scene_id]
        entry = self.index.entry(scene_id)
        pixels = entry.grid.height * entry.grid.width
        size = pixels * (np.dtype(self.index.dtype).itemsize * len(self.index.schema.bands) + 1)
        if not _is_striped(entry) or size > self._decoded_left:
            return None
        image, valid = self._scene(scene_id).read(entry.grid.window)
        values = image.astype(self.index.dtype)
        if not np.array_equal(values, image):
            return None  # scaled to fractions, which the file's own type does not hold
        self._decoded_left -= size
        self._images[scene_id] = values, valid
        return values, valid

    def _decoded_labels(self, scene_id: str) -> NDArray[np.uint8] | None:
        if scene_id in self._masks:
            return self._masks[scene_id]
        entry = self.index.entry(scene_id)
        size = entry.grid.height * entry.grid.width
        if size > self._decoded_left // 4:
            return None
        labels = self.labels(scene_id)
        if isinstance(labels, RasterLabels) and labels.block_shape[1] != entry.grid.width:
            return None  # tiled files are read by window as quickly
        self._decoded_left -= size
        self._masks[scene_id] = labels.read(entry.grid.window)
        return self._masks[scene_id]

    def _scene(self, scene_id: str) -> Scene:
        self._own_handles()
        if scene_id not in self._scenes:
            source = self.index.source
            self._scenes[scene_id] = Scene(
                self.index.entry(scene_id).image,
                bands=self.index.schema.bands,
                band_names=source.band_names,
                nodata=source.nodata,
            )
            if len(self._scenes) > self._open_scenes:
                self._scenes.popitem(last=False)[1].close()
        self._scenes.move_to_end(scene_id)
        return self._scenes[scene_id]

    def labels(self, scene_id: str) -> LabelReader:
        """The open labels of a scene; the reader closes them."""
        self._own_handles()
        if scene_id not in self._labels:
            self._labels[scene_id] = self._open_labels(self.index.entry(scene_id))
            if len(self._labels) > self._open_scenes:
                self._labels.popitem(last=False)[1].close()
        self._labels.move_to_end(scene_id)
        return self._labels[scene_id]

    def _open_labels(self, entry: SceneEntry) -> LabelReader:
        source = self.index.source
        if entry.label is not None:
            return RasterLabels(
                entry.label,
                classes=self.index.schema.classes,
                encoding=source.label_encoding,
                ignore=source.ignore,
            )
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


def _close_all(scenes: OrderedDict[str, Scene], labels: OrderedDict[str, LabelReader]) -> None:
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


def _is_striped(entry: SceneEntry) -> bool:
    return entry.block_shape[1] == entry.grid.width


def _cut[T: np.generic](values: NDArray[T], window: Window, fill: int | bool) -> NDArray[T]:
    """A window of an array whose last two axes are rows and columns, which it may reach beyond."""
    whole = Window(0, 0, values.shape[-2], values.shape[-1])
    result = np.full((*values.shape[:-2], window.height, window.width), fill, values.dtype)
    inside = window.intersection(whole)
    if inside is not None:
        result[(..., *inside.slices_in(window))] = values[(..., *inside.slices_in(whole))]
    return result
