"""Which pixels train, which validate and which test: regions of scenes that share no pixel."""

import logging
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

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
from eoseg.datasets.split_file import SPLITS, Region, Split, read_split, require_agreement
from eoseg.datasets.survey import LabelSurvey
from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.recipe import Plain

__all__ = ["SPLITS", "Region", "Split", "make_split", "read_split", "splits_of_folds"]

_log = logging.getLogger(__name__)

_ATTEMPTS = 32
"""Assignments of blocks that are drawn; the best is taken."""

_WANTED_BLOCKS = 16
"""Blocks with labels that the automatic block size aims at: enough to divide by class."""

_CHIPS_PER_BLOCK = (8, 6, 4, 3, 2, 1.5, 1)
"""Sides of a block, in chips, from which the automatic block size chooses the largest that suffices."""


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
        said = {**split.parameters, "method": split.method, "seed": split.seed}
        require_agreement(config.path, said, config.chosen)
        return split
    if config.method == "files":
        split = _by_files(index, config) if config.folds is None else _by_scenes(index, config)
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


def _by_scenes(index: SceneIndex, config: SplitConfig) -> Split:
    """Folds of whole scenes, or of groups of them, with about as many in each."""
    names = sorted(index.entries)
    folds = config.folds or 0
    groups = names if config.groups is None else [_group(config.groups, name) for name in names]
    found = sorted(set(groups))
    if len(found) < folds:
        what = "scenes" if config.groups is None else f"groups '{config.groups}' of scenes"
        raise DataError(f"{folds} folds of {what} need as many; found {len(found)}. Lower split.folds.")
    order = np.random.default_rng(config.seed).permutation(len(found))
    numbers = np.empty(len(found), np.int64)
    numbers[order] = np.arange(len(found)) % folds
    splits = splits_of_folds(numbers, folds=folds, fold=config.fold)
    split_of = dict(zip(found, splits.tolist(), strict=True))
    regions = [
        Region(name, index.entry(name).grid.window, SPLITS[split_of[group]])
        for name, group in zip(names, groups, strict=True)
    ]
    parameters: dict[str, Plain] = {"folds": folds, "fold": config.fold}
    if config.groups is not None:
        parameters["groups"] = config.groups
    return Split("files", config.seed, parameters, tuple(regions))


def _group(pattern: str, name: str) -> str:
    """What a scene's id says of its group."""
    match = re.search(pattern, name)
    if match is None:
        raise DataError(f"split.groups '{pattern}' does not match the scene '{name}'. Correct the pattern.")
    return (match[1] or "") if match.re.groups else match[0]


def splits_of_folds(numbers: NDArray[np.int64], *, folds: int, fold: int) -> NDArray[np.int64]:
    """From numbers of folds to those of splits: `fold` tests, the next one validates, the rest trains.

    Args:
        numbers: Fold of each item, 0 to `folds` - 1, or -1 for one that may train in each.
        folds: How many there are.
        fold: Which one tests.
    """
    return np.where(numbers == fold, 2, np.where(numbers == (fold + 1) % folds, 1, 0))


def _by_blocks(
    index: SceneIndex, survey: LabelSurvey, config: SplitConfig, chip_size: int, *, size: int, buffer: int
) -> Split:
    edges = {name: _edges(index, survey, name, size) for name in index.entries}
    counts = {name: block_counts(survey.counts[name], *edges[name], survey.cell) for name in index.entries}
    rng, total = np.random.default_rng(config.seed), np.array(survey.class_pixels)
    drawn = []
    for attempt in range(1 if config.method == "random" else _ATTEMPTS):
        parts = _assign(counts, config, rng)
        regions = tuple(
            Region(name, window, SPLITS[number])
            for name in index.entries
            for number, window in split_windows(
                _splits(parts[name], config),
                *edges[name],
                buffer=buffer,
                narrowest=min(chip_size, size) // 2,
            )
        )
        if config.folds is None:
            held = np.array([_labels_in(regions, split, survey) for split in SPLITS])  # (3, K)
        else:  # judged without the buffer, which lies elsewhere for each fold: all share one division
            held = np.array([_in_part(counts, parts, number) for number in range(config.folds)])
        drawn.append((badness(held, total, np.array(config.parts)), attempt, regions))
    _, _, regions = min(drawn)
    parameters: dict[str, Plain] = {"block_size": size, "buffer": buffer}
    if config.folds is None:
        parameters |= {"val": config.shares[1], "test": config.shares[2]}
    else:
        parameters |= {"folds": config.folds, "fold": config.fold}
    return Split(config.method, config.seed, parameters, regions)


def _splits(parts: NDArray[np.int64], config: SplitConfig) -> NDArray[np.int64]:
    """Split numbers of blocks, from their parts; a part is a split unless there are folds."""
    if config.folds is None:
        return np.maximum(parts, 0)
    return splits_of_folds(parts, folds=config.folds, fold=config.fold)


def _in_part(
    counts: dict[str, NDArray[np.int64]], parts: dict[str, NDArray[np.int64]], number: int
) -> NDArray[np.int64]:
    """Labelled pixels per class of one part, `(K,)`."""
    return np.sum([counts[name][parts[name] == number].sum(axis=0) for name in counts], axis=0)


def _assign(
    counts: dict[str, NDArray[np.int64]], config: SplitConfig, rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Numbers of the parts of the blocks of each scene; -1 for blocks without labels, which train."""
    flat = np.concatenate([held.reshape(-1, held.shape[-1]) for held in counts.values()])  # (blocks, K)
    labelled = np.flatnonzero(flat.any(axis=1))
    shares = np.array(config.parts)
    needed = int((shares > 0).sum())
    if len(labelled) < needed:
        what = "splits" if config.folds is None else "folds"
        raise DataError(
            f"Only {len(labelled)} blocks hold labels, but {needed} {what} need at least one each. Give more "
            "scenes, a smaller chip_size or block_size, or fewer of them (split.val or split.test 0, folds)."
        )
    splits = np.full(len(flat), -1, np.int64)
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
    needed = sum(share > 0 for share in config.parts)
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
        absent = [index.label_names[place] for place in np.flatnonzero(missing)]
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
