from datetime import date

import pytest

from eoseg.errors import DataError
from eoseg.geo.dates import day_of_year, find_dates, parse_date, sort_by_date


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("S2_2021-05-27.tif", date(2021, 5, 27)),
        ("S2_2021_05_27_B2.tif", date(2021, 5, 27)),
        ("LC08_20210527.tif", date(2021, 5, 27)),
        ("20210527T101031.tif", date(2021, 5, 27)),
        ("folder_2019-01-01/S2_1970-01-01.tif", date(1970, 1, 1)),
        ("2099-12-31.tif", date(2099, 12, 31)),
        ("S2A_20200229T1_R022_20200229T2.tif", date(2020, 2, 29)),  # one date, written twice
        ("CB4_64_16D_STK_022024_2018-08-29.tif", date(2018, 8, 29)),
    ],
)
def test_a_date_is_found_in_a_name(name: str, day: date):
    assert parse_date(name) == day


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("S2.tif", "no date"),
        ("2021-05-27/S2.tif", "no date"),  # folders are not looked at
        ("S2_2021-0527.tif", "no date"),
        ("S2_20210631.tif", "no date"),  # June has 30 days
        ("S2_120210527.tif", "no date"),
        ("S2_19690101.tif", "no date"),
        ("S2_21000101.tif", "no date"),
        ("CB4_2018-08-29_2018-09-13.tif", "the dates 2018-08-29, 2018-09-13"),
    ],
)
def test_a_name_without_exactly_one_date_is_refused(name: str, held: str):
    with pytest.raises(DataError, match=f"'{name}' has {held} in its name.*YYYY-MM-DD, YYYY_MM_DD") as caught:
        parse_date(name)
    assert "\n" not in str(caught.value)


def test_all_dates_of_a_text_come_in_order():
    assert find_dates("b_20200301/2019-05-01_x_20200301") == [date(2019, 5, 1), date(2020, 3, 1)]


def test_files_are_sorted_by_date_whatever_their_names():
    paths = ["z/a_20200301.tif", "a/b_2019-05-01.tif", "c_2020_01_02.tif"]
    assert sort_by_date(paths) == [
        (date(2019, 5, 1), "a/b_2019-05-01.tif"),
        (date(2020, 1, 2), "c_2020_01_02.tif"),
        (date(2020, 3, 1), "z/a_20200301.tif"),
    ]


def test_two_files_of_one_date_are_refused():
    with pytest.raises(DataError, match=r"'a_2020-01-01.tif' and 'b_20200101.tif' are both of 2020-01-01"):
        sort_by_date(["b_20200101.tif", "a_2020-01-01.tif", "2020-01-02.tif"])


def test_days_count_within_their_year():
    assert [day_of_year(date(2020, *day)) for day in ((1, 1), (3, 1), (12, 31))] == [1, 61, 366]
    assert day_of_year(date(2021, 3, 1)) == 60
