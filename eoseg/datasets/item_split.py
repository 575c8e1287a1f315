"""A split of items (chip files, rows of a table): what split.json holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.datasets.split_file import (
    SPLITS,
    content_hash,
    read_split_json,
    require_agreement,
    require_unchanged,
)
from eoseg.errors import DataError
from eoseg.recipe import Plain

__all__ = ["SPLITS", "ItemSplit", "read_item_split"]


@dataclass(frozen=True, eq=False)
class ItemSplit:
    """The split of every item, and how it was made."""

    method: str
    seed: int
    parameters: dict[str, Plain]
    ids: tuple[str, ...]
    numbers: NDArray[np.int64]
    """For each item its place in `SPLITS`, `(n,)`; -1 where it is in none."""

    def of(self, split: str) -> NDArray[np.int64]:
        """Places of the items of one split, in their order."""
        return np.flatnonzero(self.numbers == SPLITS.index(split))

    @property
    def sha256(self) -> str:
        """Hash over everything that the split says, in a canonical form."""
        return content_hash(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "seed": self.seed,
            "parameters": self.parameters,
            "items": {split: sorted(self.ids[place] for place in self.of(split)) for split in SPLITS},
        }

    def to_json(self) -> str:
        """The text of split.json."""
        return json.dumps({"sha256": self.sha256, **self._content()}, indent=1) + "\n"


def read_item_split(path: str, ids: Sequence[str], *, chosen: Mapping[str, Plain]) -> ItemSplit:
    """Read a split.json and check it against the items.

    Args:
        path: The file.
        ids: The names of all items.
        chosen: What the configuration says of the split, which may only repeat the file.

    Raises:
        DataError: The file is missing or no split of items, its hash does not fit, or it names other items.
        ConfigError: The configuration says something else.
    """
    values = read_split_json(path)
    numbers = np.full(len(ids), -1, np.int64)
    places = {name: place for place, name in enumerate(ids)}
    try:
        for number, name in enumerate(SPLITS):
            held = values["items"][name]
            unknown = [item for item in held if item not in places]
            if unknown:
                raise DataError(
                    f"'{path}' names {len(unknown)} items that the data do not have (first: "
                    f"'{unknown[0]}'). Use it with its own data."
                )
            numbers[[places[item] for item in held]] = number
        split = ItemSplit(values["method"], values["seed"], values["parameters"], tuple(ids), numbers)
        stored = values["sha256"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"'{path}' is not a split of chip files or rows ({error}). Use a split.json of a run on "
            "the same kind of data."
        ) from None
    require_unchanged(path, stored, split.sha256)
    said = {**split.parameters, "method": split.method, "seed": split.seed}
    require_agreement(path, said, chosen)
    return split
