"""A map compared with a reference, pixel by pixel, in bounded memory."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg import __version__
from eoseg.errors import ConfigError, DataError
from eoseg.evaluate.intervals import CONFIDENCE, Intervals, bootstrap, figures_of, said_blocks
from eoseg.evaluate.part import LabelsWithin, Part, read_part
from eoseg.files import package_versions
from eoseg.geo.erosion import RADIUS, Border, ErodedLabels
from eoseg.geo.grid import Grid
from eoseg.geo.labels import LabelEncoding, LabelReader, open_labels
from eoseg.geo.mapfile import read_map_info
from eoseg.geo.scene import Scene
from eoseg.geo.settings import gdal_settings
from eoseg.geo.window import Window
from eoseg.metrics import Scores, confusion_matrix, score
from eoseg.recipe import IGNORE, MapClass, Plain

BLOCK_SIZE = 64
"""Side of a bootstrap block in pixels, on maps of up to 2048 px; larger maps get larger blocks."""

_MOST_BLOCKS = 32  # along each side
_MATRIX_BYTES = 64_000_000  # for the confusion matrices of all blocks
_WINDOW_PIXELS = 1_000_000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The accuracy of one map, and how it was measured."""

    classes: tuple[MapClass, ...]
    matrix: NDArray[np.int64]
    """`(K, K)`: rows reference, columns map."""
    scores: Scores
    intervals: Intervals
    ignored_pixels: int
    """Pixels of the map that the reference does not label."""
    eroded_pixels: int
    """Labelled pixels near a class border that the protocol leaves out."""
    unmapped_pixels: int
    """Labelled pixels where the map has no class. They are in no figure."""
    protocol: dict[str, Plain]
    """Files and their hashes, checkpoint, versions, options."""
    windows: tuple[Window, ...] | None = None
    """The regions of a split that were compared; None for the whole map."""

    @property
    def compared_pixels(self) -> int:
        """Pixels that have both a label and a class."""
        return int(self.matrix.sum())

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        intervals = {
            name: None if entry is None else [entry.low, entry.high]
            for name, entry in self.intervals.values.items()
        }
        return {
            "scores": self.scores.to_dict(),
            "intervals": intervals,
            "interval_reason": self.intervals.reason,
            "confusion_matrix": {
                "rows": "reference",
                "columns": "map",
                "classes": [entry.name for entry in self.classes],
                "pixels": self.matrix.tolist(),
            },
            "compared_pixels": self.compared_pixels,
            "ignored_pixels": self.ignored_pixels,
            "eroded_pixels": self.eroded_pixels,
            "unmapped_pixels": self.unmapped_pixels,
            "protocol": self.protocol,
        }


