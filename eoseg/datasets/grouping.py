"""Which items (chip files, rows of a table) train, which validate and which test."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.blocks import assign_blocks, badness
from eoseg.datasets.item_split import SPLITS, ItemSplit, read_item_split
from eoseg.errors import ConfigError, DataError
from eoseg.recipe import Plain

_log = logging.getLogger(__name__)

_ATTEMPTS = 32
"""Assignments of groups that are drawn; the best is taken."""

_MOST_GROUPS = 20_000
"""Groups that are assigned over all attempts, at most: with many groups the first attempt is good already."""


@dataclass(frozen=True)
class ItemSplitConfig:
    """How items are divided into training, validation and test items.

    Args:
        method: "groups": whole groups, classes balanced as far as that allows. "random": single items, each
            class in its shares; neighbours leak. "files": the files that `val` and `test` name. "auto":
            groups where the data have them, else random.
        val: Share of the items for validation, or globs on file names (files).
        test: The same for the test split.
        seed: Which of the possible splits is drawn (groups, random).
        folds: Instead of shares, K parts of equal size: part `fold` tests, the next one validates, the rest
            trains (groups, random).
        fold: Number of the part that tests, from 0.
        path: An existing split.json, which is used as it is; other options may only repeat what it says.
    """

    method: Literal["auto", "groups", "random", "files"] = "auto"
    val: float | list[str] = 0.2
    test: float | list[str] = 0.2
    seed: int = 0
    folds: int | None = None
    fold: int = 0
    path: str | None = None

    def __post_init__(self) -> None:
        if self.path is not None:
            return
        if self.method == "files":
            self._check_files()
            return
        self._check_folds()
        if self.folds is None:
            self._check_shares()

    def _check_folds(self) -> None:
        if self.folds is None:
            if self.fold:
                raise ConfigError(f"split.fold {self.fold} has no effect without split.folds. Set folds: 5.")
            return
        if self.folds < 3:
            raise ConfigError(
                f"split.folds must be at least 3 (one to test, one to validate, the rest to train); found "
                f"{self.folds}."
            )
        if not 0 <= self.fold < self.folds:
            raise ConfigError(
                f"split.fold is a number from 0 to {self.folds - 1} (folds: {self.folds}); found {self.fold}."
            )
        for name in ("val", "test"):
            if getattr(self, name) != 0.2:
                raise ConfigError(
                    f"With split.folds, split.{name} has no effect: the folds say it. Leave it out."
                )

    def _check_files(self) -> None:
        for name in ("seed", "folds", "fold"):
            if getattr(self, name):
                raise ConfigError(
                    f"split.method is 'files', so split.{name} has no effect. Leave it out, or use method: "
                    "groups or random."
                )
        if not isinstance(self.val, list) or not isinstance(self.test, list):
            raise ConfigError(
                "split.method 'files' needs globs on file names in 'val' and in 'test' ([] for none); found "
                f"val: {self.val}, test: {self.test}."
            )

    def _check_shares(self) -> None:
        for name, share in (("val", self.val), ("test", self.test)):
            if isinstance(share, list):
                raise ConfigError(
                    f"split.{name} lists files, but split.method is '{self.method}'. Set method: files, or "
                    "give a share such as 0.2."
                )
            if not 0 <= share < 1:
                raise ConfigError(f"split.{name} is a share of at least 0 and below 1; found {share}.")
        if self.shares[0] <= 1e-9:
            raise ConfigError(
                f"split.val and split.test leave nothing to train on: {self.val} + {self.test}."
            )

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, val and test; only where they are given as shares."""
        val = 0.0 if isinstance(self.val, list) else self.val
        test = 0.0 if isinstance(self.test, list) else self.test
        return 1 - val - test, val, test

    @property
    def chosen(self) -> dict[str, Plain]:
        """The options that differ from their defaults, but for `path`."""
        return {
            name: getattr(self, name)
            for name, entry in type(self).__dataclass_fields__.items()
            if name != "path" and getattr(self, name) != entry.default
        }


