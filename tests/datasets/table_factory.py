"""Small tables with known content."""

from pathlib import Path
from typing import Any

import numpy as np

from eoseg.datasets.table_files import TableSource

KINDS = ["grass", "rock", "water"]


def arrays(count: int = 30, *, steps: int | None = None, features: int = 4) -> dict[str, Any]:
    """Arrays of an .npz file: row n holds the values 100 n + 10 t + f, and the classes take turns."""
    dates = np.arange(1 if steps is None else steps)
    values = (100 * np.arange(count)[:, None, None] + 10 * dates[:, None] + np.arange(features)).astype(
        np.float32
    )  # (n, T, F)
    held: dict[str, Any] = {
        "X": values[:, 0] if steps is None else values,
        "y": np.array(KINDS)[np.arange(count) % 3],
        "cell": np.array([f"c{number // 3}" for number in range(count)]),
        "names": np.array([f"B{number}" for number in range(features)]),
    }
    if steps is not None:
        held["when"] = 18262 + 16 * dates  # from the first of January 2020 on
    return held


def write_arrays(folder: Path, name: str = "pixels.npz", **changes: Any) -> Path:
    """Write `arrays(...)` with changes; None leaves an array out."""
    own = {key: changes.pop(key) for key in ("count", "steps", "features") if key in changes}
    held = {key: value for key, value in {**arrays(**own), **changes}.items() if value is not None}
    np.savez(folder / name, **held)
    return folder / name


def table_of(folder: Path, path: Any = "pixels.npz", **options: Any) -> TableSource:
    """The configuration of a table."""
    return TableSource(**{"root": str(folder), "path": path, "classes": KINDS, **options})
