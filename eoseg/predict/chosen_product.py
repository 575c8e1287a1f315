"""What a checkpoint's predictions are: the product that its recipe and the options ask for."""

from eoseg.errors import ConfigError
from eoseg.predict.product import Product
from eoseg.predict.products import ClassProduct, LabelProduct, ValueProduct
from eoseg.recipe import Recipe

_NOTABLE_SHARE = 0.1  # of the labels' standard deviation: two values that differ by less count as equal


def make_product(
    recipe: Recipe, *, probabilities: bool, uncertainty: bool = False, tta: bool = False
) -> Product:
    """Choose what a checkpoint's predictions are.

    Args:
        recipe: The checkpoint's recipe.
        probabilities: Whether to write probabilities too.
        uncertainty: Whether to write how sure the map is too.
        tta: Whether results are means over the symmetries.

    Raises:
        ConfigError: A quantity has no probabilities, and without symmetries nothing to tell how sure it is.
    """
    schema = recipe.schema
    if schema.quantity is not None:
        if probabilities:
            raise ConfigError(
                f"The checkpoint estimates '{schema.quantity.name}', one number per pixel, which has no "
                "probabilities. Leave --probabilities out."
            )
        if uncertainty and not tta:
            raise ConfigError(
                f"The checkpoint estimates '{schema.quantity.name}', one number per pixel, which has neither "
                "entropy nor margin. Add --tta for its spread, or leave --uncertainty out."
            )
        target = recipe.statistics.target
        tolerance = _NOTABLE_SHARE * target.std if target else 0.0
        return ValueProduct(schema.quantity, tolerance=tolerance, spread=uncertainty)
    if schema.multilabel:
        return LabelProduct(schema.classes, probabilities=probabilities, uncertainty=uncertainty, tta=tta)
    return ClassProduct(
        schema.classes,
        threshold=recipe.threshold,
        probabilities=probabilities,
        uncertainty=uncertainty,
        tta=tta,
    )
