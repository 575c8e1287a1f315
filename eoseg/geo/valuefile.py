"""Files of a quantity: one float32 number per pixel, that explain themselves."""

import json
from dataclasses import dataclass
from pathlib import Path

from eoseg.errors import DataError
from eoseg.geo.grid import Grid
from eoseg.geo.layer import Layer
from eoseg.geo.scene import Scene, open_dataset
from eoseg.recipe import Quantity

_KIND, _QUANTITY = "EOSEG_KIND", "EOSEG_QUANTITY"


def value_layer(quantity: Quantity) -> Layer:
    """One band of float32, described by the quantity's name, with its unit. Overviews are means."""
    content = json.dumps({"name": quantity.name, "unit": quantity.unit}, ensure_ascii=False)
    return Layer(
        bands=(quantity.name,),
        overviews="AVERAGE",
        dtype="float32",
        tags={_KIND: "values", _QUANTITY: content},
        unit=quantity.unit,
    )


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """What a file of a quantity says of itself."""

    path: str
    grid: Grid
    quantity: Quantity
    tags: dict[str, str]
    """Provenance: eoseg's version, checkpoint, scene, options, and whether the map is exact."""


def read_value_info(path: str | Path) -> ValueInfo:
    """Read what a file of a quantity says of itself.

    Raises:
        DataError: The file is missing, is no raster, or holds no quantity that eoseg wrote.
    """
    with open_dataset(str(path)) as dataset:
        tags = {key: value for key, value in dataset.tags().items() if key.startswith("EOSEG_")}
    kind = tags.pop(_KIND, None)
    try:
        quantity = Quantity(**json.loads(tags.pop(_QUANTITY))) if kind == "values" else None
    except (KeyError, TypeError, ValueError):
        quantity = None
    if quantity is None:
        held = f"holds {kind}" if kind and kind != "values" else "does not name its quantity"
        raise DataError(
            f"'{path}' {held}; expected a map of a quantity. Make one with 'eoseg predict' and a regression "
            "checkpoint."
        )
    with Scene(path) as scene:
        return ValueInfo(str(path), scene.grid, quantity, tags)
