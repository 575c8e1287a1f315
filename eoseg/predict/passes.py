"""Of how many results a map is the mean."""

from dataclasses import dataclass
from typing import Self

from eoseg.models.symmetries import SYMMETRIES


@dataclass(frozen=True, slots=True)
class Passes:
    """How often each tile goes through a network, and what differs between these passes."""

    networks: int = 1
    """Trained networks; several are an ensemble."""
    samples: int = 1
    """Of each network, by dropout."""
    symmetries: int = 1
    """Of the square, in which each of them sees a tile."""

    @classmethod
    def chosen(cls, *, networks: int = 1, mc_dropout: int | None = None, tta: bool = False) -> Self:
        """What the options of a prediction ask for."""
        return cls(networks, mc_dropout or 1, len(SYMMETRIES) if tta else 1)

    @property
    def members(self) -> int:
        """Networks that differ: samples of one by dropout are such, its symmetries are not."""
        return self.networks * self.samples

    @property
    def count(self) -> int:
        """All passes."""
        return self.members * self.symmetries

    def __str__(self) -> str:
        found = (
            (self.networks, "checkpoints"),
            (self.samples, "samples by dropout"),
            (self.symmetries, "symmetries"),
        )
        return " x ".join(f"{count} {what}" for count, what in found if count > 1)
