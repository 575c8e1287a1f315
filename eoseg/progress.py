"""How far some work is, for whoever shows it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Progress:
    """How far some work is."""

    done: int
    """Pixels, or tiles, that are done."""
    total: int
    """Pixels, or tiles, that there are."""
    unit: Literal["pixels", "tiles"] = "pixels"
    """What is counted."""
