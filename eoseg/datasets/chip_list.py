"""Which chip files there are, and the classes and groups that their names or a table give them."""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.config import as_list
from eoseg.datasets.label_text import encode, encode_several
from eoseg.datasets.patterns import find_files
from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.recipe import ClassSpec, MapClass, parse_classes

_SEVERAL = re.compile(r"[;|]")
"""What divides the labels of a chip that has several."""


@dataclass(frozen=True)
class ChipFileSource:
    """Where chip files are, and what they show.

    Args:
        images: One or more globs, such as "*/*.jpg". Without `labels` the folder that a file lies in says its
            class.
        classes: Names of the classes, with colours, and with label values (folder names, labels of the
            table) where these differ: see `eoseg.recipe.parse_classes`.
        root: Folder that the paths are relative to; the working directory by default.
        labels: A table (CSV) with the columns "file" and "label", or a column of 0 and 1 for each class.
        multilabel: Whether a chip may have several of the classes, in the table divided by ";" or "|".
        groups: Which chips stay together in a split: a column of the table, or a regular expression on the
            path whose first group (or whole match) names the group, such as "scene_([0-9]+)".
        bands: Names of the bands to use, in this order; all by default.
        band_names: Names for all bands of files that name none, in file order.
        nodata: Value that means "no value", where the files do not declare it.
    """

    images: str | list[str]
    classes: ClassSpec
    root: str | None = None
    labels: str | None = None
    multilabel: bool = False
    groups: str | None = None
    bands: list[str] | None = None
    band_names: list[str] | None = None
    nodata: float | None = None

    def __post_init__(self) -> None:
        if not self.images or not all(as_list(self.images)):
            raise ConfigError("'images' names no file. Give a path or a glob, such as */*.jpg.")
        least = 1 if self.multilabel else 2
        if len(self.map_classes) < least:
            raise ConfigError(
                f"Chips need at least {least} classes to tell apart; found fewer. Name them all."
            )
        if self.multilabel and self.labels is None:
            raise ConfigError("A folder name says one class only: multilabel needs 'labels', a table (CSV).")
        if self.groups is not None:
            try:
                re.compile(self.groups)
            except re.error as error:
                raise ConfigError(
                    f"groups '{self.groups}' is no regular expression ({error}). Correct it, or name "
                    "a column of 'labels'."
                ) from None

    @property
    def map_classes(self) -> tuple[MapClass, ...]:
        """The classes, in the order of their indices."""
        return parse_classes(self.classes)


@dataclass(frozen=True, eq=False)
class ChipList:
    """All chips of a configuration."""

    paths: tuple[str, ...]
    files: tuple[str, ...]
    """The paths under the root, which name the chips in split.json."""
    labels: NDArray[np.int64]
    """Classes `(n,)`, or 0 and 1 for each label `(n, K)`."""
    groups: tuple[str, ...] | None


def find_chips(source: ChipFileSource) -> ChipList:
    """Find the chips of a configuration and their labels; no image is opened.

    Raises:
        DataError: A glob matches nothing, a chip has no label, or a label is no class.
        ConfigError: The classes contradict each other.
    """
    paths = sorted({match.path for match in find_files(as_list(source.images), source.root, option="images")})
    files = [_under(path, source.root) for path in paths]
    classes = source.map_classes
    table = None if source.labels is None else _read_table(source, files)
    if table is None:
        folders = [PurePosixPath(Path(path).absolute().as_posix()).parent.name for path in paths]
        labels = encode(folders, classes, where="'images', whose folders are the classes,")
    elif "label" in table:
        labels = _labels(source, table["label"], files)
    else:
        labels = _columns(source, table, files)
    groups = None if source.groups is None else _groups(source.groups, table or {}, files)
    return ChipList(tuple(paths), tuple(files), labels, groups)


def _under(path: str, root: str | None) -> str:
    """A path under the root, with slashes."""
    whole, base = Path(path), Path(root or ".")
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()


