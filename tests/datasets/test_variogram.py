"""The range of labels, on mosaics whose range is known."""

import numpy as np
import pytest

from eoseg.datasets.variogram import Variogram, fit_exponential, variogram


def mosaic(rng: np.random.Generator, size: float, lines: float, places: np.ndarray) -> np.ndarray:
    """Classes in the cells that random lines cut a square into.

    Of a Poisson process of lines with `lines` of length per area, a stretch h is cut by none with the chance
    exp(-2 lines h / pi), so classes of cells drawn by lot make an exponential variogram.
    """
    radius = size
    count = rng.poisson(2 * radius * lines)
    angle, offset = rng.uniform(0, np.pi, count), rng.uniform(-radius, radius, count)
    centred = places - size / 2
    sides = centred @ np.stack([np.cos(angle), np.sin(angle)]) > offset  # (n, lines)
    cells = (sides.astype(np.uint64) * rng.integers(1, 2**62, count, np.uint64)).sum(axis=1)
    _, number = np.unique(cells, return_inverse=True)
    return rng.integers(0, 4, number.max() + 1)[number]


@pytest.mark.parametrize("length", [60.0, 240.0])
def test_the_range_of_a_mosaic_is_that_of_its_lines(length: float):
    ranges = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        places = rng.uniform(0, 1000, (700, 2))
        # Decay length pi / (2 lines); the practical range is three times as long.
        classes = mosaic(rng, 1000, 3 * np.pi / (2 * length), places)
        model = fit_exponential(variogram(places, classes.astype(float), longest=500, categorical=True))
        assert model is not None
        assert model.nugget + model.sill == pytest.approx(0.75, abs=0.15)  # four classes alike
        ranges.append(model.range)
    assert np.median(ranges) == pytest.approx(length, rel=0.3)


def test_gamma_is_that_of_all_pairs_one_by_one():
    rng = np.random.default_rng(1)
    places, values = rng.uniform(0, 10, (90, 2)), rng.normal(size=90)
    found = variogram(places, values, longest=8.0, categorical=False)
    rows, cols = np.triu_indices(90, 1)
    apart = np.hypot(*(places[rows] - places[cols]).T)
    half = 0.5 * (values[rows] - values[cols]) ** 2
    assert found.pairs.sum() <= (apart <= 8).sum()
    last = apart[(apart <= 8)]
    step = np.sort(last)[-int(found.pairs[-1]) :].min()
    inside = (apart >= step) & (apart <= 8)
    assert found.gamma[-1] == pytest.approx(half[inside].mean())
    assert found.lags[-1] == pytest.approx(apart[inside].mean())


def test_an_exponential_variogram_is_fitted_exactly():
    lags = np.geomspace(1, 300, 15)
    gamma = 0.1 + 0.5 * (1 - np.exp(-3 * lags / 80))
    model = fit_exponential(Variogram(lags, gamma, np.full(15, 100)))
    assert model is not None
    assert model.range == pytest.approx(80, rel=0.03)
    assert (model.nugget, model.sill) == (pytest.approx(0.1, abs=0.01), pytest.approx(0.5, abs=0.01))
    assert model.is_bounded
    alike = model.autocorrelation(np.array([0.0, 80.0, np.inf]))
    np.testing.assert_allclose(alike, [5 / 6, 5 / 6 * np.exp(-3), 0], atol=0.02)


def test_labels_that_grow_apart_over_all_distances_have_a_range_that_is_not_bounded():
    lags = np.geomspace(1, 100, 12)
    model = fit_exponential(Variogram(lags, lags / 200, np.full(12, 100)))
    assert model is not None
    assert not model.is_bounded


def test_too_few_places_and_one_class_alone_have_no_range():
    places = np.random.default_rng(0).uniform(0, 9, (200, 2))
    assert fit_exponential(variogram(places[:4], np.arange(4.0), longest=5, categorical=True)) is None
    assert fit_exponential(variogram(places, np.zeros(200), longest=5, categorical=True)) is None


def test_labels_without_order_have_no_resemblance_at_any_distance():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 100, (800, 2))
    model = fit_exponential(variogram(places, rng.integers(0, 3, 800), longest=50, categorical=True))
    assert model is not None
    near = model.nugget + model.sill * (1 - np.exp(-3 * 5 / model.range))
    assert near == pytest.approx(2 / 3, abs=0.05)
