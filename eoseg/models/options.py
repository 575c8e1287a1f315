"""Checks of the plain options that model functions take."""

from collections.abc import Sequence
from typing import cast

from eoseg.errors import ConfigError


def require_whole(name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuse what is no whole number from `low` to `high` (or beyond, where `high` is None).

    Raises:
        ConfigError: With the limits and the value.
    """
    wrong_type = not isinstance(value, int) or isinstance(value, bool)
    if wrong_type or cast(int, value) < low or (high is not None and cast(int, value) > high):
        limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise ConfigError(f"{name} is a whole number {limits}, found {value!r}.")


def require_share(name: str, value: object) -> None:
    """Refuse what is no number from 0 to below 1.

    Raises:
        ConfigError: With the value.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise ConfigError(f"{name} is a number from 0 to below 1, found {value!r}.")


def require_one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    """Refuse what is not among the allowed values.

    Raises:
        ConfigError: With the allowed values and the value.
    """
    if value not in allowed or isinstance(value, bool):
        raise ConfigError(f"{name} is one of {', '.join(map(str, allowed))}, found {value!r}.")


def require_bool(name: str, value: object) -> None:
    """Refuse what is neither true nor false.

    Raises:
        ConfigError: With the value.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is true or false, found {value!r}.")
