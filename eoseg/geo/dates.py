"""Dates in the names of files."""

import re
from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from pathlib import Path

from eoseg.errors import DataError

ACCEPTED = "YYYY-MM-DD, YYYY_MM_DD or YYYYMMDD, from 1970 to 2099"
"""How a date may be written in a name, for messages."""

DATE_EXPRESSION = r"(?<!\d)(?:19[7-9]\d|20\d\d)(?:-\d\d-\d\d|_\d\d_\d\d|\d\d\d\d)(?!\d)"
"""What looks like a date, as a regular expression without groups; month and day may still be impossible."""

_DATE = re.compile(DATE_EXPRESSION)


def find_dates(text: str) -> list[date]:
    """All dates that a text holds, each once, earliest first.

    A number with eight digits that is no day of the calendar, such as 20201399, is no date.
    """
    found = {_as_date(match.group()) for match in _DATE.finditer(text)}
    return sorted(day for day in found if day is not None)


def parse_date(path: str) -> date:
    """The date in the name of a file. Folders are not looked at; one date written twice is one date.

    Args:
        path: A file's path or name, such as "S2_2021-05-27.tif".

    Raises:
        DataError: The name holds no date, or several.
    """
    name = Path(path).name
    found = find_dates(name)
    if len(found) == 1:
        return found[0]
    held = f"the dates {', '.join(map(str, found))}" if found else "no date"
    raise DataError(
        f"'{path}' has {held} in its name; expected exactly one, written {ACCEPTED}. Rename the file."
    )


def sort_by_date(paths: Iterable[str]) -> list[tuple[date, str]]:
    """Bring dated files into the order of their dates.

    Args:
        paths: Files of one place, each with one date in its name.

    Raises:
        DataError: A name holds no date, or two files have the same one.
    """
    dated = sorted((parse_date(path), path) for path in paths)
    for (day, path), (next_day, next_path) in pairwise(dated):
        if day == next_day:
            raise DataError(
                f"'{path}' and '{next_path}' are both of {day}; a series has one file per date. Remove one, "
                "or merge them (rio merge)."
            )
    return dated


def day_of_year(day: date) -> int:
    """The number of a day in its year, 1 to 366."""
    return day.timetuple().tm_yday


def _as_date(text: str) -> date | None:
    digits = re.sub(r"\D", "", text)
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
