"""What a split is, and its file split.json."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eoseg.datasets.index import SceneIndex
from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.geo.window import Window
from eoseg.recipe import Plain

SPLITS = ("train", "val", "test")
"""The splits; where two meet, the earlier gives way to the later."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a scene that belongs to one split."""

    scene_id: str
    window: Window
    split: str


@dataclass(frozen=True)
class Split:
    """All regions, and how they were made."""

    method: str
    seed: int
    parameters: dict[str, Plain]
    regions: tuple[Region, ...]

    def of(self, split: str) -> tuple[Region, ...]:
        """The regions of one split."""
        return tuple(region for region in self.regions if region.split == split)

    @property
    def sha256(self) -> str:
        """Hash over everything that the split says, in a canonical form."""
        return content_hash(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "seed": self.seed,
            "parameters": self.parameters,
            "regions": [
                {
                    "scene": region.scene_id,
                    "split": region.split,
                    "window": [
                        region.window.row,
                        region.window.col,
                        region.window.height,
                        region.window.width,
                    ],
                }
                for region in self.regions
            ],
        }

    def to_json(self) -> str:
        """The text of split.json."""
        content = self._content()
        lines = ",\n    ".join(json.dumps(region) for region in content.pop("regions"))
        head = json.dumps({"sha256": self.sha256, **content}, indent=2).removesuffix("\n}")
        return f'{head},\n  "regions": [\n    {lines}\n  ]\n}}\n'


def read_split(path: str | Path, index: SceneIndex) -> Split:
    """Read a split.json and check it against the scenes.

    Splits may share ground here: whether that is refused the audit says, as of any other split
    (`eoseg.datasets.leakage`).

    Raises:
        DataError: The file is missing or no split, its hash does not fit, it names other scenes, or a split
            has ground twice.
    """
    values = read_split_json(path)
    try:
        regions = tuple(
            Region(entry["scene"], Window(*entry["window"]), entry["split"]) for entry in values["regions"]
        )
        split = Split(values["method"], values["seed"], values["parameters"], regions)
        stored = values["sha256"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"'{path}' is not a split of eoseg ({error}). Use a split.json of a run folder."
        ) from None
    require_unchanged(path, stored, split.sha256)
    for region in regions:
        if not index.entry(region.scene_id).grid.window.contains(region.window):
            raise DataError(
                f"'{path}' has a region outside the scene '{region.scene_id}'. Use it with its own data."
            )
        if region.split not in SPLITS:
            raise DataError(f"'{path}': {unknown_name('split', region.split, SPLITS)}")
    _refuse_doubled(split, path)
    return split


def _refuse_doubled(split: Split, path: str | Path) -> None:
    """Refuse ground that one split has twice, which its figures would count twice."""
    held: dict[tuple[str, str], list[Region]] = {}
    for region in split.regions:
        others = held.setdefault((region.scene_id, region.split), [])
        if any(other.window.intersection(region.window) is not None for other in others):
            raise DataError(
                f"'{path}' has overlapping regions of {region.split} in the scene '{region.scene_id}'. "
                "Correct it."
            )
        others.append(region)


def read_split_json(path: str | Path) -> dict[str, Any]:
    """Read the values of a split.json, of regions or of items.

    Raises:
        DataError: The file is missing, or holds no values by name.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'. Check split.path.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"'{path}' is not a split of eoseg ({error}). Use a split.json of a run folder."
        ) from None
    if not isinstance(values, dict):
        raise DataError(f"'{path}' is not a split of eoseg. Use a split.json of a run folder.")
    return values


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256 over a canonical form of what a split says."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def require_unchanged(path: str | Path, stored: object, found: str) -> None:
    """Refuse a file whose content is no longer what its hash says.

    Raises:
        DataError: The hashes differ.
    """
    if stored != found:
        raise DataError(
            f"'{path}' was changed: its SHA-256 says {str(stored)[:12]}, its content {found[:12]}. "
            "Use the original, or remove split.path to make a new split."
        )


def require_agreement(path: str | Path, stored: Mapping[str, Plain], chosen: Mapping[str, Plain]) -> None:
    """A configuration may repeat what the file says, as a resolved one does, but not contradict it.

    Raises:
        ConfigError: An option says something else.
    """
    for name, value in chosen.items():
        if stored.get(name) != value:
            raise ConfigError(
                f"split.{name} is {value}, but '{path}' was made with {stored.get(name, 'none')}. "
                f"Leave split.{name} out to use the file, or split.path to make a new split."
            )
