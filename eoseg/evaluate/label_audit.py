"""Which labels are probably wrong: of polygons, of rasters, of chips and of tables, the worst first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eoseg.errors import ConfigError
from eoseg.evaluate.confident import estimated_joint
from eoseg.evaluate.label_regions import judge_rasters
from eoseg.evaluate.label_units import Units, chip_units, polygon_units
from eoseg.evaluate.out_of_sample import TrainedRun, require_classes
from eoseg.geo.feature_table import common_crs, footprints_in
from eoseg.geo.regions import Crs, moved_shapes
from eoseg.geo.vectors import VectorLabels
from eoseg.recipe import MapClass

if TYPE_CHECKING:
    from eoseg.datasets.datamodule import SceneData


@dataclass(frozen=True, eq=False)
class LabelAudit:
    """What was found."""

    kind: str
    """What was judged: "polygons", "pixels", "chips" or "rows"."""
    classes: tuple[MapClass, ...]
    columns: dict[str, list[Any]]
    """Of the suspects, the worst first."""
    shapes: NDArray[np.object_] | None
    """Of the suspects; None where they have no place."""
    crs: Crs | None
    joint: NDArray[np.int64]
    """`(K, K)`: labels (rows) by what the network is sure of."""
    labels: NDArray[np.int64]
    """Judged labels of each class, `(K,)`."""

    def __len__(self) -> int:
        return len(self.columns["given"])

    @property
    def estimated_wrong(self) -> float:
        """Share of the judged labels that are wrong, as confident learning estimates it, 0 to 1."""
        return float(1 - np.trace(estimated_joint(self.joint, self.labels)))

    def first(self, count: int | None) -> "LabelAudit":
        """The worst ones alone."""
        columns = {name: values[:count] for name, values in self.columns.items()}
        shapes = None if self.shapes is None else self.shapes[:count]
        return LabelAudit(self.kind, self.classes, columns, shapes, self.crs, self.joint, self.labels)


def audit_labels(runs: Sequence[TrainedRun], *, device: str = "cpu") -> LabelAudit:
    """Judge the labels that the networks of some runs did not train on.

    Args:
        runs: One run, whose validation and test labels are judged; or all folds of a cross-validation, of
        which
            each judges its test labels.
        device: Where the networks run.

    Raises:
        ConfigError: Labels are no single classes, have no place that is known, or runs differ in their
        classes.
    """
    from eoseg.datasets.datamodule import SceneData
    from eoseg.datasets.torchgeo import TorchGeoData

    for run in runs:
        require_classes(run)
        if run.data.schema.class_names != runs[0].data.schema.class_names:
            raise ConfigError(
                f"'{runs[0].name}' and '{run.name}' have different classes. Name runs of one kind."
            )
    data = runs[0].data
    is_of_chips = runs[0].network.kind == "classification"
    if isinstance(data, TorchGeoData) and not is_of_chips:
        raise ConfigError(
            "Pixels of a benchmark have no place that eoseg knows, so there is nothing to list. Audit "
            "runs on "
            "scenes, chips or tables."
        )
    if isinstance(data, SceneData) and not is_of_chips:
        return _of_polygons(runs, data, device) if data.index.vectors else _of_rasters(runs, device)
    units = chip_units(runs, device=device)
    return _of_units(units, data.schema.classes, "chips" if is_of_chips else "rows", None)


def _of_units(
    units: Units, classes: tuple[MapClass, ...], kind: str, shapes: NDArray[np.object_] | None
) -> LabelAudit:
    if not units.given:
        raise ConfigError("The data that the network did not train on hold no label. Nothing can be judged.")
    found = units.judge()
    chosen = found.suspects(np.array(units.given)).tolist()
    crs = None
    placed = [place for place in units.places if place is not None]
    if len(placed) == len(units.places):
        crs = common_crs({units.names[n]: place[0] for n, place in enumerate(placed)})
        held = [footprints_in(placed[n][0], [placed[n][1]], crs)[0] for n in chosen]
        shapes = np.empty(len(held), object)
        shapes[:] = held
    elif shapes is not None:
        shapes = shapes[chosen]
    proposed = [int(found.proposed[n]) for n in chosen]
    given = [units.given[n] for n in chosen]
    columns: dict[str, list[Any]] = {
        **_classes(given, proposed, classes),
        "margin": [round(float(found.margin[n]), 4) for n in chosen],
        "confidence": [round(float(found.own[n]), 4) for n in chosen],
        "pixels": [units.pixels[n] for n in chosen],
        "place": [units.names[n] for n in chosen],
        "split": [units.splits[n] for n in chosen],
    }
    return LabelAudit(kind, classes, columns, shapes, crs, found.joint, found.labels)


def _classes(given: list[int], proposed: list[int], classes: Sequence[MapClass]) -> dict[str, list[Any]]:
    return {
        "given": [classes[number].name for number in given],
        "proposed": [classes[number].name for number in proposed],
        "class": proposed,  # its colour is that of the proposed class
    }


def _of_polygons(runs: Sequence[TrainedRun], data: "SceneData", device: str) -> LabelAudit:
    units = polygon_units(runs, device=device)
    scene = next(iter(data.index.entries.values()))
    labels = data.reader.labels(scene.id)
    assert isinstance(labels, VectorLabels)  # the caller looked
    numbers = [int(name.removeprefix("feature ")) for name in units.names]
    found = _of_units(units, data.schema.classes, "polygons", labels.shapes[numbers])
    return LabelAudit(
        found.kind, found.classes, found.columns, found.shapes, scene.grid.crs, found.joint, found.labels
    )


def _of_rasters(runs: Sequence[TrainedRun], device: str) -> LabelAudit:
    found = judge_rasters(runs, device=device)
    regions = found.regions
    classes = runs[0].data.schema.classes
    crs = common_crs({region.scene: region.grid for region in regions}) if regions else None
    moved = [moved_shapes([region.shape], region.grid.crs, crs)[0] for region in regions]
    shapes = np.empty(len(moved), object)
    shapes[:] = moved
    columns: dict[str, list[Any]] = {
        **_classes([r.given for r in regions], [r.proposed for r in regions], classes),
        "margin": [round(region.margin, 4) for region in regions],
        "confidence": [round(region.own, 4) for region in regions],
        "pixels": [region.pixels for region in regions],
        "place": [region.scene for region in regions],
        "split": [region.split for region in regions],
    }
    return LabelAudit("pixels", classes, columns, shapes, crs, found.joint, found.labels)
