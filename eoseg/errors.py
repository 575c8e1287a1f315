"""Every error that eoseg raises on purpose.

    EosegError
    ├── ConfigError        an option or a configuration file is wrong
    ├── DataError          a scene or a label is missing, broken or inconsistent
    │   ├── GridError      two rasters that must share a grid do not
    │   ├── BandError      a band is missing, unknown or has implausible values
    │   └── LossError      a training has lost its way, on these samples
    ├── CheckpointError    a file is not an eoseg checkpoint, or does not fit
    └── OutputError        a result cannot be written
        └── BusyError      another process is making it at this moment

A message says what was expected, what was found and what to do. The command line prints it as one
line and exits with status 2, so a message holds no line break.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class EosegError(Exception):
    """Base of all errors that a user can cause and repair."""


class ConfigError(EosegError):
    """An option or a configuration file is wrong."""


class DataError(EosegError):
    """A scene or a label is missing, broken or inconsistent."""


class GridError(DataError):
    """Two rasters that must share a grid do not."""


class BandError(DataError):
    """A band is missing, unknown or has implausible values."""


class LossError(DataError):
    """The loss of a training is no longer a finite number."""

    def __init__(self, message: str, *, samples: Sequence[str] = ()) -> None:
        """Keep what the batch held.

        Args:
            message: What is said.
            samples: Names of the samples of the batch.
        """
        super().__init__(message)
        self.samples = tuple(samples)


class CheckpointError(EosegError):
    """A file is not an eoseg checkpoint, or does not fit the code or the scene."""


class OutputError(EosegError):
    """A result cannot be written."""


class BusyError(OutputError):
    """Another process is making the result at this moment."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Word the message for a name that is not among the known ones.

    Args:
        kind: What the name stands for, such as "model" or "band".
        name: The name that was given.
        known: The names that exist.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"There is no {kind} '{name}'.{hint} Known: {', '.join(names)}."
