"""How many points, and how they are shared among the strata."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoseg.errors import ConfigError
from eoseg.evaluate.area import Stratum
from eoseg.evaluate.design import SampleSize, plan_sample

# Olofsson et al. 2014, section 5.1: deforestation, gain, forest, non-forest.
NAMES = ("deforestation", "gain", "forest", "other")
PIXELS, HECTARES = (200_000, 150_000, 3_200_000, 6_450_000), (2, 1.5, 32, 64.5)
PAPER = [Stratum(*entry) for entry in zip(NAMES, PIXELS, HECTARES, strict=True)]
EXPECTED = dict(zip(NAMES, (0.70, 0.60, 0.90, 0.95), strict=True))


def test_the_sample_size_of_olofsson_2014() -> None:
    size = SampleSize(standard_error=0.01, expected=EXPECTED)
    assert sum(plan_sample(PAPER, size).points) == 641
    assert sum(plan_sample(PAPER, SampleSize(standard_error=0.02, expected=EXPECTED)).points) == 161
    # (sum of W_h S_h / SE)^2 with S = 0.4 everywhere
    assert sum(plan_sample(PAPER, SampleSize(standard_error=0.02)).points) == 400


def test_the_allocations_of_olofsson_2014() -> None:
    def points(**options: object) -> tuple[int, ...]:
        return plan_sample(PAPER, SampleSize(points=641, expected=EXPECTED, **options)).points  # type: ignore[arg-type]

    assert points(allocation="equal") in ((161, 160, 160, 160), (160, 160, 160, 161))
    assert points(minimum=2) == (13, 10, 205, 413)
    # 75 for each rare class, the rest in proportion: the paper rounds to 75, 75, 165 and 325.
    assert points(minimum=75) == (75, 75, 163, 328)
    assert points(allocation="optimal", minimum=2) == (23, 19, 243, 356)  # in proportion to W_h S_h


def test_the_optimal_allocation_has_the_smallest_standard_error() -> None:
    def anticipated(allocation: str, **options: object) -> float:
        size = SampleSize(points=600, expected=EXPECTED, minimum=2, allocation=allocation, **options)  # type: ignore[arg-type]
        return plan_sample(PAPER, size).anticipated

    for target in ("overall", "area:gain"):
        best = anticipated("optimal", target=target)
        assert best < min(anticipated("equal", target=target), anticipated("proportional", target=target))


def test_the_anticipated_standard_error_is_the_one_that_was_wanted() -> None:
    size = SampleSize(standard_error=0.01, expected=EXPECTED, minimum=2, allocation="optimal")
    assert plan_sample(PAPER, size).anticipated == pytest.approx(0.01, abs=2e-5)
    assert (
        plan_sample(PAPER, SampleSize(points=1000)).anticipated
        < plan_sample(PAPER, SampleSize(points=300)).anticipated
    )


def test_the_target_is_the_area_of_a_class() -> None:
    size = SampleSize(points=600, expected=EXPECTED, allocation="optimal", target="area:gain", minimum=2)
    weights = np.array([0.02, 0.015, 0.32, 0.645])
    shares = (1 - np.array([0.70, 0.60, 0.90, 0.95])) * 0.015 / (1 - weights)
    shares[1] = 0.60
    expected = weights * np.sqrt(shares * (1 - shares))
    assert plan_sample(PAPER, size).points == pytest.approx(600 * expected / expected.sum(), abs=1)


def test_the_least_of_a_stratum_is_50_or_half_an_equal_share() -> None:
    assert min(plan_sample(PAPER, SampleSize(points=1000)).points) == 50
    assert min(plan_sample(PAPER, SampleSize(points=80)).points) == 10
    assert plan_sample(PAPER, SampleSize(points=1000)).minimum == 50
    wanted = SampleSize(standard_error=0.1, minimum=30)  # would be 16 points
    assert plan_sample(PAPER, wanted).points == (30, 30, 30, 30)


def test_a_small_stratum_gives_all_its_pixels() -> None:
    strata = [Stratum("a", 3, 3), Stratum("b", 1, 1), Stratum("c", 500, 500)]
    assert plan_sample(strata, SampleSize(points=100, allocation="equal")).points == (3, 1, 96)


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=8),
    st.integers(2, 400),
    st.sampled_from(["equal", "proportional", "optimal"]),
)
def test_points_are_as_many_as_wanted_and_within_bounds(
    pixels: list[int], points: int, allocation: str
) -> None:
    strata = [Stratum(str(k), count, count * 1.5) for k, count in enumerate(pixels)]
    size = SampleSize(points=points, allocation=allocation, minimum=2)  # type: ignore[arg-type]
    if points > sum(pixels) or points < sum(min(2, count) for count in pixels):
        with pytest.raises(ConfigError):
            plan_sample(strata, size)
        return
    plan = plan_sample(strata, size)
    assert sum(plan.points) == points
    assert all(min(2, count) <= drawn <= count for drawn, count in zip(plan.points, pixels, strict=True))
    assert math.isfinite(plan.anticipated)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 1}, "at least 2 points; found 1"),
        ({"minimum": 1}, "at least 2 points for a standard error; found a minimum of 1"),
        ({"standard_error": 0.5}, "between 0 and 0.5"),
        ({"standard_error": 0.0}, "between 0 and 0.5"),
        ({"expected": {"a": 1.0}}, "between 0 and 1; found 1"),
        ({"expected_else": 0.0}, "between 0 and 1; found 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SampleSize(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 100, "minimum": 50}, "100 points are too few for 4 strata with at least 50 each"),
        ({"points": 10**8}, "The map has 10,000,000 pixels"),
        ({"expected": {"forrest": 0.9}}, "There is no stratum 'forrest'. Did you mean 'forest'"),
        ({"target": "area:sea"}, "There is no target 'area:sea'"),
        ({"target": "gain"}, "There is no target 'gain'. Did you mean 'area:gain'"),
    ],
)
def test_wishes_that_do_not_fit_the_strata_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_sample(PAPER, SampleSize(**options))  # type: ignore[arg-type]


def test_the_area_of_the_only_class_is_no_target() -> None:
    with pytest.raises(ConfigError, match="All of the map is 'a'"):
        plan_sample([Stratum("a", 50, 50)], SampleSize(points=9, target="area:a"))
