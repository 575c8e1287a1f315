"""Which part of the work is this process's, where a launcher started several."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from eoseg.errors import ConfigError

_LAUNCHERS = {
    "torchrun": ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    # srun: outside of a step, as in a batch script, there is one process whatever the job has asked for.
    "srun": ("SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
}
"""Launcher: the variable by which it is known, and those of rank, number of processes and place."""


@dataclass(frozen=True, slots=True)
class Rank:
    """The place of this process among those that work together."""

    number: int = 0
    """0 to `count` - 1."""
    count: int = 1
    """Processes that work together."""
    local: int = 0
    """Place among those on this machine, which decides on the GPU."""

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ConfigError(
                f"Of {self.count} process(es) the first is 0 and the last {self.count - 1}; found "
                f"{self.number}. Check the launcher's variables."
            )


def find_rank(environment: Mapping[str, str] = os.environ) -> Rank:
    """What the launcher, torchrun or srun, says; one process alone without a launcher.

    Raises:
        ConfigError: A variable is missing or no number.
    """
    for launcher, (mark, *names) in _LAUNCHERS.items():
        if mark not in environment:
            continue
        texts = [environment.get(name, "") for name in names]
        wrong = [name for name, text in zip(names, texts, strict=True) if not text.isdecimal()]
        if wrong:
            raise ConfigError(
                f"{launcher} started this process ({mark} is set), but {wrong[0]} is "
                f"'{environment.get(wrong[0], '')}' and should be a number. Unset {mark} to run alone."
            )
        return Rank(*map(int, texts))
    return Rank()
