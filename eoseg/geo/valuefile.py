"""Files of a quantity: one float32 number per pixel, that explain themselves."""

import json
from dataclasses import dataclass
from pathlib import Path

from eoseg.errors import DataError
from eoseg.geo.cog import COG_BLOCK, CogWriter, Layout
from eoseg.geo.grid import Grid
from eoseg.geo.scene import Scene, open_dataset
from eoseg.geo.tally import FloatTally
from eoseg.recipe import Quantity

_KIND, _QUANTITY = "EOSEG_KIND", "EOSEG_QUANTITY"


class ValueWriter(CogWriter):
    """Write a float32 COG of one band with nodata NaN: see `CogWriter` for the way of the file.

    The band is described by the quantity's name and has its unit as unit type. Overviews are means.
    """

    def __init__(
        self,
        path: str | Path,
        grid: Grid,
        quantity: Quantity,
        *,
        block: int = COG_BLOCK,
        overwrite: bool = False,
    ) -> None:
        """Begin a file.

        Args:
            path: Where the finished file will be.
            grid: The scene's grid.
            quantity: What the numbers are.
            block: See `CogWriter`.
            overwrite: Replace an existing file, at the very end.

        Raises:
            OutputError: The file exists, or nothing can be written there.
        """
        content = json.dumps({"name": quantity.name, "unit": quantity.unit}, ensure_ascii=False)
        layout = Layout(
            bands=(quantity.name,),
            overviews="AVERAGE",
            tags={_KIND: "values", _QUANTITY: content},
            unit=quantity.unit,
            cells=FloatTally,
        )
        super().__init__(path, grid, layout, block=block, overwrite=overwrite)

    @property
    def value_pixels(self) -> int:
        """Pixels written with a value."""
        return int(self.written.known)


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
