"""Estimates of accuracy and area: published numbers, a second implementation, and simulated maps."""

import numpy as np
import pytest
import slow_estimators as slow

from eoseg.errors import DataError
from eoseg.evaluate.area import Estimates, Figure, Points, Stratum, estimate

# Olofsson et al. 2014, table 8: rows map, columns reference; deforestation, gain, forest, non-forest.
COUNTS = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
PIXELS = [200_000, 150_000, 3_200_000, 6_450_000]
HECTARES = 0.09

# Stehman 2014, table 2: strata A to D of ten points each, of 40,000 to 10,000 pixels.
STEHMAN_MAP = "AAAAAAABBB ABBBBBBBBB BBCCCCCCBB DDDDDDDDDD".replace(" ", "")
STEHMAN_REFERENCE = "AAAAACBABC ABBBBBAABB CCCCCDDBBA DDDDDDDCCB".replace(" ", "")


def from_counts(counts: list[list[int]], pixels: list[int], **options: bool) -> Estimates:
    """Strata are the classes; rows of the counts are those of the map."""
    size = len(pixels)
    mapped, reference = np.divmod(np.repeat(np.arange(size**2), np.ravel(counts)), size)
    strata = [Stratum(str(k), count, count * HECTARES) for k, count in enumerate(pixels)]
    points = Points(mapped, mapped, reference, np.full(len(mapped), HECTARES))
    return estimate(points, strata, classes=size, **options)


def test_the_worked_example_of_olofsson_2014() -> None:
    found = from_counts(COUNTS, PIXELS, finite=False)
    hectares = sum(PIXELS) * HECTARES
    assert f"{found.overall.value:.3f} +/- {found.overall.margin:.3f}" == "0.947 +/- 0.018"
    assert [f"{figure.value:.2f}" for figure in found.users if figure] == ["0.88", "0.73", "0.93", "0.96"]
    assert [f"{figure.value:.2f}" for figure in found.producers if figure] == ["0.75", "0.85", "0.93", "0.96"]
    assert [f"{figure.margin:.2f}" for figure in found.users if figure] == ["0.07", "0.10", "0.04", "0.02"]
    assert [f"{figure.margin:.2f}" for figure in found.producers if figure] == [
        "0.21",
        "0.25",
        "0.03",
        "0.02",
    ]
    deforestation = found.areas[0]
    told = f"{deforestation.value * hectares:.0f} +/- {deforestation.margin * hectares:.0f} ha"
    assert told == "21158 +/- 6158 ha"
    # The error matrix of table 9, whose rows are the map.
    assert np.round(found.matrix.T[0], 4).tolist() == [0.0176, 0.0, 0.0013, 0.0011]
    assert np.round(found.matrix.T[3], 4).tolist() == [0.0040, 0.0020, 0.0179, 0.6212]


def test_the_correction_for_a_finite_population_changes_little_there_and_much_elsewhere() -> None:
    with_it, without = (from_counts(COUNTS, PIXELS, finite=finite) for finite in (True, False))
    assert with_it.overall.value == without.overall.value
    assert 0.999 < with_it.overall.standard_error / without.overall.standard_error < 1
    half = [2 * sum(row) for row in COUNTS]  # every second pixel was drawn
    with_it, without = (from_counts(COUNTS, half, finite=finite) for finite in (True, False))
    ratio = with_it.overall.standard_error / without.overall.standard_error
    assert ratio == pytest.approx(0.5**0.5)


def test_the_worked_example_of_stehman_2014() -> None:
    places = np.array(["ABCD".index(letter) for letter in STEHMAN_MAP + STEHMAN_REFERENCE])
    # As the paper lists them, stratum after stratum; the order within a stratum does not matter.
    points = Points(np.repeat(np.arange(4), 10), places[:40], places[40:], np.ones(40))
    strata = [Stratum(*entry) for entry in zip("ABCD", PAPER_SIZES, PAPER_SIZES, strict=True)]
    found = estimate(points, strata, classes=4)
    users, producers = found.users[1], found.producers[1]
    assert users is not None
    assert producers is not None
    assert found.areas[0].value == pytest.approx(0.35)  # p. 4932
    assert found.areas[2].value == pytest.approx(0.20)
    assert found.overall.value == pytest.approx(0.63)
    assert round(users.value, 3) == 0.574  # p. 4934
    assert round(producers.value, 3) == 0.794
    assert found.matrix[2, 1] == pytest.approx(0.08)  # p. 4935, whose rows are the map
    assert round(found.areas[0].standard_error, 3) == 0.082
    assert round(found.areas[2].standard_error, 3) == 0.064
    assert round(found.overall.standard_error, 3) == 0.085  # p. 4936
    assert round(users.standard_error, 3) == 0.125
    # The paper prints 0.114; its equation 28 gives 0.1165, as R's mapaccuracy does.
    assert producers.standard_error == pytest.approx(0.1165479, abs=1e-7)


