"""How the data of a run were split, from its split.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eoseg.datasets.split_file import SPLITS, Region
from eoseg.errors import DataError
from eoseg.geo.window import Window
from eoseg.report.run import Run

SPLIT_TITLES = {"train": "training", "val": "validation", "test": "test"}

MANNERS = {
    "blocks": "by spatial blocks with a buffer, so that test places lie apart from training places",
    "files": "by whole scenes, so that no test scene was seen in training",
    "groups": "by whole groups, so that no test group was seen in training",
    "random": "random: neighbours of training places are among the test places, so that the figures flatter",
}
"""What methods mean for a reader of figures."""


@dataclass(frozen=True, slots=True)
class SplitTable:
    """What each split holds."""

    method: str
    seed: int | None
    sha256: str
    parameters: Mapping[str, Any]
    regions: tuple[Region, ...]
    """Of scenes; none where items were split."""
    items: Mapping[str, int]
    """Chips, rows or images of each split; none where scenes were split."""

    @property
    def is_random(self) -> bool:
        """Whether neighbours may be on both sides."""
        return self.method == "random"

    def has(self, split: str) -> bool:
        """Whether a split holds anything."""
        return bool(self.items.get(split)) or any(region.split == split for region in self.regions)

    @property
    def manner(self) -> str:
        """How the split was made, in words, to go on after "The split is"."""
        if self.method.startswith("torchgeo:"):
            return f"the one of torchgeo's {self.method.removeprefix('torchgeo:')}"
        said = MANNERS.get(self.method)
        return (
            f"made with method '{self.method}'" if said is None else said.replace("a buffer", self._buffer())
        )

    def counts(self, split: str) -> dict[str, int]:
        """What a split holds, by what is counted."""
        if self.items:
            return {"Chips, rows or images": self.items.get(split, 0)}
        held = [region for region in self.regions if region.split == split]
        scenes = len({region.scene_id for region in held})
        pixels = sum(region.window.height * region.window.width for region in held)
        return {"Scenes": scenes, "Regions": len(held), "Pixels": pixels}

    def _buffer(self) -> str:
        buffer = self.parameters.get("buffer")
        return "a buffer" if buffer is None else f"a buffer of {buffer} px"


def read_split_table(run: Run) -> SplitTable | None:
    """What split.json of a run says; None where the run has none.

    Raises:
        DataError: The file holds something else.
    """
    values = run.split
    if not values:
        return None
    try:
        regions = tuple(
            Region(str(entry["scene"]), Window(*entry["window"]), str(entry["split"]))
            for entry in values.get("regions", ())
        )
        counts = values.get("images") or {
            name: len(values["items"][name]) for name in SPLITS if "items" in values
        }
        return SplitTable(
            str(values["method"]),
            values.get("seed"),
            str(values["sha256"]),
            dict(values.get("parameters") or {}),
            regions,
            {str(name): int(number) for name, number in counts.items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"'{run.folder / 'split.json'}' is not a split of eoseg ({error}). Copy the run folder again."
        ) from error
