"""Which pixels train, which validate and which test: regions of scenes that share no pixel."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.blocks import (
    assign_at_random,
    assign_blocks,
    badness,
    block_counts,
    block_edges,
    split_windows,
)
from eoseg.datasets.config import SplitConfig
from eoseg.datasets.index import SceneIndex
from eoseg.datasets.survey import LabelSurvey
from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.geo.window import Window
from eoseg.recipe import Plain

_log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
"""The splits; where two meet, the earlier gives way to the later."""

_ATTEMPTS = 32
"""Assignments of blocks that are drawn; the best is taken."""

_WANTED_BLOCKS = 16
"""Blocks with labels that the automatic block size aims at: enough to divide by class."""

_CHIPS_PER_BLOCK = (8, 6, 4, 3, 2, 1.5, 1)
"""Sides of a block, in chips, from which the automatic block size chooses the largest that suffices."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a scene that belongs to one split."""

    scene_id: str
    window: Window
    split: str


@dataclass(frozen=True)
class Split:
    """All regions, and how they were made."""

    method: str
    seed: int
    parameters: dict[str, Plain]
    regions: tuple[Region, ...]

    def of(self, split: str) -> tuple[Region, ...]:
        """The regions of one split."""
        return tuple(region for region in self.regions if region.split == split)

    @property
    def sha256(self) -> str:
        """Hash over everything that the split says, in a canonical form."""
        return _hash(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "seed": self.seed,
            "parameters": self.parameters,
            "regions": [
                {
                    "scene": region.scene_id,
                    "split": region.split,
                    "window": [
                        region.window.row,
                        region.window.col,
                        region.window.height,
                        region.window.width,
                    ],
                }
                for region in self.regions
            ],
        }

    def to_json(self) -> str:
        """The text of split.json."""
        content = self._content()
        lines = ",\n    ".join(json.dumps(region) for region in content.pop("regions"))
        head = json.dumps({"sha256": self.sha256, **content}, indent=2).removesuffix("\n}")
        return f'{head},\n  "regions": [\n    {lines}\n  ]\n}}\n'


def read_split(path: str | Path, index: SceneIndex) -> Split:
    """Read a split.json and check it against the scenes.

    Raises:
        DataError: The file is missing or no split, its hash does not fit, or it names other scenes.
    """
    values = _read_json(Path(path))
    try:
        regions = tuple(
            Region(entry["scene"], Window(*entry["window"]), entry["split"]) for entry in values["regions"]
        )
        split = Split(values["method"], values["seed"], values["parameters"], regions)
        stored = values["sha256"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"'{path}' is not a split of eoseg ({error}). Use a split.json of a run folder."
        ) from None
    if stored != split.sha256:
        raise DataError(
            f"'{path}' was changed: its SHA-256 says {str(stored)[:12]}, its content {split.sha256[:12]}. "
            "Use the original, or remove split.path to make a new split."
        )
    for region in regions:
        if not index.entry(region.scene_id).grid.window.contains(region.window):
            raise DataError(
                f"'{path}' has a region outside the scene '{region.scene_id}'. Use it with its own data."
            )
        if region.split not in SPLITS:
            raise DataError(f"'{path}': {unknown_name('split', region.split, SPLITS)}")
    _refuse_overlaps(split, path)
    return split


