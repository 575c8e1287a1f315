"""Reading tables of pixels: arrays (.npz), columns (.parquet) or text."""

import csv
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.config import as_list
from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.geo.feature_table import read_feature_table
from eoseg.recipe import ClassSpec, MapClass, match_bands, parse_classes

_MISSING = ("", "na", "n/a", "null", "none")
"""Cells of a text table that mean "no value", beside "nan"; in lower case."""


@dataclass(frozen=True)
class TableSource:
    """Where tables of pixels are, and what their columns or arrays mean.

    An .npz file holds arrays by name: features (n, F), or (n, T, F) for series. A .parquet file holds
    columns, such as those that 'eoseg embed' writes: an empty label means "no label". Any other file is text
    with one row for each pixel, divided by commas, semicolons, tabs or blanks.

    Args:
        path: One file, or several of the same kind, one below the other.
        classes: Names of the classes, with the label values that stand for them where these differ.
        root: Folder that the paths are relative to; the working directory by default.
        label: Name of the label's array or column, "y" by default, "label" of Parquet. In text also its
            place, from 0, or from -1 backwards.
        features: npz: the name of the array, "X" by default. Parquet: names of the columns; by default those
            named f and a number. Text: names or places of the columns; by default all but label and groups.
        band_names: Names of the features, or the name of the array that holds them; by default what the first
            line says, or band_1, band_2 and so on.
        bands: Names of the features to use, in this order; all by default.
        dates: For series, the array of dates, (T,) or (n, T): days since 1970, or ISO dates.
        groups: Array or column that says which rows stay together in a split, such as a field or a cell; of
            Parquet "scene" by default, where there is one.
        ignore: Labels that mean "no label".
        nodata: Value that means "no value", beside NaN.
        first_line: What the first line of a text file is: the columns' names, nothing of use, or data.
    """

    path: str | list[str]
    classes: ClassSpec
    root: str | None = None
    label: int | str | None = None
    features: str | list[int | str] | None = None
    band_names: str | list[str] | None = None
    bands: list[str] | None = None
    dates: str | None = None
    groups: int | str | None = None
    ignore: list[int | str] = field(default_factory=list)
    nodata: float | None = None
    first_line: Literal["names", "skip", "data"] = "names"

    def __post_init__(self) -> None:
        if not self.path or not all(as_list(self.path)):
            raise ConfigError("'path' names no file. Give the path of a table, such as pixels.csv.")
        kinds = {kind_of(path) for path in as_list(self.path)}
        if len(kinds) > 1:
            raise ConfigError(
                f"'path' mixes .npz, .parquet or text files: {', '.join(self.path)}. Give one kind."
            )
        if len(self.map_classes) < 2:
            raise ConfigError("A table needs at least two classes to tell apart; found fewer. Name them all.")
        if kinds == {"npz"}:
            self._check_arrays()
        else:
            self._check_columns()

    def _check_arrays(self) -> None:
        for name in ("label", "features", "groups"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ConfigError(f"An .npz file holds arrays by name; found {name}: {value}. Give a name.")
        if self.first_line != "names":
            raise ConfigError("first_line is for text, but the table is .npz. Leave it out.")

    def _check_columns(self) -> None:
        kind = kind_of(as_list(self.path)[0])
        if kind == "parquet":
            features = self.features if isinstance(self.features, list) else []
            places = [value for value in (self.label, self.groups, *features) if isinstance(value, int)]
            if places:
                raise ConfigError(f"A .parquet file holds columns by name; found {places[0]}. Give a name.")
            if self.first_line != "names":
                raise ConfigError("first_line is for text, but the table is .parquet. Leave it out.")
        if isinstance(self.features, str):
            raise ConfigError(
                f"The features of a {kind} table are a list of columns; found '{self.features}'. Write "
                f"features: [{self.features}]."
            )
        if isinstance(self.band_names, str):
            raise ConfigError(
                f"band_names '{self.band_names}' names an array, but the table is {kind}. Give a list of "
                "names."
            )
        if self.dates is not None:
            raise ConfigError(
                f"dates: {self.dates} is for series, which come as .npz with features (n, T, F); the "
                f"table is {kind}. Leave it out."
            )

    @property
    def unlabelled(self) -> list[int | str]:
        """Labels that mean "no label"; of Parquet an empty one too."""
        return [*self.ignore, *([""] if kind_of(as_list(self.path)[0]) == "parquet" else [])]

    @property
    def map_classes(self) -> tuple[MapClass, ...]:
        """The classes, in the order of their indices."""
        return parse_classes(self.classes)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of one or more files, as they are written there."""

    values: NDArray[np.float32]
    """`(n, F)`, or `(n, T, F)` for series."""
    labels: NDArray[np.str_]
    bands: tuple[str, ...]
    all_bands: tuple[str, ...]
    dtype: str
    dates: NDArray[np.datetime64] | None = None
    """`(n, T)`; for series only."""
    groups: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.values)


def kind_of(path: str) -> Literal["npz", "parquet", "text"]:
    """What a path names, by its ending."""
    if path.lower().endswith(".npz"):
        return "npz"
    return "parquet" if path.lower().endswith((".parquet", ".geoparquet")) else "text"


def read_table(path: str, source: TableSource) -> Table:
    """Read one file.

    Raises:
        DataError: The file is missing or broken, arrays do not fit together, or dates do not increase.
        ConfigError: A column or array is not there, or an option has no effect on this file.
        BandError: A feature that is asked for is not there.
    """
    whole = Path(source.root or ".") / path
    if not whole.is_file():
        raise DataError(f"There is no file '{whole}'. Check 'path'.")
    read = {"npz": _read_arrays, "parquet": _read_parquet, "text": _read_text}[kind_of(path)]
    table = read(whole, source)
    places = match_bands(source.bands or table.all_bands, table.all_bands, where=f"'{whole}'")
    names = tuple(table.all_bands[place] for place in places)
    return Table(
        table.values[..., places],
        table.labels,
        names,
        table.all_bands,
        table.dtype,
        table.dates,
        table.groups,
    )


def _read_arrays(path: Path, source: TableSource) -> Table:
    try:
        with np.load(path, allow_pickle=False) as file:
            get = partial(_array, file, path)
            values = get(str(source.features or "X"), "features")
            labels = get(str(source.label or "y"), "label")
            dates = None if source.dates is None else get(source.dates, "dates")
            groups = None if source.groups is None else get(str(source.groups), "groups")
            names = _array_names(source, get, values.shape[-1] if values.ndim else 0)
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(
            f"'{path}' cannot be read: {_line(error)}. Write it with numpy.savez, without Python objects."
        ) from None
    _check_shapes(path, source, values, {"label": labels, "groups": groups})
    if values.ndim == 3 and dates is None:
        raise ConfigError(
            f"The features of '{path}' have shape {values.shape}, so each row is a series: name the array of "
            "its 'dates'."
        )
    with np.errstate(over="ignore"):  # what no float32 can hold becomes infinite, so no value
        values, dtype = values.astype(np.float32), str(values.dtype)
    return Table(
        values=values,
        labels=_texts(labels.reshape(-1)),
        bands=names,
        all_bands=names,
        dtype=dtype,
        dates=None if dates is None else _read_dates(path, dates, values.shape),
        groups=None if groups is None else _texts(groups.reshape(-1)),
    )


def _array(file: Mapping[str, NDArray[Any]], path: Path, name: str, option: str) -> NDArray[Any]:
    if name not in file:
        raise ConfigError(f"{option}: {unknown_name(f"array in '{path}'", name, file)}")
    return np.asarray(file[name])


def _array_names(source: TableSource, get: Callable[[str, str], NDArray[Any]], count: int) -> tuple[str, ...]:
    names = source.band_names
    if isinstance(names, str):
        names = [str(name) for name in get(names, "band_names").reshape(-1)]
    return _checked_names(names, count)


def _checked_names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"band_{number}" for number in range(1, count + 1))
    if len(names) != count:
        raise ConfigError(f"band_names has {len(names)} names for {count} features. Give one for each.")
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ConfigError(
            f"Features are named twice: {', '.join(repeated)}. Give each its own name in 'band_names'."
        )
    return tuple(names)


def _check_shapes(
    path: Path, source: TableSource, values: NDArray[Any], others: Mapping[str, NDArray[Any] | None]
) -> None:
    if values.ndim not in (2, 3) or values.dtype.kind not in "iuf":
        raise DataError(
            f"The features of '{path}' must be numbers of shape (n, F), or (n, T, F) for series; found "
            f"{values.dtype} {values.shape}."
        )
    if values.ndim == 2 and source.dates is not None:
        raise ConfigError(
            f"dates: {source.dates} is for series, but the features of '{path}' have shape {values.shape}. "
            "Leave it out, or give features (n, T, F)."
        )
    for option, held in others.items():
        if held is not None and held.size != len(values):
            raise DataError(
                f"'{path}' has {len(values)} rows of features but {held.size} values for '{option}' (shape "
                f"{held.shape}); expected one for each row."
            )


def _read_dates(path: Path, dates: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.datetime64]:
    """Dates `(n, T)` that increase in each row."""
    if dates.shape not in (shape[:2], shape[1:2]):
        raise DataError(
            f"The dates of '{path}' have shape {dates.shape}; expected {shape[1:2]} or {shape[:2]}, for "
            f"features {shape}."
        )
    try:
        if dates.dtype.kind == "f" and (dates != dates.round()).any():
            raise ValueError("they are no whole days")  # NaN too
        days = (dates.astype(np.int64) if dates.dtype.kind == "f" else dates).astype("datetime64[D]")
    except ValueError as error:
        raise DataError(
            f"The dates of '{path}' are not dates ({error}); expected days since 1970 or text such as "
            "2020-06-30."
        ) from None
    days = np.broadcast_to(days, shape[:2])
    wrong = np.argwhere(~(days[:, 1:] > days[:, :-1]))  # not-a-time compares false
    if len(wrong):
        row, step = wrong[0].tolist()
        raise DataError(
            f"The dates of '{path}' do not increase: row {row} has {days[row, step]}, then "
            f"{days[row, step + 1]} ({len(np.unique(wrong[:, 0]))} such rows). Sort each row by date."
        )
    return days


def _read_parquet(path: Path, source: TableSource) -> Table:
    table = read_feature_table(
        path,
        label=str(source.label or "label"),
        features=[str(name) for name in source.features or ()],
        groups=None if source.groups is None else str(source.groups),
    )
    given = source.band_names if isinstance(source.band_names, list) else table.names
    bands = _checked_names(given, len(table.names))
    return Table(
        values=table.values,
        labels=np.array(table.labels, np.str_),
        bands=bands,
        all_bands=bands,
        dtype="float32",
        groups=None if table.groups is None else np.array(table.groups, np.str_),
    )


def _read_text(path: Path, source: TableSource) -> Table:
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline().strip()
    except UnicodeDecodeError:
        raise DataError(
            f"'{path}' is not a table of text in UTF-8. Save it as CSV, or give an .npz file."
        ) from None
    mark = next((mark for mark in ",;\t" if mark in first), None)
    header = [name.strip() for name in next(csv.reader([first], delimiter=mark))] if mark else first.split()
    names = header if source.first_line == "names" else None
    label = _column("y" if source.label is None else source.label, names, len(header), "label", path)
    groups = None if source.groups is None else _column(source.groups, names, len(header), "groups", path)
    if source.features is None:
        columns = [place for place in range(len(header)) if place not in (label, groups)]
    else:
        features = as_list(source.features) if isinstance(source.features, str) else source.features
        columns = [_column(entry, names, len(header), "features", path) for entry in features]
    load = partial(_load, path, mark, 0 if source.first_line == "data" else 1)
    values = load(columns, np.float32, _number)
    own = None if names is None else [names[place] for place in columns]
    given = source.band_names if isinstance(source.band_names, list) else own
    bands = _checked_names(given, len(columns))
    return Table(
        values=values,
        labels=_texts(load([label], np.str_, str.strip)[:, 0]),
        bands=bands,
        all_bands=bands,
        dtype="float32",
        groups=None if groups is None else load([groups], np.str_, str.strip)[:, 0],
    )


def _column(entry: str | int, names: Sequence[str] | None, count: int, option: str, path: Path) -> int:
    """The place of a column by its name or place."""
    if isinstance(entry, int):
        if not -count <= entry < count:
            raise ConfigError(
                f"{option}: '{path}' has {count} columns, numbered from 0 to {count - 1}; found {entry}."
            )
        return entry % count
    if names is None:
        raise ConfigError(
            f"{option}: '{entry}' is a name, but first_line says that '{path}' names no columns. Give a "
            "place, such as 0, or -1 for the last."
        )
    if entry not in names:
        raise ConfigError(f"{option}: {unknown_name(f"column in '{path}'", entry, names)}")
    if names.count(entry) > 1:
        raise ConfigError(
            f"{option}: '{path}' has {names.count(entry)} columns named '{entry}'. Give a place."
        )
    return list(names).index(entry)


def _load(
    path: Path, mark: str | None, skipped: int, columns: list[int], dtype: Any, convert: Callable[[str], Any]
) -> NDArray[Any]:
    """Some columns of a text file, `(n, columns)`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty file, which is an error below
            values = np.loadtxt(
                path,
                dtype=dtype,
                delimiter=mark,
                comments=None,
                skiprows=skipped,
                usecols=columns,
                converters=convert,
                quotechar='"',
                encoding="utf-8-sig",
                ndmin=2,
            )
    except ValueError as error:
        raise DataError(
            f"'{path}' cannot be read: {_line(error)}. Correct the file, or choose 'features'."
        ) from None
    if not len(values):
        raise DataError(f"'{path}' has no rows. Give a table with one row for each pixel.")
    return np.asarray(values)


def _number(text: str) -> float:
    return float("nan") if text.strip().lower() in _MISSING else float(text)


def _texts(values: NDArray[Any]) -> NDArray[np.str_]:
    """Labels and groups as text; whole numbers without a point."""
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == values.round()).all():
        values = values.astype(np.int64)
    return values.astype(np.str_)


def _line(error: Exception) -> str:
    """What an error says, in one line without a full stop."""
    return " ".join(str(error).split()).rstrip(".")