def evaluate_map(
    map_path: str | Path,
    reference: str | Path,
    *,
    attribute: str | None = None,
    label_encoding: LabelEncoding = "values",
    ignore: Sequence[int | str] = (),
    split: str | Path | None = None,
    part: str = "test",
    split_scene: str | None = None,
    border: Border = "isprs-full",
    block_size: int | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compare a map with a reference.

    Args:
        map_path: A map that `eoseg predict` wrote; it names its classes and what stands for them in
            label files.
        reference: A label raster on the map's grid, or a vector file in any CRS.
        attribute: For vectors, the attribute that holds the class; None: one layer per class.
        label_encoding: Whether a reference raster holds class values or the classes' colours.
        ignore: Values, colours, attribute values or layers of the reference that mean "no label".
        split: The split.json of the run; then only the regions of one part are compared. Without it,
            the figures are those of all labelled pixels, trained on or not.
        part: Which part: "train", "val" or "test".
        split_scene: Which scene of the split was mapped; needed where the part has several.
        border: Whether all labels count, or those within 3 px of another class are left out.
        block_size: Side of the bootstrap blocks in pixels; by default 64, and more on large maps, so
            that there are at most 32 x 32.
        draws: Samples of blocks for the intervals.
        seed: Of these samples.

    Raises:
        DataError: A file cannot be read, the reference does not fit the map, or labels none of its
            pixels.
        GridError: The reference raster is on another grid.
        ConfigError: An option does not suit the reference or the split.
    """
    if split is None and split_scene is not None:
        raise ConfigError(f"split_scene '{split_scene}' names a scene of a split: give the split.json too.")
    if block_size is not None and block_size < 1:
        raise ConfigError(f"A bootstrap block has at least 1 px; got block_size {block_size}.")
    info = read_map_info(map_path)
    labels = open_labels(
        reference,
        grid=info.grid,
        image=info.path,
        classes=info.classes,
        encoding=label_encoding,
        ignore=ignore,
        attribute=attribute,
    )
    size = block_size or default_block_size(info.grid, len(info.classes))
    compared: Part | None = None
    full: LabelReader | None = None
    if border == "isprs-eroded":
        full, labels = labels, ErodedLabels(labels)
    try:
        if split is not None:
            compared = read_part(split, part, grid=info.grid, scene=split_scene)
            labels = LabelsWithin(labels, compared.windows)
            full = None if full is None else LabelsWithin(full, compared.windows)
        with gdal_settings(), Scene(map_path) as scene:
            counts = _count(scene, labels, full, len(info.classes), size)
    finally:
        labels.close()
    names = [entry.name for entry in info.classes]
    matrix = counts.blocks.sum(axis=0)
    if not matrix.any():
        raise DataError(_nothing_to_compare(str(reference), info.path, counts.unmapped))
    intervals = bootstrap(counts.blocks, names, block_size=size, draws=draws, seed=seed)
    protocol: dict[str, Plain] = {
        "eoseg": __version__,
        "versions": package_versions(("numpy", "rasterio")),
        "map": info.path,
        "map_sha256": file_sha256(map_path),
        "map_tags": dict(info.tags),
        "test_time_augmentation": _has_tta(info.tags),
        "classes": {entry.name: list(entry.values) for entry in info.classes},
        "reference": str(reference),
        "reference_sha256": file_sha256(reference),
        "label_encoding": label_encoding,
        "attribute": attribute,
        "ignore": list(ignore),
        "split": None if compared is None else compared.record,
        "border": border,
        "compared_pixels": int(matrix.sum()),
        "ignored_pixels": counts.ignored,
        "eroded_pixels": counts.eroded,
        "unmapped_pixels": counts.unmapped,
        "interval": f"{CONFIDENCE:.0%} percentile interval, bootstrap over spatial blocks",
        "block_size": size,
        "blocks": intervals.blocks,
        "draws": draws,
        "seed": seed,
    }
    return Evaluation(
        info.classes,
        matrix,
        score(matrix, names),
        intervals,
        counts.ignored,
        counts.eroded,
        counts.unmapped,
        protocol,
        None if compared is None else compared.windows,
    )


def default_block_size(grid: Grid, num_classes: int) -> int:
    """Side of the bootstrap blocks in pixels.

    At least 64, so that neighbours in different blocks are few, and so large that the blocks' matrices
    need at most 64 MB, however large the map is.
    """
    most = min(_MOST_BLOCKS, max(1, math.isqrt(_MATRIX_BYTES // (8 * num_classes**2))))
    return max(BLOCK_SIZE, -(-max(grid.height, grid.width) // most))


def file_sha256(path: str | Path) -> str | None:
    """SHA-256 of a file's bytes, of all parts for a Shapefile; None for what is no local file."""
    files = [Path(path)]
    if files[0].suffix.lower() == ".shp":
        files += [files[0].with_suffix(suffix) for suffix in (".dbf", ".prj", ".shx")]
    digest = hashlib.sha256()
    present = [file for file in files if file.is_file()]
    for file in present:
        with file.open("rb") as stream:
            while part := stream.read(2**20):
                digest.update(part)
    return digest.hexdigest() if present else None


def format_interval(evaluation: Evaluation, name: str) -> str:
    """An interval as text, such as "0.912-0.934", or "" where there is none."""
    interval = evaluation.intervals.values[name]
    return "" if interval is None else f"{interval.low:.3f}-{interval.high:.3f}"


def overall_figures(evaluation: Evaluation) -> dict[str, float | None]:
    """The five overall figures by the names that reports use."""
    figures = figures_of(evaluation.scores)
    return {name: figures[name] for name in OVERALL_TITLES}


def notes(evaluation: Evaluation) -> list[str]:
    """What a reader must know beside the figures, a line each."""
    intervals = evaluation.intervals
    labelled = evaluation.compared_pixels + evaluation.unmapped_pixels
    lines = [
        f"{evaluation.compared_pixels:,} pixels compared; {evaluation.ignored_pixels:,} without label left "
        "out."
    ]
    if evaluation.unmapped_pixels:
        share = evaluation.unmapped_pixels / labelled
        lines.append(
            f"{evaluation.unmapped_pixels:,} labelled pixels ({share:.1%}) lie where the map has no class; "
            "they are in no figure."
        )
    if evaluation.protocol["border"] == "isprs-eroded":
        lines.append(
            f"{evaluation.eroded_pixels:,} labelled pixels within {RADIUS} px of another class left out "
            "(isprs-eroded)."
        )
    record = evaluation.protocol["split"]
    if isinstance(record, dict):
        lines.append(f"Compared is the part '{record['part']}' of the split {str(record['sha256'])[:12]}.")
    if intervals.reason is not None:
        lines.append(f"Intervals: {intervals.reason}.")
    else:
        lines.append(
            f"Intervals: bootstrap over {intervals.blocks} {said_blocks(intervals.block_size)}, "
            f"{intervals.draws} draws, seed {intervals.seed}."
        )
    return lines


OVERALL_TITLES = {
    "overall_accuracy": "overall accuracy",
    "mean_iou": "mean IoU",
    "kappa": "kappa",
    "mean_f1": "mean F1",
    "balanced_accuracy": "balanced accuracy",
}
"""Overall figures in the order in which reports show them."""


@dataclass(frozen=True, slots=True)
class _Counts:
    blocks: NDArray[np.int64]
    """`(B, K, K)`"""
    ignored: int
    eroded: int
    unmapped: int


def _count(
    scene: Scene, labels: LabelReader, full: LabelReader | None, num_classes: int, block_size: int
) -> _Counts:
    grid = scene.grid
    across = -(-grid.width // block_size)
    blocks = np.zeros((-(-grid.height // block_size) * across, num_classes, num_classes), np.int64)
    ignored = eroded = unmapped = 0
    for window in _windows(grid, block_size):
        reference = labels.read(window)
        unlabelled = int(((reference if full is None else full.read(window)) == IGNORE).sum())
        ignored += unlabelled
        eroded += int((reference == IGNORE).sum()) - unlabelled
        if (reference == IGNORE).all():
            continue  # sparse labels: most of the map need not be read
        image, valid = scene.read(window)
        mapped = np.where(valid, image[0], IGNORE).astype(np.uint8)
        unmapped += int(((reference != IGNORE) & (mapped == IGNORE)).sum())
        for row in range(0, window.height, block_size):
            for col in range(0, window.width, block_size):
                part = np.s_[row : row + block_size, col : col + block_size]
                number = (window.row + row) // block_size * across + (window.col + col) // block_size
                blocks[number] += confusion_matrix(reference[part], mapped[part], num_classes)
    return _Counts(blocks, ignored, eroded, unmapped)


def _windows(grid: Grid, block_size: int) -> Iterator[Window]:
    """Windows of whole blocks, row by row, of about a million pixels each."""
    width = min(grid.width, max(1, 4096 // block_size) * block_size)
    height = max(1, _WINDOW_PIXELS // (width * block_size)) * block_size
    for row in range(0, grid.height, height):
        for col in range(0, grid.width, width):
            yield Window(row, col, min(height, grid.height - row), min(width, grid.width - col))


def _has_tta(tags: Mapping[str, str]) -> bool | None:
    """Whether the map is a mean over the symmetries of the square; None where it does not say."""
    try:
        return str(json.loads(tags["EOSEG_OPTIONS"])["tta"]) == "yes"
    except (KeyError, ValueError, TypeError):
        return None


def _nothing_to_compare(reference: str, map_path: str, unmapped: int) -> str:
    if unmapped:
        return (
            f"All {unmapped} labelled pixels of '{reference}' lie where '{map_path}' has no class. Compare "
            "with a map of that place."
        )
    return (
        f"'{reference}' labels no pixel of '{map_path}', so nothing can be compared. Check that both show "
        "one place, and which values mean 'no label'."
    )
