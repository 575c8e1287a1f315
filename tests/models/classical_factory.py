"""Small problems with known answers for the classical models."""

import torch
from torch import Tensor

from eoseg.models.classical import CHIP_MODELS, PIXEL_MODELS, SERIES_MODELS
from eoseg.models.classical_body import ClassicalBody
from eoseg.models.dimensions import Dimensions

SMALL: dict[str, dict[str, int | float]] = {
    "random_forest": {"trees": 8},
    "random_forest_regressor": {"trees": 8, "min_samples_leaf": 1},
    "gradient_boosting": {"rounds": 8},
    "gradient_boosting_regressor": {"rounds": 40},
}
"""Options that make fits quick."""

REGISTRIES = {"pixels": PIXEL_MODELS, "chips": CHIP_MODELS, "series": SERIES_MODELS}


def make_body(kind: str, name: str, dims: Dimensions, **options: object) -> ClassicalBody:
    """A body of a kind ("pixels", "chips" or "series"), small unless said otherwise."""
    body = REGISTRIES[kind][name](dims, **{**SMALL.get(name, {}), **options})
    assert isinstance(body, ClassicalBody)
    return body


def quarters(size: int = 16, *, bands: int = 2) -> tuple[Tensor, Tensor]:
    """An image whose four quarters are the classes 0 to 3, told apart by the first band.

    Returns:
        Standardised values `(1, C, H, W)` and classes `(1, H, W)`.
    """
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    classes = 2 * (rows >= size // 2) + (cols >= size // 2)
    values = torch.zeros(1, bands, size, size)
    values[0, 0] = classes - 1.5
    if bands > 1:
        values[0, 1] = 1.0 - 2.0 * (classes % 2)
    noise = 0.2 * torch.randn(1, bands, size, size, generator=torch.Generator().manual_seed(0))
    return values + noise, classes[None]


def everywhere(target: Tensor) -> Tensor:
    """All pixels valid."""
    return torch.ones_like(target, dtype=torch.bool)


def fit_pixels(name: str, *, bands: int = 2, **options: object) -> ClassicalBody:
    """A model of pixels that has learned the quarters."""
    image, target = quarters(bands=bands)
    body = make_body("pixels", name, Dimensions(bands, 4, 16), **options)
    body.collect(image, everywhere(target), target)
    body.fit()
    return body
