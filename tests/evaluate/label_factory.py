"""Runs whose network is right about what it sees, over labels of which some were made wrong on purpose."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
import torch
from conftest import write_scene
from torch import Tensor, nn

from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.datamodule import SceneData
from eoseg.evaluate.out_of_sample import TrainedRun
from eoseg.models.network import Kind, Network

KINDS = ["soil", "grass", "roof"]
LEVELS = np.array([[400, 300], [700, 2500], [2200, 2000]])
FIELD = 16
"""Pixels along a side of a field of one class."""


class Nearest(nn.Module):
    """Takes each pixel for the material whose values are nearest; a chip for that of most of its pixels."""

    def __init__(self, per_chip: bool = False) -> None:
        super().__init__()
        self.per_chip = per_chip
        self.wants_raw = True

    def forward(self, image: Tensor) -> Tensor:
        levels = torch.tensor(LEVELS, dtype=torch.float32)  # (K, C)
        logits = -((image[:, None] - levels[None, :, :, None, None]) / 500).square().sum(dim=2)
        return logits.mean(dim=(2, 3)) if self.per_chip else logits


def network(kind: Kind = "segmentation") -> Network:
    """A network that needs no training."""
    made = Network(Nearest(kind == "classification"), bands=["red", "nir"], output_stride=1, kind=kind)
    made.normalize.mean.zero_()
    made.normalize.std.fill_(1.0)
    made.normalize.is_set.fill_(True)
    return made.eval()


def fields(seed: int, size: int = 192) -> np.ndarray:
    """The true class of each field."""
    return np.random.default_rng(seed).integers(0, 3, (size // FIELD, size // FIELD))


def write_world(
    folder: Path, wrong: Sequence[tuple[int, int]] = (), *, polygons: bool = False
) -> SceneSource:
    """One scene of fields, whose labels are wrong (the next class) in those at these rows and columns."""
    rng, true = np.random.default_rng(1), fields(0)
    given = true.copy()
    for row, col in wrong:
        given[row, col] = (true[row, col] + 1) % 3
    whole = true.repeat(FIELD, axis=0).repeat(FIELD, axis=1)
    image = (LEVELS[whole].transpose(2, 0, 1) + rng.normal(0, 60, (2, *whole.shape))).clip(1, 9999)
    write_scene(folder / "images" / "a.tif", image.astype(np.uint16), names=["red", "nir"])
    options: dict[str, Any] = {"labels": "labels/*.tif"}
    if polygons:
        boxes = [
            shapely.box(5e5 + 160 * col, 5.4e6 - 160 * (row + 1), 5e5 + 160 * (col + 1), 5.4e6 - 160 * row)
            for row, col in np.ndindex(true.shape)
        ]
        names = [KINDS[given[place]] for place in np.ndindex(true.shape)]
        frame = geopandas.GeoDataFrame({"kind": names}, geometry=boxes, crs="EPSG:32632")
        frame.to_crs(4326).to_file(folder / "fields.gpkg")
        options = {"labels": "fields.gpkg", "attribute": "kind"}
    else:
        mask = given.repeat(FIELD, axis=0).repeat(FIELD, axis=1).astype(np.uint8)
        write_scene(folder / "labels" / "a.tif", mask)
    return SceneSource(root=str(folder), images="images/*.tif", classes=KINDS, **options)


def run_of(source: SceneSource, kind: Kind = "segmentation", **split: Any) -> TrainedRun:
    """A run on half of the fields, which are tested and validated on the others."""
    options = split or {"val": 0.25, "test": 0.25, "block_size": 32, "buffer": 0}
    return TrainedRun("run", SceneData(source, FIELD, split=SplitConfig(**options)), network(kind))


def fields_of(run: TrainedRun, *splits: str) -> set[tuple[int, int]]:
    """Rows and columns of the fields of some splits."""
    assert isinstance(run.data, SceneData)
    found = set()
    for region in run.data.split.regions:
        if region.split in splits:
            area = region.window
            rows = range(area.row // FIELD, area.row_stop // FIELD)
            found |= {(row, col) for row in rows for col in range(area.col // FIELD, area.col_stop // FIELD)}
    return found
