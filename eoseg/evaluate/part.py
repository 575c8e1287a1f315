"""One part of a split: figures for places that the training never saw."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.splits import SPLITS, Region, Split
from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.geo.grid import Grid
from eoseg.geo.labels import LabelReader
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE, Plain


@dataclass(frozen=True, slots=True)
class Part:
    """The regions of one scene that belong to one part of a split."""

    windows: tuple[Window, ...]
    record: dict[str, Plain]
    """Which part of which split, for the protocol."""


def read_part(path: str | Path, name: str, *, grid: Grid, scene: str | None = None) -> Part:
    """Read where a map may be compared.

    Args:
        path: The split.json of the run that made the checkpoint.
        name: "train", "val" or "test".
        grid: The grid of the map, which must hold the regions.
        scene: Which scene of the split was mapped; needed where the part has several.

    Raises:
        ConfigError: There is no such part or scene, or the scene must be named.
        DataError: The file is no split, was changed, or belongs to another scene.
    """
    if name not in SPLITS:
        raise ConfigError(unknown_name("part of a split", name, SPLITS))
    split = _read(Path(path))
    regions = split.of(name)
    scenes = sorted({region.scene_id for region in regions})
    if not scenes:
        raise ConfigError(f"The split '{path}' has no part '{name}'. Choose another part.")
    if scene is None and len(scenes) > 1:
        raise ConfigError(
            f"The part '{name}' of '{path}' has {len(scenes)} scenes: {', '.join(scenes[:5])}. Say which of "
            "them was mapped."
        )
    chosen = scenes[0] if scene is None else scene
    if chosen not in scenes:
        raise ConfigError(unknown_name("scene of that part of the split", chosen, scenes))
    windows = tuple(region.window for region in regions if region.scene_id == chosen)
    if not all(grid.window.contains(window) for window in windows):
        raise DataError(
            f"The part '{name}' of '{path}' reaches beyond the map of {grid.width} x {grid.height} px, so "
            f"'{chosen}' is another scene. Name the scene that was mapped."
        )
    record: dict[str, Plain] = {
        "file": str(path),
        "method": split.method,
        **split.parameters,
        "seed": split.seed,
        "sha256": split.sha256,
        "part": name,
        "scene": chosen,
    }
    return Part(windows, record)


class LabelsWithin:
    """Labels of some windows of a scene; `IGNORE` elsewhere."""

    def __init__(self, labels: LabelReader, windows: Sequence[Window]) -> None:
        """Restrict labels, which are closed with this."""
        self.path = labels.path
        self._labels = labels
        self._windows = tuple(windows)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class indices or `IGNORE`, `(height, width)`."""
        shared = [
            part for part in (window.intersection(other) for other in self._windows) if part is not None
        ]
        kept = np.full((window.height, window.width), IGNORE, np.uint8)
        if shared:
            labels = self._labels.read(window)
            for part in shared:
                place = part.slices_in(window)
                kept[place] = labels[place]
        return kept

    def close(self) -> None:
        """Close the labels."""
        self._labels.close()


def _read(path: Path) -> Split:
    wrong = f"'{path}' is not a split of eoseg: use the split.json of a run folder."
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        regions = tuple(
            Region(entry["scene"], Window(*entry["window"]), entry["split"]) for entry in values["regions"]
        )
        split = Split(values["method"], values["seed"], values["parameters"], regions)
        stored = values["sha256"]
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'. Check the path.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(wrong) from error
    if stored != split.sha256:
        raise DataError(
            f"'{path}' was changed after it was written: its SHA-256 does not fit. Use the original."
        )
    return split
