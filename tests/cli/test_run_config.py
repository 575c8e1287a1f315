"""What `run` in a configuration refuses; tests/cli/test_trainer.py has it on the command line."""

from typing import Any

import pytest

from eoseg.cli.run_config import RunConfig
from eoseg.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"panels_every": -1}, "numbers of at least 0; found -1 and 100"),
        ({"table_pictures": -5}, "numbers of at least 0; found 5 and -5"),
        ({"register": "a/b/c"}, "--register names a registry and a collection"),
        ({"register": "maps", "wandb": False}, "which is switched off: leave one of them out"),
        ({"block_size": 65}, "times a power of two, such as 128; found 65"),
    ],
)
def test_what_cannot_be_honoured_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        RunConfig(**options)


def test_what_can_be_is_taken() -> None:
    assert RunConfig(panels_every=0, table_pictures=0, register="team/maps", block_size=128).wandb
