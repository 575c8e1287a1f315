"""The methods of scikit-learn that eoseg offers, with their options: what they are, not what they look at.

Each function returns a `Method`. Adding one is a function here and an entry of `METHODS`: it is then a model
for pixels, for chips and for series.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eoseg.errors import ConfigError
from eoseg.models.options import require_one_of, require_whole


@dataclass(frozen=True, slots=True)
class Method:
    """A way to learn from a table."""

    name: str
    make: Callable[[], Any]
    """Returns a new estimator, always with the same seed."""
    max_samples: int
    """Rows that it learns from at most, drawn at random from all."""
    seed: int
    is_scaled: bool = False
    """Whether features are brought to mean 0 and deviation 1 first, because it measures distances."""
    takes_weights: bool = True
    is_parallel: bool = False
    """Whether one call of the estimator already uses all cores."""
    regression: bool = False
    min_samples: int = 2

    def __post_init__(self) -> None:
        require_whole("max_samples", self.max_samples, 2)
        require_whole("seed", self.seed, 0)

    def estimator(self) -> Any:
        """A new estimator, with the scaling where it needs one."""
        if not self.is_scaled:
            return self.make()
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), self.make())


def random_forest(
    *,
    trees: int = 100,
    max_depth: int = 0,
    min_samples_leaf: int = 1,
    max_samples: int = 50_000,
    seed: int = 0,
) -> Method:
    """Random forest (Breiman 2001, https://doi.org/10.1023/A:1010933404324): many trees, averaged.

    Args:
        trees: Number of trees.
        max_depth: Of a tree; 0 for no limit.
        min_samples_leaf: Samples that a leaf has at least. More make the forest smaller and smoother.
        max_samples: Samples to learn from at most, drawn at random.
        seed: Of the draws.
    """
    settings = _forest_settings(trees, max_depth, min_samples_leaf, seed)

    def make() -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(**settings)

    return Method("random_forest", make, max_samples, seed)


def gradient_boosting(
    *,
    rounds: int = 100,
    learning_rate: float = 0.1,
    max_leaf_nodes: int = 31,
    max_samples: int = 100_000,
    seed: int = 0,
) -> Method:
    """Gradient-boosted trees on histograms (Friedman 2001, https://doi.org/10.1214/aos/1013203451).

    The histograms are those of LightGBM (Ke et al. 2017). One tree per class and round.

    Args:
        rounds: Rounds of boosting.
        learning_rate: Share of each tree that is added.
        max_leaf_nodes: Leaves of a tree at most, 2 or more.
        max_samples: Samples to learn from at most, drawn at random.
        seed: Of the draws.
    """
    settings = _boosting_settings(rounds, learning_rate, max_leaf_nodes, seed)

    def make() -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(**settings)

    return Method("gradient_boosting", make, max_samples, seed, is_parallel=True)


def linear_svm(
    *, penalty: float = 1.0, max_iterations: int = 5000, max_samples: int = 100_000, seed: int = 0
) -> Method:
    """Linear support vector machine, one class against the rest (Cortes and Vapnik 1995).

    Source: https://doi.org/10.1007/BF00994018. Its logits are distances from the margin: they rank classes,
    and their softmax is no calibrated probability.

    Args:
        penalty: C, the price of samples on the wrong side; more follows the training samples closer.
        max_iterations: Of the solver.
        max_samples: Samples to learn from at most, drawn at random.
        seed: Of the draws.
    """
    _require_positive("penalty", penalty)
    require_whole("max_iterations", max_iterations, 1)

    def make() -> Any:
        from sklearn.svm import LinearSVC

        return LinearSVC(C=penalty, max_iter=max_iterations, random_state=seed)

    return Method("linear_svm", make, max_samples, seed, is_scaled=True, is_parallel=True)


def rbf_svm(*, penalty: float = 10.0, gamma: float = 0.0, max_samples: int = 10_000, seed: int = 0) -> Method:
    """Support vector machine with the kernel exp(-gamma d^2) (Cortes and Vapnik 1995).

    Source: https://doi.org/10.1007/BF00994018; one class against another, voted, by libsvm. Fitting takes the
    square of the number of samples, and mapping grows with it too. Its logits are votes, with the sum of
    distances to part equal ones: they rank classes, and their softmax is no calibrated probability.

    Args:
        penalty: C, the price of samples on the wrong side; more follows the training samples closer.
        gamma: Of the kernel; 0 for 1 over the number of features (which have a deviation of 1).
        max_samples: Samples to learn from at most, drawn at random.
        seed: Of the draws.
    """
    _require_positive("penalty", penalty)
    if gamma != 0:
        _require_positive("gamma", gamma)

    def make() -> Any:
        from sklearn.svm import SVC

        return SVC(C=penalty, gamma=gamma or "scale", cache_size=500)

    return Method("rbf_svm", make, max_samples, seed, is_scaled=True)


def nearest_neighbours(
    *, neighbours: int = 5, weights: str = "uniform", max_samples: int = 20_000, seed: int = 0
) -> Method:
    """The k nearest neighbours (Cover and Hart 1967, https://doi.org/10.1109/TIT.1967.1053964).

    The samples themselves are kept, and each pixel is compared with them. Takes no class weights.

    Args:
        neighbours: k.
        weights: uniform, or distance: a neighbour counts by 1 over its distance.
        max_samples: Samples to keep at most, drawn at random.
        seed: Of the draws.
    """
    require_whole("neighbours", neighbours, 1)
    require_one_of("weights", weights, ("uniform", "distance"))

    def make() -> Any:
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(neighbours, weights=weights)

    return Method(
        "nearest_neighbours",
        make,
        max_samples,
        seed,
        is_scaled=True,
        takes_weights=False,
        min_samples=max(neighbours, 2),
    )


def logistic_regression(
    *, penalty: float = 1.0, max_iterations: int = 1000, max_samples: int = 100_000, seed: int = 0
) -> Method:
    """Multinomial logistic regression, fitted to the end by L-BFGS (Cox 1958).

    Source: https://doi.org/10.1111/j.2517-6161.1958.tb00292.x.

    Args:
        penalty: C, the price of errors against large coefficients; more follows the training samples closer.
        max_iterations: Of the solver.
        max_samples: Samples to learn from at most, drawn at random.
        seed: Of the draws.
    """
    _require_positive("penalty", penalty)
    require_whole("max_iterations", max_iterations, 1)

    def make() -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=penalty, max_iter=max_iterations)

    return Method("logistic_regression", make, max_samples, seed, is_scaled=True, is_parallel=True)


def random_forest_regressor(
    *,
    trees: int = 100,
    max_depth: int = 0,
    min_samples_leaf: int = 5,
    max_samples: int = 50_000,
    seed: int = 0,
) -> Method:
    """Random forest that estimates a quantity (Breiman 2001, https://doi.org/10.1023/A:1010933404324).

    Args:
        trees: Number of trees.
        max_depth: Of a tree; 0 for no limit.
        min_samples_leaf: Samples that a leaf has at least. More make the forest smaller and smoother.
        max_samples: Samples to learn from at most, drawn at random.
        seed: Of the draws.
    """
    settings = _forest_settings(trees, max_depth, min_samples_leaf, seed)

    def make() -> Any:
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(**settings, max_features=1 / 3)  # a third, as in the paper

    return Method("random_forest_regressor", make, max_samples, seed, takes_weights=False, regression=True)


def gradient_boosting_regressor(
    *,
    rounds: int = 100,
    learning_rate: float = 0.1,
    max_leaf_nodes: int = 31,
    max_samples: int = 100_000,
    seed: int = 0,
) -> Method:
    """Gradient-boosted trees that estimate a quantity (Friedman 2001, https://doi.org/10.1214/aos/1013203451).

    Args:
        rounds: Rounds of boosting.
        learning_rate: Share of each tree that is added.
        max_leaf_nodes: Leaves of a tree at most, 2 or more.
        max_samples: Samples to learn from at most, drawn at random.
        seed: Of the draws.
    """
    settings = _boosting_settings(rounds, learning_rate, max_leaf_nodes, seed)

    def make() -> Any:
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(**settings)

    return Method(
        "gradient_boosting_regressor",
        make,
        max_samples,
        seed,
        takes_weights=False,
        is_parallel=True,
        regression=True,
    )


METHODS: dict[str, Callable[..., Method]] = {
    "random_forest": random_forest,
    "gradient_boosting": gradient_boosting,
    "linear_svm": linear_svm,
    "rbf_svm": rbf_svm,
    "nearest_neighbours": nearest_neighbours,
    "logistic_regression": logistic_regression,
}
"""Methods that give each row a class."""

REGRESSORS: dict[str, Callable[..., Method]] = {
    "random_forest_regressor": random_forest_regressor,
    "gradient_boosting_regressor": gradient_boosting_regressor,
}
"""Methods that give each row a number."""


def _forest_settings(trees: int, max_depth: int, min_samples_leaf: int, seed: int) -> dict[str, Any]:
    require_whole("trees", trees, 1)
    require_whole("max_depth", max_depth, 0)
    require_whole("min_samples_leaf", min_samples_leaf, 1)
    return {
        "n_estimators": trees,
        "max_depth": max_depth or None,
        "min_samples_leaf": min_samples_leaf,
        "n_jobs": -1,
        "random_state": seed,
    }


def _boosting_settings(rounds: int, learning_rate: float, max_leaf_nodes: int, seed: int) -> dict[str, Any]:
    require_whole("rounds", rounds, 1)
    _require_positive("learning_rate", learning_rate)
    require_whole("max_leaf_nodes", max_leaf_nodes, 2)
    return {
        "max_iter": rounds,
        "learning_rate": learning_rate,
        "max_leaf_nodes": max_leaf_nodes,
        "random_state": seed,
        # It would hold back a tenth, evenly over the classes, and fail where a class has one sample.
        "early_stopping": False,
    }


def _require_positive(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ConfigError(f"{name} is a positive number, found {value!r}.")
