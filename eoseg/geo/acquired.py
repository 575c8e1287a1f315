"""When a scene was taken, as far as its name or its file says."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Literal

from eoseg.errors import DataError
from eoseg.geo.dates import find_dates
from eoseg.geo.remote import shown
from eoseg.geo.scene import open_dataset

type TimeSource = Literal["name", "ACQUISITIONDATETIME", "TIFFTAG_DATETIME", "time of the file", "unknown"]

# Where GDAL keeps times: https://gdal.org/en/stable/user/raster_data_model.html (IMAGERY domain),
# https://gdal.org/en/stable/drivers/raster/gtiff.html (TIFFTAG_*), which may be when software wrote it.
_TAGS: tuple[tuple[TimeSource, str | None], ...] = (
    ("ACQUISITIONDATETIME", "IMAGERY"),
    ("TIFFTAG_DATETIME", None),
)
_FORMATS = ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A time, or a span of it, in UTC."""

    start: datetime
    end: datetime
    source: TimeSource
    """Who says so."""


UNKNOWN = Acquisition(
    datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "unknown"
)


def acquired(path: str, *, files: Sequence[Path] = ()) -> Acquisition:
    """When a raster was taken.

    Args:
        path: Of the raster. One date in its name is a day; otherwise its tags are looked at, if it can be
            read.
        files: What lies on disk of it: where nothing else tells, the time of the latest is taken.
    """
    days = find_dates(Path(shown(path)).name)
    if len(days) == 1:
        return Acquisition(*_whole_day(days[0]), "name")
    with suppress(DataError), open_dataset(path) as dataset:  # a server may have gone since
        for source, domain in _TAGS:
            moment = _parse(dataset.tags(ns=domain).get(source, ""))
            if moment is not None:
                return Acquisition(moment, moment, source)
    if not files:
        return UNKNOWN
    latest = datetime.fromtimestamp(int(max(file.stat().st_mtime for file in files)), UTC)
    return Acquisition(latest, latest, "time of the file")


def between(first: date, last: date) -> Acquisition:
    """From the beginning of a day to the end of another, both of which names of files have."""
    return Acquisition(_whole_day(first)[0], _whole_day(last)[1], "name")


def _whole_day(day: date) -> tuple[datetime, datetime]:
    return datetime.combine(day, time(), UTC), datetime.combine(day, time(23, 59, 59), UTC)


def _parse(text: str) -> datetime | None:
    cut = text.strip().partition(".")[0].removesuffix("Z")
    for form in _FORMATS:
        try:
            return datetime.strptime(cut, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
