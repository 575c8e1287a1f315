"""What Lightning and its parser print, in fewer words."""

import logging

import pytest

from eoseg.cli.output import OneLineParser, own_error, quiet
from eoseg.errors import ConfigError, DataError


def test_the_error_within_is_found() -> None:
    inner = DataError("no file")
    outer = ValueError("a page of usage")
    outer.__cause__ = KeyError("x")
    outer.__cause__.__context__ = inner
    assert own_error(outer) is inner
    assert own_error(ValueError("x")) is None


def test_a_mistake_is_the_line_that_matters() -> None:
    parser = OneLineParser(exit_on_error=False)
    parser.add_argument("--size", type=int)
    with pytest.raises(ConfigError, match='"size".* Run with --help'):
        parser.parse_args(["--size=many"])


def test_advice_of_lightning_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    quiet()
    names = ("lightning.pytorch", "lightning.fabric")
    assert not any(logging.getLogger(name).propagate for name in names)
    teller = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    record = logging.LogRecord("x", logging.INFO, "", 0, "Tip: buy this", None, None)
    assert not all(entry(record) for entry in teller.filters if callable(entry))
