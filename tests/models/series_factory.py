"""Models of series and series to feed them, for tests."""

from functools import partial

import torch
from torch import Tensor, nn

from eoseg.models.dimensions import Dimensions
from eoseg.models.series import lstm, ltae, tempcnn, transformer
from eoseg.models.series_dense import convlstm, utae

CLASSES = 4
STEPS = 7
PIXELWISE = {
    "lstm": partial(lstm, hidden=8),
    "tempcnn": partial(tempcnn, channels=8, hidden=16),
    "ltae": partial(ltae, width=32, heads=4),
    "transformer": partial(transformer, width=16, heads=2, layers=1),
}
DENSE = {"convlstm": partial(convlstm, hidden=8), "utae": partial(utae, channels=4, width=32, heads=8)}
FUNCTIONS = {**PIXELWISE, **DENSE}


def make_body(name: str, bands: int = 3, steps: int = STEPS, **options: object) -> nn.Module:
    """A small model with fixed random weights."""
    torch.manual_seed(0)
    body: nn.Module = FUNCTIONS[name](Dimensions(bands, CLASSES, chip_size=16, steps=steps), **options)
    return body


def make_series(
    bands: int = 3, height: int = 16, width: int = 24, *, steps: int = STEPS, batch: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """Standardised values with clouds over a third of the pixels, and days through a year."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(batch, steps, bands, height, width, generator=generator)
    valid = torch.rand(batch, steps, height, width, generator=generator) > 0.33
    days = torch.linspace(10.0, 350.0, steps).expand(batch, -1)
    return image, valid, days
