"""One scene with its reference and its map, reduced to a size that is good to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import DataError
from eoseg.evaluate.part import LabelsWithin
from eoseg.figures import rgb_bands, rgb_image
from eoseg.geo.labels import LabelEncoding, open_labels
from eoseg.geo.mapfile import read_map_info
from eoseg.geo.preview import preview_classes, preview_image
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE, BandStatistics, Statistics


@dataclass(frozen=True, eq=False)
class MapPanel:
    """One scene to show, reduced to a size that is good to look at."""

    name: str
    image: NDArray[np.uint8] | None
    """Picture of the scene, `(h, w, 3)`."""
    truth: NDArray[np.uint8] | None
    """Class indices or `IGNORE`, `(h, w)`; None without a reference."""
    map: NDArray[np.uint8]
    """Class indices or `IGNORE`, `(h, w)`."""

    def __post_init__(self) -> None:
        pictures = [entry for entry in (self.image, self.truth, self.map) if entry is not None]
        shapes = {entry.shape[:2] for entry in pictures}
        if len(shapes) > 1:
            raise DataError(f"The pictures of '{self.name}' must have one size; found {sorted(shapes)}.")


def load_panel(
    name: str,
    map_path: str | Path,
    reference: str | Path | None,
    *,
    scene: str | Path | None = None,
    statistics: Statistics | None = None,
    band_names: Sequence[str] | None = None,
    attribute: str | None = None,
    label_encoding: LabelEncoding = "values",
    ignore: Sequence[int | str] = (),
    windows: Sequence[Window] | None = None,
    max_size: int = 800,
) -> MapPanel:
    """Read a scene, its reference and its map at reduced size, in bounded memory.

    Args:
        name: Heading of the panel.
        map_path: A map that eoseg wrote.
        reference: As for `evaluate_map`, like `attribute`, `label_encoding` and `ignore`; None for none.
        scene: The scene that was mapped; without it there is no picture of it.
        statistics: Training statistics, whose bands are shown and stretched; without them the scene's own
            bands, stretched by its own 2nd and 98th percentile.
        band_names: Names for the scene's bands, in file order, instead of its own.
        attribute: See `reference`.
        label_encoding: See `reference`.
        ignore: See `reference`.
        windows: Show the reference only there: `Evaluation.windows`.
        max_size: The most pixels that a side may have.

    Raises:
        DataError: A file cannot be read, or they do not fit together.
    """
    info = read_map_info(map_path)
    truth = None
    if reference is not None:
        labels = open_labels(
            reference,
            grid=info.grid,
            image=info.path,
            classes=info.classes,
            encoding=label_encoding,
            ignore=ignore,
            attribute=attribute,
        )
        if windows is not None:
            labels = LabelsWithin(labels, windows)
        try:
            truth = preview_classes(labels.read, info.grid, max_size=max_size)
        finally:
            labels.close()
    with Scene(map_path) as opened:

        def read(window: Window) -> NDArray[np.float32]:
            image, valid = opened.read(window)
            return np.where(valid, image[0], np.float32(IGNORE))

        classes = preview_classes(read, info.grid, max_size=max_size)
    picture = None
    if scene is not None:
        with Scene(scene) as opened:
            info.grid.require_same(opened.grid, this=info.path, that=str(scene))
        picture = scene_picture(scene, statistics=statistics, band_names=band_names, max_size=max_size)
    return MapPanel(name, picture, truth, classes)


def scene_picture(
    scene: str | Path,
    *,
    statistics: Statistics | None = None,
    band_names: Sequence[str] | None = None,
    max_size: int = 800,
) -> NDArray[np.uint8]:
    """Show a scene at reduced size, uint8 `(h, w, 3)`; the arguments are those of `load_panel`."""
    if statistics is None:
        with Scene(scene, band_names=band_names) as opened:
            known = opened.all_bands
    else:
        known = [band.name for band in statistics.bands]
    # Three bands of perhaps thirteen are read.
    bands = list(dict.fromkeys(known[place] for place in rgb_bands(known)))
    image, valid = preview_image(scene, bands=bands, band_names=band_names, max_size=max_size)
    if statistics is None:
        chosen = _own_statistics(image, valid, bands)
    else:
        by_name = {band.name: band for band in statistics.bands}
        chosen = replace(statistics, bands=tuple(by_name[band] for band in bands))
    return rgb_image(image, chosen, valid)


def _own_statistics(image: NDArray[np.float32], valid: NDArray[np.bool_], bands: Sequence[str]) -> Statistics:
    """A stretch for a scene without training statistics."""
    entries = []
    for band, values in zip(bands, image, strict=True):
        known = values[valid] if valid.any() else np.zeros(1, np.float32)
        low, high = (float(value) for value in np.percentile(known, [2, 98]))
        mean, std = float(known.mean()), float(known.std())
        entries.append(BandStatistics(band, mean, std, float(known.min()), low, high, float(known.max())))
    return Statistics(tuple(entries), "float32", valid.size, int(valid.sum()), ())
