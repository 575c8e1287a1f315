"""What an audit of a split says: whether what tests a network was seen, or nearly seen, in training."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eoseg.errors import ConfigError
from eoseg.geo.ground_plan import Ring
from eoseg.recipe import Plain

type Level = Literal["clean", "note", "unknown", "warning", "error"]
"""Of a check: nothing found; worth knowing; cannot be told from these data; figures may flatter; they do."""

LEVELS: tuple[Level, ...] = ("clean", "note", "unknown", "warning", "error")
"""From the best to the worst."""

VERDICTS = {
    "clean": "clean",
    "note": "clean",
    "unknown": "clean",
    "warning": "doubtful",
    "error": "leaking",
}

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of leak, and what was found of it."""

    name: str
    level: Level
    text: str
    """Whole sentences: what was found and, where it is bad, what to do."""
    numbers: Mapping[str, Plain] = dataclasses.field(default_factory=dict)
    """The same as values, such as the shared area."""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """A place of the map of a split."""

    split: str
    ring: Ring


@dataclass(frozen=True, slots=True)
class SplitMap:
    """Where the splits lie, for the picture."""

    unit: str
    """Of the coordinates: m or px."""
    outlines: tuple[Outline, ...]
    shared: tuple[Ring, ...] = ()
    """Ground that two splits share."""
    cut: tuple[Ring, ...] = ()
    """Label polygons on both sides."""


@dataclass(frozen=True)
class LeakageAudit:
    """Everything that was checked."""

    checks: tuple[Check, ...]
    map: SplitMap | None = None
    """None where nobody knows where the data lie."""
    seconds: float = 0.0

    @property
    def level(self) -> Level:
        """That of the worst check."""
        return max((check.level for check in self.checks), key=LEVELS.index, default="clean")

    @property
    def verdict(self) -> str:
        """In a word: clean, doubtful (figures may flatter) or leaking (they do)."""
        return VERDICTS[self.level]

    def of(self, level: Level) -> list[Check]:
        """The checks of one level."""
        return [check for check in self.checks if check.level == level]

    def record(self, *, allowed: bool) -> dict[str, Plain]:
        """What goes into checkpoints and beside every figure.

        Args:
            allowed: Whether leaks were allowed with --allow-leakage.
        """
        record = {
            "verdict": self.verdict,
            "allowed": bool(allowed and self.of("error")),
            "checks": {check.name: check.level for check in self.checks},
            "found": {check.name: check.text for check in self.checks if check.level in ("warning", "error")},
        }
        # Values of their own, whether the audit was made now or read: equal runs give equal bytes.
        copied: dict[str, Plain] = json.loads(json.dumps(record))
        return copied

    def require_clean(self, *, allowed: bool) -> None:
        """Refuse a split that leaks.

        Args:
            allowed: Whether to go on all the same.

        Raises:
            ConfigError: A check found an error.
        """
        errors = self.of("error")
        if errors and not allowed:
            raise ConfigError(
                f"The split leaks, so figures would be too good: {' '.join(check.text for check in errors)} "
                "'eoseg doctor' shows where. To train all the same, and have it said beside every figure, "
                "add --allow-leakage."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"verdict": self.verdict, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LeakageAudit":
        """What `to_dict` gave, after a way through JSON."""
        checks = tuple(Check(**{**c, "examples": tuple(c["examples"])}) for c in values["checks"])
        held = values["map"]
        if held is None:
            return cls(checks, None, values["seconds"])
        outlines = tuple(Outline(entry["split"], _ring(entry["ring"])) for entry in held["outlines"])
        shared, cut = (tuple(map(_ring, held[name])) for name in ("shared", "cut"))
        return cls(checks, SplitMap(held["unit"], outlines, shared, cut), values["seconds"])


def _ring(points: Sequence[Sequence[float]]) -> Ring:
    return tuple((float(x), float(y)) for x, y in points)


def some(names: Sequence[str]) -> tuple[str, ...]:
    """The first few of many examples."""
    return tuple(names[:_EXAMPLES])


def count_of(number: int, word: str) -> str:
    """A number with its noun: "1 place", "2 places"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
