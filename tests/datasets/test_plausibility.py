import re

import pytest

from eoseg.datasets.plausibility import judge_band, judge_scales
from eoseg.recipe import BandStatistics


def band(minimum: float, low: float, high: float, maximum: float, name: str = "B") -> BandStatistics:
    return BandStatistics(name, (low + high) / 2, (high - low) / 4, minimum, low, high, maximum)


@pytest.mark.parametrize(
    ("statistics", "dtype", "verdict"),
    [
        (band(0, 0.01, 0.5, 1.3), "float32", "reflectance 0-1"),
        (band(0, 3, 250, 255), "uint8", "8 bit, 0-255"),
        (band(0, 3, 250, 255), "uint16", "8 bit, 0-255"),
        (band(1, 200, 4500, 16_000), "uint16", "scaled reflectance 0-10000"),
        (band(-120, 90, 4500, 12_000), "int16", "scaled reflectance 0-10000"),
        (band(1, 30, 600, 1100), "uint16", "scaled, like 0-1000 (or a dark 0-10000)"),
        (band(0, 7000, 40_000, 65_535), "uint16", "digital numbers, 16 bit"),
        (band(-45, -25, -3, 12), "float32", "decibels or an index"),
        (band(0, 0, 1, 2), "uint8", "8 bit, 0-255"),
        (band(0, 0, 2, 2), "int16", "small integers"),
        (band(-5e6, -4e6, 4e6, 5e6), "float32", "unknown scale"),
    ],
)
def test_a_scale_is_recognised(statistics: BandStatistics, dtype: str, verdict: str):
    assert judge_band(statistics, dtype) == (verdict, None)


@pytest.mark.parametrize(
    ("statistics", "verdict", "problem"),
    [
        (band(7, 7, 7, 7), "constant", "is 7 everywhere, so it says nothing"),
        (band(0, 0, 0, 1), "almost constant", "is 0 in nearly all pixels (up to 1)"),
        (band(-9999, 3, 700, 900), "nodata among values", "Add under scenes: nodata: -9999"),
        (
            band(1, 100, 200, 3e6),
            "scaled reflectance 0-10000",
            "from 1 to 3e+06, but 96 % lie between 100 and 200",
        ),
    ],
)
def test_an_implausible_band_comes_with_what_to_do(statistics: BandStatistics, verdict: str, problem: str):
    found, text = judge_band(statistics, "float32")
    if verdict != "scaled reflectance 0-10000":
        assert found == verdict
    assert re.search(re.escape(problem), text or "")


def test_very_different_scales_are_said():
    ordinary, large = band(0, 10, 250, 255, "B1"), band(0, 100, 250_000, 300_000, "B2")
    assert "'B2' up to 250000, 'B1' up to 250" in (judge_scales([ordinary, large]) or "")
    assert judge_scales([ordinary, ordinary]) is None
    assert judge_scales([large]) is None