PAPER_SIZES = (40_000, 30_000, 20_000, 10_000)


def a_sample(seed: int, *, strata: int, classes: int) -> tuple[Points, list[Stratum]]:
    generator = np.random.default_rng(seed)
    drawn = generator.integers(4, 30, strata)
    sizes = drawn * generator.integers(2, 500, strata)
    held = np.repeat(np.arange(strata), drawn)
    mapped = generator.integers(0, classes, len(held))
    mapped[:classes] = np.arange(classes)  # each class is mapped and found somewhere
    reference = np.where(generator.random(len(held)) < 0.7, mapped, generator.integers(0, classes, len(held)))
    reference[:classes] = np.arange(classes)
    areas = generator.uniform(50, 150, len(held))
    totals = sizes * generator.uniform(80, 120, strata)
    listed = [
        Stratum(f"s{k}", int(size), float(area))
        for k, (size, area) in enumerate(zip(sizes, totals, strict=True))
    ]
    return Points(held, mapped, reference, areas), listed


def check(figure: Figure | None, expected: tuple[float, float]) -> None:
    assert figure is not None
    assert figure.value == pytest.approx(expected[0], abs=1e-10)
    assert figure.standard_error == pytest.approx(expected[1], abs=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_a_second_implementation_of_stehman_2014_agrees(seed: int) -> None:
    points, strata = a_sample(seed, strata=2 + seed % 4, classes=2 + seed % 3)
    sizes = [entry.pixels for entry in strata]
    equal = Points(points.strata, points.mapped, points.reference, np.full(len(points.strata), 3.0))
    found = estimate(equal, [Stratum(s.name, s.pixels, 3.0 * s.pixels) for s in strata], classes=2 + seed % 3)
    units = list(zip(points.strata.tolist(), points.mapped.tolist(), points.reference.tolist(), strict=True))

    def total(y) -> tuple[float, float]:
        return slow.stehman_total(units, sizes, y), slow.stehman_error(units, sizes, y)

    check(found.overall, total(lambda unit: float(unit[1] == unit[2])))
    for k in range(2 + seed % 3):
        check(found.areas[k], total(lambda unit, k=k: float(unit[2] == k)))
        both = lambda unit, k=k: float(unit[1] == unit[2] == k)  # noqa: E731
        check(found.users[k], slow.stehman_ratio(units, sizes, both, lambda unit, k=k: float(unit[1] == k)))
        check(
            found.producers[k], slow.stehman_ratio(units, sizes, both, lambda unit, k=k: float(unit[2] == k))
        )
        for j in range(2 + seed % 3):
            cell, _ = total(lambda unit, k=k, j=j: float(unit[1] == k and unit[2] == j))
            assert found.matrix[j, k] == pytest.approx(cell, abs=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_a_second_implementation_of_olofsson_2014_agrees(seed: int) -> None:
    generator = np.random.default_rng(seed)
    size = 2 + seed % 3
    counts = (generator.integers(0, 8, (size, size)) + 30 * np.eye(size, dtype=int)).tolist()
    pixels = generator.integers(1000, 10**7, size).tolist()
    found, expected = from_counts(counts, pixels, finite=False), slow.olofsson(counts, pixels)
    check(found.overall, expected["overall"][0])
    for k in range(size):
        check(found.users[k], expected["users"][k])
        check(found.producers[k], expected["producers"][k])
        check(found.areas[k], expected["areas"][k])


@pytest.mark.parametrize("seed", range(6))
def test_pixels_of_unequal_area_agree_with_a_second_implementation(seed: int) -> None:
    points, strata = a_sample(seed, strata=3, classes=3)
    found = estimate(points, strata, classes=3)
    units = list(zip(points.strata.tolist(), points.mapped.tolist(), points.reference.tolist(), strict=True))
    sizes, areas = [s.pixels for s in strata], [s.area for s in strata]

    def ratio(y, x) -> tuple[float, float]:
        return slow.weighted_ratio(units, points.areas.tolist(), sizes, areas, y, x)

    check(found.overall, ratio(lambda unit: float(unit[1] == unit[2]), lambda _: 1.0))
    for k in range(3):
        both = lambda unit, k=k: float(unit[1] == unit[2] == k)  # noqa: E731
        check(found.areas[k], ratio(lambda unit, k=k: float(unit[2] == k), lambda _: 1.0))
        check(found.users[k], ratio(both, lambda unit, k=k: float(unit[1] == k)))
        check(found.producers[k], ratio(both, lambda unit, k=k: float(unit[2] == k)))


def a_population(generator: np.random.Generator) -> np.ndarray:
    """Pixels of a map in each cell, rows map: mapped shares and errors differ from map to map."""
    weights = generator.dirichlet([2.0, 6.0, 12.0])
    right = generator.uniform(0.7, 0.9, 3)
    cells = np.diag(right)
    for row in range(3):
        others = [col for col in range(3) if col != row]
        cells[row, others] = (1 - right[row]) * generator.dirichlet([4.0, 4.0])
    return np.rint(200_000 * (0.05 + 0.85 * weights)[:, None] * cells).astype(int)


@pytest.mark.parametrize("mixed", [False, True], ids=["map classes", "other strata"])
def test_intervals_hold_the_truth_of_simulated_maps_in_95_of_100_draws(mixed: bool) -> None:
    generator = np.random.default_rng(11)
    held = {"areas": np.zeros(3), "users": np.zeros(3), "producers": np.zeros(3), "overall": np.zeros(1)}
    draws = 1000
    for _ in range(draws):
        cells = a_population(generator)
        # Strata: the classes of the map, or those of another map that often agrees with it.
        split = np.array([[8, 1, 1], [2, 7, 1], [1, 1, 8]]) if mixed else 10 * np.eye(3, dtype=int)
        population = cells[None] * split.T[:, :, None] // 10  # (stratum, map, reference)
        parts = [generator.multivariate_hypergeometric(part.ravel(), 300) for part in population]
        code = np.concatenate([np.repeat(np.arange(9), part) for part in parts])
        points = Points(np.repeat(np.arange(3), 300), code // 3, code % 3, np.ones(900))
        strata = [Stratum("s", int(part.sum()), float(part.sum())) for part in population]
        found = estimate(points, strata, classes=3)
        truth = population.sum(axis=0) / population.sum()  # rows map
        known = {
            "areas": truth.sum(axis=0),
            "users": np.diag(truth) / truth.sum(axis=1),
            "producers": np.diag(truth) / truth.sum(axis=0),
            "overall": [np.trace(truth)],
        }
        figures = {**{name: getattr(found, name) for name in held}, "overall": [found.overall]}
        for name, counts in held.items():
            for k, figure in enumerate(figures[name]):
                low, high = figure.interval
                counts[k] += low <= known[name][k] <= high
    coverage = {name: (counts / draws).tolist() for name, counts in held.items()}
    assert all(0.93 <= share <= 0.97 for shares in coverage.values() for share in shares), coverage


def test_estimates_of_pixels_of_unequal_area_hold_the_truth() -> None:
    """A map from the equator to 60 degrees, whose class on the ground depends on the latitude."""
    generator = np.random.default_rng(5)
    latitude = np.repeat(np.linspace(0, 60, 120), 50)
    areas = np.cos(np.radians(latitude))
    reference = (latitude + generator.normal(0, 15, len(latitude)) > 30).astype(int)
    mapped = np.where(generator.random(len(latitude)) < 0.2, 1 - reference, reference)
    truth = areas[reference == 1].sum() / areas.sum()
    strata = [Stratum(str(k), int((mapped == k).sum()), float(areas[mapped == k].sum())) for k in (0, 1)]
    values, held, ignoring = [], 0, []
    for _ in range(400):
        drawn = np.concatenate(
            [generator.choice(np.flatnonzero(mapped == k), 150, replace=False) for k in (0, 1)]
        )
        found = estimate(
            Points(mapped[drawn], mapped[drawn], reference[drawn], areas[drawn]), strata, classes=2
        )
        figure = found.areas[1]
        values.append(figure.value)
        held += figure.interval[0] <= truth <= figure.interval[1]
        even = Points(mapped[drawn], mapped[drawn], reference[drawn], np.ones(len(drawn)))
        ignoring.append(estimate(even, strata, classes=2).areas[1].value)
    assert np.mean(values) == pytest.approx(truth, abs=0.003)
    assert 0.92 <= held / 400 <= 0.98
    assert abs(np.mean(ignoring) - truth) > 0.01  # without areas it would be wrong


def test_figures_of_classes_that_are_not_there_are_undefined() -> None:
    found = from_counts([[9, 1, 0], [2, 8, 0], [0, 0, 2]], [50, 50, 2])
    assert found.users[2] == Figure(1.0, 0.0, (1.0, 1.0))  # both pixels were drawn
    points = Points(np.zeros(4, int), np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]), np.ones(4))
    found = estimate(points, [Stratum("all", 100, 100)], classes=3)
    assert found.users[2] is None
    assert found.producers[1] is None
    users = found.users[1]
    assert users is not None
    assert (users.value, users.standard_error) == (0, 0)
    assert users.unseen == (0, 1)  # two points say next to nothing
    assert found.areas[2].value == 0


def test_an_interval_is_cut_where_shares_end() -> None:
    assert Figure(0.99, 0.02).interval == (pytest.approx(0.9508, abs=1e-4), 1.0)
    assert Figure(0.01, 0.02).interval == (0.0, pytest.approx(0.0492, abs=1e-4))


@pytest.mark.parametrize("drawn", [(40, 40), (20, 60)])
def test_where_no_error_was_seen_the_interval_is_what_may_have_escaped(drawn: tuple[int, int]) -> None:
    found = from_counts([[drawn[0], 0], [0, drawn[1]]], [100_000, 300_000])
    # The largest unseen share of the area: p_1 / 4 + 3 p_2 / 4 with (1 - p_1)^n_1 (1 - p_2)^n_2 = 0.025
    tries = np.linspace(0, 1 - 0.025 ** (1 / drawn[1]), 2000)
    others = 1 - (0.025 / (1 - tries) ** drawn[1]) ** (1 / drawn[0])
    most = (others / 4 + 3 * tries / 4).max()
    low, high = found.overall.interval
    assert high == 1
    assert 1 - low == pytest.approx(most, rel=0.1)
    assert 1 - low >= most
    users, producers = found.users[0], found.producers[0]
    assert users is not None
    assert producers is not None
    assert users.interval == (pytest.approx(1 - 3.69 / drawn[0], abs=1e-3), 1)
    assert producers.interval == (pytest.approx(0.25 / (0.25 + 0.75 * 3.69 / drawn[1]), abs=1e-3), 1)
    low, high = found.areas[0].interval
    assert low == pytest.approx(0.25 * (1 - 3.69 / drawn[0]), abs=1e-3)
    assert high == pytest.approx(0.25 + 0.75 * 3.69 / drawn[1], abs=1e-3)


def test_intervals_without_a_seen_error_hold_the_truth() -> None:
    """Maps with so few errors that many a sample sees none."""
    generator = np.random.default_rng(2)
    held, unseen = 0, 0
    for _ in range(400):
        cells = np.array([[99_300, 700], [1_500, 298_500]])
        parts = [generator.multivariate_hypergeometric(row, 60) for row in cells]
        found = from_counts([part.tolist() for part in parts], cells.sum(axis=1).tolist())
        if found.areas[0].unseen is not None:
            unseen += 1
            low, high = found.areas[0].interval
            held += low <= cells[:, 0].sum() / cells.sum() <= high
    assert unseen > 100
    assert held / unseen > 0.95


def test_a_stratum_of_which_all_pixels_were_drawn_adds_no_error() -> None:
    found = from_counts([[3, 2], [1, 4]], [5, 5])
    assert found.overall.value == pytest.approx(0.7)
    assert found.overall.interval == (found.overall.value, found.overall.value)


def test_one_point_in_a_stratum_is_refused_unless_it_is_its_only_pixel() -> None:
    with pytest.raises(DataError, match="stratum '0' of 40 px has 1 point"):
        from_counts([[1, 0], [1, 4]], [40, 50])
    with pytest.raises(DataError, match="stratum '0' of 40 px has 0 point"):
        from_counts([[0, 0], [1, 4]], [40, 50])
    assert from_counts([[1, 0], [1, 4]], [1, 50]).overall.value == pytest.approx((1 + 50 * 0.8) / 51)