def split_items(
    labels: NDArray[np.int64],
    config: ItemSplitConfig,
    *,
    ids: Sequence[str],
    files: Sequence[str],
    classes: Sequence[str],
    groups: Sequence[str] | None = None,
) -> ItemSplit:
    """Divide items as the configuration says.

    Args:
        labels: Class of each item `(n,)`, or 0 and 1 for each label `(n, K)`. Items with a negative class
            are in no split.
        config: The method and its options.
        ids: A name for each item, all different.
        files: The file that each item comes from, under its root ("files").
        classes: Names of the classes.
        groups: The group of each item, such as the scene or the field it was taken from.

    Raises:
        ConfigError: The method needs groups, and there are none.
        DataError: A split with a share would be empty, or a glob matches no file.
    """
    if config.path is not None:
        return read_item_split(config.path, ids, chosen=config.chosen)
    counts = _counts(labels, len(classes))
    method = config.method
    if method == "auto":
        method = "random" if groups is None else "groups"
    if method == "groups" and groups is None:
        raise ConfigError(
            "split.method 'groups' needs groups. Set 'groups' in the data, or use another method."
        )
    if method == "random":
        _warn_of_random(groups is not None)
    if method == "files":
        numbers, parameters = _by_files(files, config)
    else:
        numbers, parameters = _by_lot(labels, counts, config, groups if method == "groups" else None)
    if labels.ndim == 1:
        numbers[labels < 0] = -1
    split = ItemSplit(method, config.seed, parameters, tuple(ids), numbers)
    _require_filled(split, config)
    _notice_absent_classes(split, counts, classes)
    return split


