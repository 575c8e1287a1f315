"""The recipe and the options say what a prediction is."""

import numpy as np
import pytest
import torch
from predict_factory import make_recipe

from eoseg.errors import ConfigError
from eoseg.predict.chosen_product import make_product
from eoseg.predict.passes import Passes
from eoseg.predict.products import ClassProduct, LabelProduct, ValueProduct
from eoseg.recipe import Quantity

HEIGHT = Quantity("height", "m")
VALID = np.ones((1, 3), np.bool_)
# Logarithms of odds of the second class: its probability is 0.5, 0.7 and 0.3.
ODDS = torch.logit(torch.tensor([[0.5, 0.7, 0.3]]))
BINARY = torch.stack([torch.zeros_like(ODDS), ODDS])


def test_the_recipe_says_what_a_prediction_is() -> None:
    of_classes = make_product(make_recipe(classes=("no", "yes"), threshold=0.65), probabilities=False)
    assert isinstance(of_classes, ClassProduct)
    assert of_classes.decode(BINARY, VALID)[0].tolist() == [[0, 1, 0]]
    of_labels = make_product(make_recipe(multilabel=True), probabilities=True)
    assert isinstance(of_labels, LabelProduct)
    assert (of_labels.outputs, of_labels.has_probabilities) == (4, True)
    of_values = make_product(make_recipe(quantity=HEIGHT), probabilities=False)
    assert isinstance(of_values, ValueProduct)
    assert (of_values.outputs, of_values.tolerance) == (1, 0.5)  # a tenth of the labels' deviation


def test_a_quantity_has_no_probabilities() -> None:
    with pytest.raises(ConfigError, match=r"estimates 'height', .* no probabilities. Leave --prob"):
        make_product(make_recipe(quantity=HEIGHT), probabilities=True)


@pytest.mark.parametrize(
    ("passes", "extras"),
    [
        (Passes(), ("out_of_range",)),
        (Passes(symmetries=8), ("spread", "out_of_range")),
        (Passes(networks=2), ("spread", "mutual_information", "out_of_range")),
        (Passes(samples=2, symmetries=8), ("spread", "mutual_information", "out_of_range")),
    ],
)
def test_what_goes_beside_a_map_is_asked_for(passes: Passes, extras: tuple[str, ...]) -> None:
    for recipe in (make_recipe(), make_recipe(multilabel=True)):
        product = make_product(recipe, probabilities=True, uncertainty=True, passes=passes)
        assert (product.has_probabilities, product.has_uncertainty, product.extras) == (True, True, extras)
        assert [len(layer.bands) for layer in product.layers()][1:] == [4, 2 + len(extras)]
        assert make_product(recipe, probabilities=False, passes=passes).extras == ()
    of_values = make_product(
        make_recipe(quantity=HEIGHT), probabilities=False, uncertainty=True, passes=passes
    )
    assert of_values.extras == tuple(extra for extra in extras if extra != "mutual_information")
    plain = make_product(make_recipe(quantity=HEIGHT), probabilities=False, passes=passes)
    assert len(plain.layers()) == 1
