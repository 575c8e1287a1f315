"""Options of the methods: each has an effect, and wrong values are refused."""

import pytest
import torch
from classical_factory import everywhere, fit_pixels, make_body

from eoseg.errors import ConfigError
from eoseg.models.classical_methods import METHODS, REGRESSORS
from eoseg.models.dimensions import Dimensions


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("random_forest", {"trees": 0}, "trees is a whole number of at least 1, found 0"),
        ("random_forest", {"max_depth": -1}, "max_depth is a whole number of at least 0, found -1"),
        ("random_forest", {"min_samples_leaf": 0}, "min_samples_leaf is a whole number of at least 1"),
        ("random_forest", {"max_samples": 1}, "max_samples is a whole number of at least 2, found 1"),
        ("random_forest", {"seed": -1}, "seed is a whole number of at least 0, found -1"),
        ("gradient_boosting", {"rounds": 0}, "rounds is a whole number of at least 1, found 0"),
        ("gradient_boosting", {"learning_rate": 0.0}, "learning_rate is a positive number, found 0.0"),
        ("gradient_boosting", {"max_leaf_nodes": 1}, "max_leaf_nodes is a whole number of at least 2"),
        ("linear_svm", {"penalty": -1.0}, "penalty is a positive number, found -1.0"),
        ("linear_svm", {"max_iterations": 0}, "max_iterations is a whole number of at least 1"),
        ("rbf_svm", {"penalty": 0.0}, "penalty is a positive number, found 0.0"),
        ("rbf_svm", {"gamma": -0.5}, "gamma is a positive number, found -0.5"),
        ("nearest_neighbours", {"neighbours": 0}, "neighbours is a whole number of at least 1"),
        ("nearest_neighbours", {"weights": "near"}, "weights is one of uniform, distance, found 'near'"),
        ("logistic_regression", {"penalty": "much"}, "penalty is a positive number, found 'much'"),
        ("logistic_regression", {"max_iterations": 2.5}, "max_iterations is a whole number"),
        ("random_forest_regressor", {"trees": 0}, "trees is a whole number"),
        ("gradient_boosting_regressor", {"rounds": 0}, "rounds is a whole number"),
    ],
)
def test_wrong_values_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        {**METHODS, **REGRESSORS}[name](**options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random_forest", {"trees": 3}),
        ("random_forest", {"max_depth": 1}),
        ("random_forest", {"min_samples_leaf": 20}),
        ("random_forest", {"max_samples": 40}),
        ("random_forest", {"seed": 1}),
        ("gradient_boosting", {"rounds": 2}),
        ("gradient_boosting", {"learning_rate": 0.5}),
        ("gradient_boosting", {"max_leaf_nodes": 2}),
        ("gradient_boosting", {"max_samples": 100}),
        ("linear_svm", {"penalty": 0.01}),
        ("linear_svm", {"max_samples": 40}),
        ("rbf_svm", {"penalty": 0.01}),
        ("rbf_svm", {"gamma": 5.0}),
        ("rbf_svm", {"max_samples": 40}),
        ("nearest_neighbours", {"neighbours": 30}),
        ("nearest_neighbours", {"weights": "distance"}),
        ("nearest_neighbours", {"max_samples": 40}),
        ("logistic_regression", {"penalty": 0.01}),
        ("logistic_regression", {"max_samples": 40}),
    ],
)
def test_each_option_changes_what_is_learned(name, options):
    probe = 1.5 * torch.randn(1, 2, 20, 20, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(fit_pixels(name)(probe), fit_pixels(name, **options)(probe))


@pytest.mark.parametrize("name", ["gradient_boosting", "linear_svm", "rbf_svm", "nearest_neighbours"])
def test_the_seed_draws_the_sample(name):
    probe = 1.5 * torch.randn(1, 2, 20, 20, generator=torch.Generator().manual_seed(2))
    first, second = (fit_pixels(name, max_samples=100, seed=seed) for seed in (0, 1))
    assert not torch.equal(first(probe), second(probe))


@pytest.mark.parametrize("name", ["linear_svm", "logistic_regression"])
def test_too_few_iterations_are_told(name, caplog):
    fit_pixels(name, max_iterations=1)
    assert f"{name} stopped before it converged: raise max_iterations" in caplog.text


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random_forest_regressor", {"trees": 2}),
        ("random_forest_regressor", {"max_depth": 2}),
        ("random_forest_regressor", {"min_samples_leaf": 9}),
        ("random_forest_regressor", {"max_samples": 100}),
        ("random_forest_regressor", {"seed": 1}),
        ("gradient_boosting_regressor", {"rounds": 3}),
        ("gradient_boosting_regressor", {"learning_rate": 0.4}),
        ("gradient_boosting_regressor", {"max_leaf_nodes": 3}),
        ("gradient_boosting_regressor", {"max_samples": 100}),
    ],
)
def test_each_option_of_a_regressor_changes_what_is_learned(name, options):
    image = torch.linspace(-1, 1, 400).view(1, 1, 20, 20)
    target = image[:, 0].square()

    def fit(**own):
        body = make_body("pixels", name, Dimensions(1, 1, 20), **own)
        body.collect(image, everywhere(target), target)
        body.fit()
        return body(image)

    assert not torch.equal(fit(**options), fit())


def test_scaling_comes_first_where_distances_count():
    steps = METHODS["rbf_svm"]().estimator().steps
    assert [type(step).__name__ for _, step in steps] == ["StandardScaler", "SVC"]
    assert type(METHODS["random_forest"]().estimator()).__name__ == "RandomForestClassifier"


def test_a_method_makes_a_new_estimator_each_time():
    method = METHODS["random_forest"]()
    assert method.estimator() is not method.estimator()
