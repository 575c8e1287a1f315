"""Sizes of a network are at least 1."""

import pytest

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions


def test_a_scene_of_one_date_is_what_is_meant_where_nothing_is_said():
    dims = Dimensions(4, 3)
    assert (dims.channels, dims.classes, dims.chip_size, dims.steps) == (4, 3, 64, 1)


@pytest.mark.parametrize("name", ["channels", "classes", "chip_size", "steps"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_below_one_is_refused_by_its_name(name, value):
    sizes = {"channels": 1, "classes": 1, "chip_size": 1, "steps": 1}
    Dimensions(**sizes)
    with pytest.raises(ConfigError, match=f"needs {name} of at least 1, found {value}"):
        Dimensions(**{**sizes, name: value})
