"""The classical models: each method of scikit-learn for pixels, for chips and for series.

A model's options are those of its method (`eoseg.models.classical_methods`) and those of what it looks at:
`PixelBody`, `ChipBody` or `SeriesBody`.
"""

import inspect
import re
from collections.abc import Callable, Collection, Mapping

from torch import nn

from eoseg.models.classical_body import ClassicalBody
from eoseg.models.classical_chips import ChipBody
from eoseg.models.classical_methods import METHODS, REGRESSORS, Method
from eoseg.models.classical_pixels import PixelBody, SeriesBody
from eoseg.models.dimensions import Dimensions
from eoseg.recipe import Plain

type ModelFunction = Callable[..., nn.Module]


def _model(method: Callable[..., Method], body: type[ClassicalBody]) -> ModelFunction:
    """Join a method with what it looks at: a model function whose options are those of both."""
    of_method = _options(method)
    of_body = _options(body)

    def build(dims: Dimensions, **options: Plain) -> nn.Module:
        learner = method(**{name: value for name, value in options.items() if name not in of_body})
        made = body(dims, learner, **{name: value for name, value in options.items() if name in of_body})
        if isinstance(made, ChipBody):
            made.remember(options)
        return made

    first = inspect.Parameter("dims", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Dimensions)
    build.__name__ = build.__qualname__ = method.__name__
    build.__doc__ = _documentation(method, body, of_body)
    build.__dict__["__signature__"] = inspect.Signature(
        [first, *of_body.values(), *of_method.values()], return_annotation=nn.Module
    )
    return build


def _documentation(method: Callable[..., Method], body: type[ClassicalBody], names: Collection[str]) -> str:
    """What the method says of itself, and the body of its own options."""
    entries = re.finditer(r"^ {4}(\w+): .*(?:\n {5,}.*)*", inspect.getdoc(body.__init__) or "", re.MULTILINE)
    of_body = "".join(f"{entry[0]}\n" for entry in entries if entry[1] in names)
    return inspect.cleandoc(method.__doc__ or "").replace("Args:\n", f"Args:\n{of_body}", 1)


def _options(function: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return {name: entry for name, entry in parameters.items() if entry.kind is entry.KEYWORD_ONLY}


PIXEL_MODELS = {name: _model(method, PixelBody) for name, method in {**METHODS, **REGRESSORS}.items()}
"""Models for segmentation, and two for regression."""

CHIP_MODELS = {name: _model(method, ChipBody) for name, method in METHODS.items()}
"""Models for classification of chips."""

SERIES_MODELS = {name: _model(method, SeriesBody) for name, method in METHODS.items()}
"""Models for series."""
