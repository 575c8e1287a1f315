"""What a checkpoint's predictions are: the product that its recipe and the options ask for."""

from eoseg.errors import ConfigError
from eoseg.geo.uncertaintyfile import Extra
from eoseg.predict.out_of_range import OUT_OF_RANGE
from eoseg.predict.passes import Passes
from eoseg.predict.product import Product
from eoseg.predict.products import ClassProduct, LabelProduct, ValueProduct
from eoseg.recipe import Recipe

_NOTABLE_SHARE = 0.1  # of the labels' standard deviation: two values that differ by less count as equal
_ONE_PASS = Passes()


def make_product(
    recipe: Recipe, *, probabilities: bool, uncertainty: bool = False, passes: Passes = _ONE_PASS
) -> Product:
    """Choose what a checkpoint's predictions are.

    Args:
        recipe: The checkpoint's recipe.
        probabilities: Whether to write probabilities too.
        uncertainty: Whether to write how sure the map is too.
        passes: Of which results are the mean.

    Raises:
        ConfigError: A quantity has no probabilities.
    """
    schema = recipe.schema
    extras = _extras(recipe, passes) if uncertainty else ()
    if schema.quantity is not None:
        if probabilities:
            raise ConfigError(
                f"The checkpoint estimates '{schema.quantity.name}', one number per pixel, which has no "
                "probabilities. Leave --probabilities out."
            )
        target = recipe.statistics.target
        tolerance = _NOTABLE_SHARE * target.std if target else 0.0
        return ValueProduct(schema.quantity, tolerance=tolerance, extras=extras)
    if schema.multilabel:
        return LabelProduct(
            schema.classes, probabilities=probabilities, uncertainty=uncertainty, extras=extras
        )
    return ClassProduct(
        schema.classes,
        threshold=recipe.threshold,
        probabilities=probabilities,
        uncertainty=uncertainty,
        extras=extras,
    )


def _extras(recipe: Recipe, passes: Passes) -> tuple[Extra, ...]:
    """What is known of a pixel beside entropy and margin."""
    found: list[Extra] = ["spread"] if passes.count > 1 else []
    if passes.members > 1 and recipe.schema.quantity is None:
        found.append("mutual_information")
    return (*found, OUT_OF_RANGE)