def _read_table(source: ChipFileSource, files: Sequence[str]) -> dict[str, list[str]]:
    """The columns of the label table, in the order of the files."""
    path = Path(source.root or ".") / str(source.labels)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restkey="", restval=""))
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'. Check 'labels'.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{path}' is not a table of text ({error}). Save it as CSV in UTF-8.") from None
    if not rows or "file" not in rows[0]:
        found = ", ".join(filter(None, rows[0])) if rows else "no rows"
        raise DataError(
            f"'{path}' needs a column 'file' beside the labels; found {found}. Name it in line 1."
        )
    places = _places(rows, files, path)
    without = [file for file, place in zip(files, places, strict=True) if place is None]
    if without:
        raise DataError(
            f"'{path}' has no row for {len(without)} of {len(files)} chips (first: '{without[0]}'). Add "
            "them, or narrow 'images'."
        )
    kept = [rows[place] for place in places if place is not None]
    return {name: [row[name].strip() for row in kept] for name in rows[0] if name}


def _places(rows: Sequence[Mapping[str, str]], files: Sequence[str], path: Path) -> list[int | None]:
    """The row of each file: by its path under the root, else by its name, with or without suffix."""
    by_text: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        by_text[row["file"].strip()].append(place)
    doubled = next((text for text, held in by_text.items() if len(held) > 1), None)
    if doubled is not None:
        raise DataError(
            f"'{path}' has {len(by_text[doubled])} rows for '{doubled}'. Keep one; several labels of a chip "
            "go into one cell, divided by ';'."
        )
    used: dict[int, str] = {}
    places: list[int | None] = []
    for file in files:
        name = PurePosixPath(file)
        held = next((by_text[text][0] for text in (file, name.name, name.stem) if text in by_text), None)
        if held is not None and held in used:
            raise DataError(
                f"'{path}': '{rows[held]['file']}' may be '{used[held]}' or '{file}'. Write paths under the "
                "root into the column 'file'."
            )
        if held is not None:
            used[held] = file
        places.append(held)
    return places


def _labels(source: ChipFileSource, cells: Sequence[str], files: Sequence[str]) -> NDArray[np.int64]:
    """Classes from the column "label"."""
    if source.multilabel:
        texts = [[part.strip() for part in _SEVERAL.split(cell) if part.strip()] for cell in cells]
        return encode_several(texts, source.map_classes, where=f"'{source.labels}'")
    empty = [file for file, cell in zip(files, cells, strict=True) if not cell]
    if empty:
        raise DataError(
            f"'{source.labels}' has no label for {len(empty)} chips (first: '{empty[0]}'). Fill in the "
            "column."
        )
    several = [cell for cell in cells if _SEVERAL.search(cell)]
    if several:
        raise DataError(
            f"'{source.labels}' gives {len(several)} chips several labels (first: '{several[0]}'). Set "
            "multilabel: true, or give each one."
        )
    return encode(cells, source.map_classes, where=f"'{source.labels}'")


def _columns(
    source: ChipFileSource, table: Mapping[str, Sequence[str]], files: Sequence[str]
) -> NDArray[np.int64]:
    """Classes from a column of 0 and 1 for each."""
    missing = [entry.name for entry in source.map_classes if entry.name not in table]
    if missing:
        raise DataError(
            f"'{source.labels}' needs a column 'label', or one for each class; '{missing[0]}' is not among "
            f"{', '.join(table)}."
        )
    cells = np.array([table[entry.name] for entry in source.map_classes], np.str_)  # (K, n)
    wrong = np.argwhere((cells != "0") & (cells != "1"))
    if len(wrong):
        name, cell = source.map_classes[int(wrong[0][0])].name, cells[tuple(wrong[0])]
        raise DataError(
            f"'{source.labels}' has '{cell}' in the column '{name}'; expected 0 or 1. Correct it."
        )
    several = cells.astype(np.int64).T  # (n, K)
    if source.multilabel:
        return several
    odd = np.flatnonzero(several.sum(axis=1) != 1)
    if len(odd):
        raise DataError(
            f"'{source.labels}' gives '{files[int(odd[0])]}' {several[odd[0]].sum()} classes; expected one "
            f"({len(odd)} such rows). Set multilabel: true, or correct them."
        )
    return several.argmax(axis=1)


def _groups(groups: str, table: Mapping[str, Sequence[str]], files: Sequence[str]) -> tuple[str, ...]:
    if groups in table:
        return tuple(table[groups])
    found = [re.search(groups, file) for file in files]
    for file, match in zip(files, found, strict=True):
        if match is None:
            columns = f" nor a column of the table. {unknown_name('column', groups, table)}" if table else "."
            raise DataError(
                f"groups '{groups}' does not match the path '{file}' (a regular expression){columns} "
                "Correct it."
            )
    return tuple((match[1] or "") if match.re.groups else match[0] for match in found if match is not None)
