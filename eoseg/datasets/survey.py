"""One pass over all labels before training: every value is checked, every labelled pixel counted.

Of scenes without labels the images are read instead, and every usable pixel counts.
"""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.reader import SceneReader, windows_of
from eoseg.errors import DataError
from eoseg.geo.vectors import VectorLabels
from eoseg.recipe import IGNORE

_log = logging.getLogger(__name__)

_MOST_CELLS = 256
"""Cells along the longer side of a scene, at most: keeps the counts small for scenes of any size."""

_READ_PX = 1024
"""About how many rows and columns are read at once."""


@dataclass(frozen=True, eq=False)
class LabelSurvey:
    """Labelled pixels per class in square cells of each scene, whatever the images hold there.

    Where labels are a quantity, all that have a value count as one class; where there are none, all pixels
    that are usable.
    """

    cell: int
    """Height and width of a cell in pixels; cells start at the scene's top left corner."""
    counts: dict[str, NDArray[np.int64]]
    """By scene id, `(rows, columns, classes)`."""
    conflicts: int
    """Pixels under polygons of different classes, which are `IGNORE`."""

    @property
    def class_pixels(self) -> list[int]:
        """Labelled pixels per class over all scenes."""
        sums = [counts.sum(axis=(0, 1)) for counts in self.counts.values()]  # (classes,) each
        return [int(total) for total in np.sum(sums, axis=0)]


def survey_labels(reader: SceneReader, *, chip_size: int, block_size: int | None = None) -> LabelSurvey:
    """Read all labels once.

    Args:
        reader: The scenes.
        chip_size: Height and width of a chip; cells are a quarter of it or more.
        block_size: Height and width of the blocks of a split, where they are given; cells are as large.

    Raises:
        DataError: A label is no class's, or no pixel of any scene is labelled (usable, without labels).
    """
    entries = reader.index.entries
    longest = max(max(entry.grid.height, entry.grid.width) for entry in entries.values())
    cell = block_size or max(-(-chip_size // 4), -(-longest // _MOST_CELLS))
    counts, conflicts = {}, 0
    for scene_id, entry in entries.items():
        labels = reader.labels(scene_id) if reader.index.is_labelled else None
        if isinstance(labels, VectorLabels):
            conflicts += sum(
                labels.read_with_conflicts(window)[1] for window in windows_of(entry.grid.window, _READ_PX)
            )
        counts[scene_id] = _count(reader, scene_id, cell)
    survey = LabelSurvey(cell, counts, conflicts)
    if not any(survey.class_pixels) and not reader.index.is_labelled:
        raise DataError("No scene holds a valid pixel. Check 'nodata' and the files.")
    if not any(survey.class_pixels):
        raise DataError(
            "No pixel of any scene is labelled. Check that the labels lie over the scenes, and what 'ignore' "
            "leaves out."
        )
    if conflicts:
        _log.warning(
            "%d pixels lie under polygons of different classes: they count as unlabelled.", conflicts
        )
    return survey


def _count(reader: SceneReader, scene_id: str, cell: int) -> NDArray[np.int64]:
    entry = reader.index.entry(scene_id)
    classes = reader.index.schema.outputs
    rows, cols = -(-entry.grid.height // cell), -(-entry.grid.width // cell)
    counts = np.zeros((rows, cols, classes), np.int64)
    step = max(1, _READ_PX // cell) * cell
    for window in windows_of(entry.grid.window, step):
        labels = reader.read_labels(scene_id, window)
        row, col = window.row // cell, window.col // cell
        part = cell_counts(labels, cell, classes)
        counts[row : row + part.shape[0], col : col + part.shape[1]] = part
    return counts


def cell_counts(labels: NDArray[np.uint8], cell: int, classes: int) -> NDArray[np.int64]:
    """Count classes in square cells from the top left corner, `(H, W)` to `(rows, columns, classes)`."""
    height, width = labels.shape
    rows, cols = -(-height // cell), -(-width // cell)
    row, col = np.nonzero(labels != IGNORE)
    flat = ((row // cell) * cols + col // cell) * classes + labels[row, col]
    return np.bincount(flat, minlength=rows * cols * classes).reshape(rows, cols, classes)