def make_split(index: SceneIndex, survey: LabelSurvey, config: SplitConfig, *, chip_size: int) -> Split:
    """Divide the scenes as the configuration says.

    Args:
        index: The scenes.
        survey: Where their labels are.
        config: The method and its options.
        chip_size: Height and width of a chip in pixels.

    Raises:
        DataError: A split with a share would be empty.
        ConfigError: The options do not suit the scenes.
    """
    if config.path is not None:
        split = read_split(config.path, index)
        _require_agreement(split, config)
        return split
    if config.method == "files":
        split = _by_files(index, config)
    elif config.method == "random":
        _log.warning(
            "Random chips: neighbours lie in different splits, so validation and test figures are too good. "
            "Use split.method blocks for honest ones."
        )
        split = _by_blocks(index, survey, config, chip_size, size=_random_size(survey, chip_size), buffer=0)
    else:
        size = config.block_size or _choose_size(index, survey, config, chip_size)
        buffer = min(chip_size // 4, size // 4) if config.buffer is None else config.buffer
        if size <= 2 * buffer:
            raise ConfigError(
                f"split.buffer {buffer} needs blocks of more than {2 * buffer} px; they have {size} px. "
                "Lower split.buffer, or raise split.block_size."
            )
        split = _by_blocks(index, survey, config, chip_size, size=size, buffer=buffer)
    _require_filled(split, config)
    _notice_absent_classes(split, survey, index)
    return split


def _require_agreement(split: Split, config: SplitConfig) -> None:
    """A configuration may repeat what the file says, as a resolved one does, but not contradict it."""
    stored = {**split.parameters, "method": split.method, "seed": split.seed}
    for name, value in config.chosen.items():
        if stored.get(name) != value:
            raise ConfigError(
                f"split.{name} is {value}, but '{config.path}' was made with {stored.get(name, 'none')}. "
                f"Leave split.{name} out to use the file, or split.path to make a new split."
            )


def _by_files(index: SceneIndex, config: SplitConfig) -> Split:
    chosen: dict[str, str] = {}
    parameters: dict[str, Plain] = {}
    for split, globs in (("val", config.val), ("test", config.test)):
        patterns = globs if isinstance(globs, list) else []
        parameters[split] = list(patterns)
        for pattern in patterns:
            matches = [name for name in index.entries if fnmatchcase(name, pattern)]
            if not matches:
                raise DataError(f"split.{split}: {unknown_name('scene', pattern, index.entries)}")
            for name in matches:
                if chosen.setdefault(name, split) != split:
                    raise DataError(
                        f"The scene '{name}' is in split.val and in split.test. Take it from one."
                    )
    regions = [
        Region(name, entry.grid.window, chosen.get(name, "train")) for name, entry in index.entries.items()
    ]
    return Split("files", 0, parameters, tuple(regions))


def _by_blocks(
    index: SceneIndex, survey: LabelSurvey, config: SplitConfig, chip_size: int, *, size: int, buffer: int
) -> Split:
    edges = {name: _edges(index, survey, name, size) for name in index.entries}
    counts = {name: block_counts(survey.counts[name], *edges[name], survey.cell) for name in index.entries}
    rng, total = np.random.default_rng(config.seed), np.array(survey.class_pixels)
    drawn = []
    for attempt in range(1 if config.method == "random" else _ATTEMPTS):
        splits = _assign(counts, config, rng)
        regions = tuple(
            Region(name, window, SPLITS[number])
            for name in index.entries
            for number, window in split_windows(
                splits[name], *edges[name], buffer=buffer, narrowest=min(chip_size, size) // 2
            )
        )
        held = np.array([_labels_in(regions, split, survey) for split in SPLITS])  # (3, K)
        drawn.append((badness(held, total, np.array(config.shares)), attempt, regions))
    _, _, regions = min(drawn)
    parameters: dict[str, Plain] = {"val": config.shares[1], "test": config.shares[2], "block_size": size}
    return Split(config.method, config.seed, parameters | {"buffer": buffer}, regions)


def _assign(
    counts: dict[str, NDArray[np.int64]], config: SplitConfig, rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Split numbers of the blocks of each scene; blocks without labels train, and count for nothing."""
    flat = np.concatenate([held.reshape(-1, held.shape[-1]) for held in counts.values()])  # (blocks, K)
    labelled = np.flatnonzero(flat.any(axis=1))
    shares = np.array(config.shares)
    needed = int((shares > 0).sum())
    if len(labelled) < needed:
        raise DataError(
            f"Only {len(labelled)} blocks hold labels, but {needed} splits need at least one each. Give more "
            "scenes, a smaller chip_size or block_size, or set split.val or split.test to 0."
        )
    splits = np.zeros(len(flat), np.int64)
    if config.method == "random":
        splits[labelled] = assign_at_random(len(labelled), shares, rng)
    else:
        splits[labelled] = assign_blocks(flat[labelled], shares, rng)
    parts = np.split(splits, np.cumsum([held.shape[0] * held.shape[1] for held in counts.values()])[:-1])
    return {name: part.reshape(counts[name].shape[:2]) for name, part in zip(counts, parts, strict=True)}


def _edges(index: SceneIndex, survey: LabelSurvey, name: str, size: int) -> tuple[list[int], list[int]]:
    grid = index.entry(name).grid
    return block_edges(grid.height, size, survey.cell), block_edges(grid.width, size, survey.cell)


def _random_size(survey: LabelSurvey, chip_size: int) -> int:
    return -(-chip_size // survey.cell) * survey.cell


def _choose_size(index: SceneIndex, survey: LabelSurvey, config: SplitConfig, chip_size: int) -> int:
    """The largest block that leaves enough labelled blocks to divide; smaller than a chip only if it must."""
    needed = sum(share > 0 for share in config.shares)
    sizes = [-(-int(factor * chip_size) // survey.cell) * survey.cell for factor in _CHIPS_PER_BLOCK]
    for wanted, candidates in (
        (_WANTED_BLOCKS, sizes),
        (needed * 4, sizes),
        (needed, [*sizes[-1:], 2 * survey.cell, survey.cell]),
    ):
        for size in candidates:
            if _labelled_blocks(index, survey, size) >= wanted:
                return size
    return survey.cell


def _labelled_blocks(index: SceneIndex, survey: LabelSurvey, size: int) -> int:
    return sum(
        int(
            block_counts(survey.counts[name], *_edges(index, survey, name, size), survey.cell)
            .any(axis=2)
            .sum()
        )
        for name in index.entries
    )


def _require_filled(split: Split, config: SplitConfig) -> None:
    shares: Mapping[str, float | list[str]] = {"train": 1.0, "val": config.val, "test": config.test}
    for name, share in shares.items():
        if share and not split.of(name):
            raise DataError(
                f"The {name} split is empty. Lower split.val or split.test, split.buffer or chip_size, or "
                "give more scenes."
            )


def _notice_absent_classes(split: Split, survey: LabelSurvey, index: SceneIndex) -> None:
    """Say which class does not occur in a split."""
    total = np.array(survey.class_pixels)
    for name in SPLITS:
        if not split.of(name):
            continue
        missing = (total > 0) & (_labels_in(split.regions, name, survey) == 0)
        absent = [index.schema.class_names[place] for place in np.flatnonzero(missing)]
        if absent:
            _log.warning("The %s split has no labelled pixel of %s.", name, ", ".join(absent))


def _labels_in(regions: Sequence[Region], split: str, survey: LabelSurvey) -> NDArray[np.int64]:
    """Labelled pixels per class of a split, `(K,)`, from the cells whose centre it holds."""
    total = np.zeros(len(survey.class_pixels), np.int64)
    for region in regions:
        if region.split == split:
            window, cells = region.window, survey.counts[region.scene_id]
            rows = _cells_between(window.row, window.row_stop, survey.cell, cells.shape[0])
            cols = _cells_between(window.col, window.col_stop, survey.cell, cells.shape[1])
            total += cells[rows, cols].sum(axis=(0, 1))
    return total


def _cells_between(start: int, stop: int, cell: int, count: int) -> slice:
    first, last = -(-(start - cell // 2) // cell), -(-(stop - cell // 2) // cell)
    # The last cell may be cut short by the scene's edge, so that its centre lies outside.
    return slice(first, count if stop > (count - 1) * cell else last)


def _refuse_overlaps(split: Split, path: str | Path) -> None:
    by_scene: dict[str, list[Region]] = {}
    for region in split.regions:
        for other in by_scene.setdefault(region.scene_id, []):
            if other.window.intersection(region.window) is not None:
                raise DataError(
                    f"'{path}' has overlapping regions in the scene '{region.scene_id}'. Correct it."
                )
        by_scene[region.scene_id].append(region)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'. Check split.path.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"'{path}' is not a split of eoseg ({error}). Use a split.json of a run folder."
        ) from None
    if not isinstance(values, dict):
        raise DataError(f"'{path}' is not a split of eoseg. Use a split.json of a run folder.")
    return values


def _hash(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
