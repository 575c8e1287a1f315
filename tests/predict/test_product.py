"""Which files a prediction has, and what they hold where there is no value."""

from pathlib import Path

import pytest
import torch

from eoseg.predict.product import Product, join
from eoseg.predict.products import ClassProduct, LabelProduct, ValueProduct
from eoseg.recipe import Quantity, parse_classes

CLASSES = parse_classes(["a", "b", "c"])


@pytest.mark.parametrize("make", [ClassProduct, LabelProduct])
@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"map": "m.tif"}),
        ({"probabilities": True}, {"map": "m.tif", "probabilities": "m_probabilities.tif"}),
        ({"uncertainty": True}, {"map": "m.tif", "uncertainty": "m_uncertainty.tif"}),
    ],
)
def test_files_lie_beside_the_map_one_for_each_layer(
    make: type[Product], options: dict[str, bool], names: dict[str, str]
) -> None:
    product = make(CLASSES, **options)  # type: ignore[call-arg]
    files = product.files(Path("x/m.tif"))
    assert files == {role: Path("x") / name for role, name in names.items()}
    assert product.paths(Path("x/m.tif")) == list(files.values())
    assert len(product.layers()) == len(product.empty(2, 3)) == len(files)


def test_extras_go_with_the_uncertainty() -> None:
    assert ClassProduct(CLASSES, uncertainty=True, extras=("spread",)).extras == ("spread",)
    assert ClassProduct(CLASSES, extras=("spread",)).extras == ()
    assert LabelProduct(CLASSES, uncertainty=True).extras == ()
    height = Quantity("height", "m")
    assert ValueProduct(height, tolerance=1).extras == ()
    assert not ValueProduct(height, tolerance=1).has_uncertainty
    assert ValueProduct(height, tolerance=1, extras=("out_of_range",)).has_uncertainty


def test_extras_are_joined_behind_the_channels() -> None:
    channels, extras = torch.zeros(2, 3, 4, 5), torch.ones(2, 2, 4, 5)
    joined = join(channels, extras)
    assert joined.shape == (2, 5, 4, 5)
    assert (joined[:, 3:] == 1).all()
    assert join(channels, extras[:, :0]) is channels


def test_a_quantity_has_no_entropy() -> None:
    height = ValueProduct(Quantity("height", "m"), tolerance=1)
    assert torch.equal(height.entropy(torch.randn(2, 1, 4, 5)), torch.zeros(2, 1, 4, 5))