def _counts(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Items per class, one row for each item, `(n, K)`."""
    if labels.ndim == 2:
        return labels.astype(np.int64)
    return np.asarray(labels[:, None] == np.arange(classes), np.int64)


def _shares(config: ItemSplitConfig) -> tuple[NDArray[np.float64], dict[str, Plain]]:
    """The share of each part, and what split.json says of them."""
    if config.folds is not None:
        return np.full(config.folds, 1 / config.folds), {"folds": config.folds, "fold": config.fold}
    return np.array(config.shares), {"val": config.shares[1], "test": config.shares[2]}


def _roles(parts: NDArray[np.int64], fold: int, folds: int) -> NDArray[np.int64]:
    """Places in `SPLITS` of items in these folds."""
    numbers = np.zeros(len(parts), np.int64)
    numbers[parts == (fold + 1) % folds] = SPLITS.index("val")
    numbers[parts == fold] = SPLITS.index("test")
    return numbers


def _by_files(files: Sequence[str], config: ItemSplitConfig) -> tuple[NDArray[np.int64], dict[str, Plain]]:
    names = sorted(set(files))
    chosen: dict[str, str] = {}
    parameters: dict[str, Plain] = {}
    for split, globs in (("val", config.val), ("test", config.test)):
        patterns = globs if isinstance(globs, list) else []
        parameters[split] = list(patterns)
        for pattern in patterns:
            matches = [name for name in names if fnmatchcase(name, pattern)]
            if not matches:
                raise DataError(
                    f"split.{split}: no file matches '{pattern}'; there are {len(names)}, such as "
                    f"'{names[0]}'. Correct the pattern."
                )
            for name in matches:
                if chosen.setdefault(name, split) != split:
                    raise DataError(f"The file '{name}' is in split.val and in split.test. Take it from one.")
    return np.array([SPLITS.index(chosen.get(name, "train")) for name in files], np.int64), parameters


def _by_lot(
    labels: NDArray[np.int64],
    counts: NDArray[np.int64],
    config: ItemSplitConfig,
    groups: Sequence[str] | None,
) -> tuple[NDArray[np.int64], dict[str, Plain]]:
    """Shares or folds of single items, or of groups where they are given."""
    several = labels.ndim == 2
    used = np.flatnonzero(counts.any(axis=1) | several)  # of several labels none may be right
    kept = [groups[place] for place in used.tolist()] if groups is not None else None
    if several and groups is None:
        # Items with several labels are divided like groups, each of them one of its own.
        kept = [f"{place:09d}" for place in used.tolist()]
    shares, parameters = _shares(config)
    rng = np.random.default_rng(config.seed)
    if kept is None:
        parts = _deal(labels[used], len(counts[0]), shares, rng)
    else:
        parts = _assign(counts[used], kept, shares, rng, are_folds=config.folds is not None)
    numbers = np.full(len(counts), -1, np.int64)
    numbers[used] = parts if config.folds is None else _roles(parts, config.fold, config.folds)
    return numbers, parameters


def _assign(
    counts: NDArray[np.int64],
    groups: Sequence[str],
    shares: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    are_folds: bool,
) -> NDArray[np.int64]:
    """Give each item the part of its group, `(n, K)` to `(n,)`."""
    names, members = np.unique(np.asarray(groups, np.str_), return_inverse=True)
    needed = int((shares > 0).sum())
    if len(names) < needed:
        raise DataError(
            f"There are {len(names)} groups, but {needed} splits need at least one each. Give finer groups, "
            "fewer folds, or set split.val or split.test to 0."
        )
    held = np.zeros((len(names), counts.shape[1]), np.int64)  # (groups, K)
    np.add.at(held, members, counts)
    best: tuple[tuple[float, ...], NDArray[np.int64]] = ((float("inf"),), np.empty(0, np.int64))
    for attempt in range(max(1, min(_ATTEMPTS, _MOST_GROUPS // len(names)))):
        parts = assign_blocks(held, shares, rng)
        sums = np.stack([held[parts == part].sum(axis=0) for part in range(len(shares))])  # (parts, K)
        empty = sum(not (parts == part).any() for part in np.flatnonzero(shares > 0))
        untrained = _untrained(sums) if are_folds else 0
        found = ((empty, untrained, *badness(sums, held.sum(axis=0), shares), attempt), parts)
        best = min(best, found, key=lambda entry: entry[0])
    parts = best[1]
    return parts[members]


def _untrained(sums: NDArray[np.int64]) -> int:
    """Pairs of fold and class where the class lies in the tested and the validated fold alone, `(K, C)`."""
    total = sums.sum(axis=0)
    rest = total - sums - np.roll(sums, -1, axis=0)  # what trains while fold k tests and k + 1 validates
    return int(((rest == 0) & (total > 0)).sum())


def _deal(
    labels: NDArray[np.int64], classes: int, shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Give each item to a part by lot, each class in its shares as exactly as whole items allow."""
    parts = np.empty(len(labels), np.int64)
    given = np.zeros(len(shares))
    for index in range(classes):
        places = rng.permutation(np.flatnonzero(labels == index))
        held = np.floor(len(places) * shares + 1e-9).astype(np.int64)
        # What is left goes where most is missing over all classes so far, so that the sums come out too.
        for _ in range(len(places) - int(held.sum())):
            missing = len(places) * shares - held + shares * given.sum() - given
            held[np.argmax(np.where((shares > 0) & (held <= len(places) * shares), missing, -np.inf))] += 1
        for part in np.flatnonzero((held == 0) & (shares > 0)):
            if held.max() > 1:  # a rare class is better in every part than in its exact shares
                held[held.argmax()] -= 1
                held[part] += 1
        given += held
        parts[places] = np.repeat(np.arange(len(shares)), held)
    return parts


def _warn_of_random(has_groups: bool) -> None:
    _log.warning(
        "A random split: %s, so validation and test figures are too good. Use split.method groups%s for "
        "honest ones.",
        "items of one group lie in different splits" if has_groups else "neighbours lie in different splits",
        "" if has_groups else ", and name the groups in the data,",
    )


def _require_filled(split: ItemSplit, config: ItemSplitConfig) -> None:
    wanted = {"train": True, "val": True, "test": True}
    if config.folds is None:
        wanted |= {"val": bool(config.val), "test": bool(config.test)}
    for name in SPLITS:
        if wanted[name] and not len(split.of(name)):
            raise DataError(
                f"The {name} split is empty. Change split.val or split.test, or give more labelled data."
            )


def _notice_absent_classes(split: ItemSplit, counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    total = counts.sum(axis=0)
    if not total.all():
        absent = ", ".join(classes[place] for place in np.flatnonzero(total == 0).tolist())
        _log.warning("There is no item of %s. Check the labels, or take it out of 'classes'.", absent)
    for name in SPLITS:
        places = split.of(name)
        missing = (total > 0) & (counts[places].sum(axis=0) == 0)
        if len(places) and missing.any():
            absent = ", ".join(classes[place] for place in np.flatnonzero(missing).tolist())
            _log.warning("The %s split has no item of %s.", name, absent)
