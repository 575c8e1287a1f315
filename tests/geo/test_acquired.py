"""When a scene was taken: its name says so, or its tags, or nothing better than the time of its file."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import MakeScene

from eoseg.geo.acquired import UNKNOWN, Acquisition, acquired, between

VALUES = np.ones((1, 4, 4), np.uint8)
NOON = datetime(2021, 5, 27, 12, 30, 5, tzinfo=UTC)


def tagged(path: Path, namespace: str | None, **tags: str) -> Path:
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns=namespace, **tags)
    return path


def test_the_date_of_a_name_is_a_day(make_scene: MakeScene) -> None:
    path = tagged(make_scene("S2_20200131.tif", VALUES), None, TIFFTAG_DATETIME="2021:05:27 12:30:05")
    assert acquired(str(path)) == Acquisition(
        datetime(2020, 1, 31, tzinfo=UTC), datetime(2020, 1, 31, 23, 59, 59, tzinfo=UTC), "name"
    )


@pytest.mark.parametrize("name", ["s.tif", "s_20200101_20200202.tif"])
def test_without_one_date_in_the_name_the_tags_tell(make_scene: MakeScene, name: str) -> None:
    path = tagged(make_scene(name, VALUES), None, TIFFTAG_DATETIME="2021:05:27 12:30:05")
    assert acquired(str(path)) == Acquisition(NOON, NOON, "TIFFTAG_DATETIME")


@pytest.mark.parametrize("text", ["2021-05-27 12:30:05", "2021-05-27T12:30:05.123Z"])
def test_the_time_of_acquisition_goes_before_that_of_the_file(make_scene: MakeScene, text: str) -> None:
    path = tagged(make_scene("s.tif", VALUES), None, TIFFTAG_DATETIME="2022:01:01 00:00:00")
    tagged(path, "IMAGERY", ACQUISITIONDATETIME=text)
    assert acquired(str(path)) == Acquisition(NOON, NOON, "ACQUISITIONDATETIME")


def test_the_time_of_the_file_is_the_last_resort(make_scene: MakeScene) -> None:
    path = tagged(make_scene("s.tif", VALUES), None, TIFFTAG_DATETIME="yesterday")
    os.utime(path, (0, NOON.timestamp() + 0.5))
    assert acquired(str(path), files=[path]) == Acquisition(NOON, NOON, "time of the file")
    assert acquired(str(path)) == UNKNOWN
    assert acquired(str(path.with_name("absent.tif"))) == UNKNOWN


def test_between_two_days() -> None:
    found = between(date(2021, 1, 10), date(2021, 12, 31))
    assert (found.start, found.end) == (
        datetime(2021, 1, 10, tzinfo=UTC),
        datetime(2021, 12, 31, 23, 59, 59, tzinfo=UTC),
    )
