"""Each check passes what is within its limits and refuses what is not, with the value."""

import pytest

from eoseg.errors import ConfigError
from eoseg.models.options import require_bool, require_one_of, require_share, require_whole


@pytest.mark.parametrize(
    ("value", "low", "high", "message"),
    [
        (2, 3, 5, "depth is a whole number from 3 to 5, found 2."),
        (6, 3, 5, "found 6"),
        (0, 1, None, "depth is a whole number of at least 1, found 0."),
        (True, 0, None, "found True"),
        (2.0, 1, None, "found 2.0"),
        ("3", 1, None, "found '3'"),
    ],
)
def test_a_number_that_is_not_whole_or_out_of_limits_is_refused(value, low, high, message):
    with pytest.raises(ConfigError, match=message):
        require_whole("depth", value, low, high)


@pytest.mark.parametrize("value", [1.0, -0.1, True, "0.5", None])
def test_a_share_outside_zero_to_one_is_refused(value):
    with pytest.raises(ConfigError, match=f"dropout is a number from 0 to below 1, found {value!r}"):
        require_share("dropout", value)


@pytest.mark.parametrize("value", ["c", 3, True, 1.5])
def test_a_value_that_is_not_listed_is_refused(value):
    with pytest.raises(ConfigError, match=f"mode is one of a, b, 1, found {value!r}"):
        require_one_of("mode", value, ("a", "b", 1))


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_switch_is_true_or_false(value):
    with pytest.raises(ConfigError, match=f"flag is true or false, found {value!r}"):
        require_bool("flag", value)


def test_values_within_the_limits_pass():
    require_whole("depth", 3, 3, 3)
    require_whole("depth", 10**9, 1)
    require_share("dropout", 0)
    require_share("dropout", 0.999)
    require_one_of("mode", 1, ("a", 1))
    require_bool("flag", False)
