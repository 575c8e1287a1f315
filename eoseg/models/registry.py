"""The dictionary of all models, which `eoseg.models` fills.

It stands alone because some models hold another trained network, which is built from this dictionary.
"""

from collections.abc import Callable

from torch import nn

from eoseg.models.network import Kind

type ModelFunction = Callable[..., nn.Module]
"""Takes `Dimensions`, then its own options as keyword-only arguments; returns a body."""

MODELS: dict[Kind, dict[str, ModelFunction]] = {}
"""Of each kind, the models' names and functions."""
