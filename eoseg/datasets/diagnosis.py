"""What the doctor finds: facts and problems, as plain values."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from eoseg.datasets.leakage import LeakageAudit
from eoseg.recipe import BandStatistics


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, or may be, and what to do."""

    level: Literal["error", "warning"]
    text: str


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """One scene."""

    id: str
    width: int
    height: int
    crs: str
    pixel: str
    nodata_share: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class BandFacts:
    """Values of one band over all scenes."""

    statistics: BandStatistics
    verdict: str


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """One split."""

    name: str
    regions: int
    scenes: int
    pixels: int
    valid_pixels: int
    class_pixels: tuple[int, ...]
    """Labelled valid pixels per class; without labels, one count of the usable pixels."""
    chips: int
    """Chips that cover its area once."""


@dataclass
class Diagnosis:
    """Everything that was found."""

    scenes: list[SceneFacts] = field(default_factory=list)
    dtype: str = ""
    nodata: float | None = None
    band_names: list[str] = field(default_factory=list)
    bands: list[BandFacts] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    """Names of the classes, or of the quantity; none where the scenes have no labels."""
    class_pixels: list[int] = field(default_factory=list)
    """Labelled pixels per class over all scenes."""
    class_weights: list[float] = field(default_factory=list)
    """Proposed weights, from training pixels: see `Statistics.balanced_weights`."""
    split_method: str = ""
    split_sha256: str = ""
    split_parameters: dict[str, Any] = field(default_factory=dict)
    splits: list[SplitFacts] = field(default_factory=list)
    leakage: LeakageAudit | None = None
    """What the audit of the split found; None where there was no split to audit."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def has_errors(self) -> bool:
        """Whether training cannot work like this."""
        return any(problem.level == "error" for problem in self.problems)

    def warn(self, text: str) -> None:
        """Add something that may be wrong."""
        self.problems.append(Problem("warning", text))

    def fail(self, text: str) -> None:
        """Add something that prevents training."""
        self.problems.append(Problem("error", text))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        audited = None if self.leakage is None else self.leakage.to_dict()
        return {**dataclasses.asdict(self), "leakage": audited}
