import numpy as np
import pytest

from eoseg.errors import OutputError
from eoseg.geo.tally import ByteTally, FloatTally


@pytest.mark.parametrize("kind", [ByteTally, FloatTally])
def test_the_order_of_the_parts_does_not_matter_but_each_value_does(kind) -> None:
    values = np.random.default_rng(0).integers(0, 255, 100).astype(kind.dtype)
    whole, parts, other = kind(), kind(), kind()
    whole.add(values)
    parts.add(values[60:])
    parts.add(values[:60])
    other.add(np.where(np.arange(100) == 7, values + 1, values).astype(kind.dtype))
    assert whole == parts
    assert whole != other
    assert ByteTally() != FloatTally()


def test_any_nan_is_no_value() -> None:
    patterns = np.array([0x7FC00000, 0x7FC00001, 0xFFC00000], np.uint32).view(np.float32)
    first, second = FloatTally(), FloatTally()
    first.add(patterns)
    second.add(np.full(3, np.nan, np.float32))
    assert first == second
    assert (first.pixels, first.known) == (3, 0)


@pytest.mark.parametrize("values", [np.array([-1]), np.array([256]), np.array([0.5])])
def test_what_is_no_byte_is_refused(values) -> None:
    with pytest.raises(OutputError, match="'map.tif' holds integers from 0 to 255; found .* at here"):
        ByteTally().store(values, "map.tif", "here")


def test_an_infinite_number_is_refused() -> None:
    with pytest.raises(OutputError, match="found an infinite one at here"):
        FloatTally().store(np.array([1.0, np.inf]), "map.tif", "here")
    with np.errstate(over="ignore"), pytest.raises(OutputError, match="found an infinite one at here"):
        FloatTally().store(np.array([1e39]), "map.tif", "here")
