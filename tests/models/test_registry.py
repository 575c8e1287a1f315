"""What an entry of MODELS is: a function of the dimensions and of plain options, with its source."""

import inspect
import re
from typing import get_args

import pytest

from eoseg.models import MODELS, Dimensions, Kind

ENTRIES = [(kind, name) for kind, models in MODELS.items() for name in models]


def test_there_are_models_for_each_kind_of_network():
    assert set(MODELS) == set(get_args(Kind.__value__))
    assert all(MODELS.values())


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_a_model_takes_dimensions_and_plain_options_with_defaults(kind, name):
    first, *options = inspect.signature(MODELS[kind][name]).parameters.values()
    assert (first.name, first.annotation) == ("dims", Dimensions)
    for option in options:
        assert option.kind is option.KEYWORD_ONLY
        assert option.default is None or type(option.default) in (int, float, str, bool)


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_a_model_says_what_it_is_and_what_each_option_does(kind, name):
    function = MODELS[kind][name]
    documented = inspect.getdoc(function) or ""
    assert documented.partition("\n")[0].endswith(".")
    assert re.search(r"https?://|\b(19|20)\d\d\b", documented) or "timm" in documented  # its source
