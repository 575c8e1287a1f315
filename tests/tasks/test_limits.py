"""What a task refuses; the refusals in a training are in test_task.py."""

import pytest

from eoseg.errors import ConfigError
from eoseg.tasks.limits import require_chip_size


@pytest.mark.parametrize(("size", "nearest"), [(100, "96 or 128"), (20, "32")])
def test_chips_that_do_not_suit_name_the_nearest_size(size: int, nearest: str) -> None:
    require_chip_size(64, 32)
    with pytest.raises(ConfigError, match=f"chip_size {size} does not suit .* Set chip_size to {nearest}."):
        require_chip_size(size, 32)
