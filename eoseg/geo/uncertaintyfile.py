"""Files that say how sure a map is: bands for entropy, margin and spread."""

from pathlib import Path

from eoseg.geo.layer import Layer
from eoseg.geo.mapfile import PROBABILITY_STEPS
from eoseg.recipe import Quantity

_TAGS = {"EOSEG_KIND": "uncertainty"}
_SPREAD = "spread"


def uncertainty_layer(*, spread: bool) -> Layer:
    """Of classes or labels: entropy and margin, 0 to 1 in steps of 1/250, and the spread where there is one.

    Args:
        spread: Whether there is a band for it.
    """
    return Layer(
        bands=("entropy", "margin", *([_SPREAD] if spread else [])),
        overviews="AVERAGE",
        highest=PROBABILITY_STEPS,
        tags=_TAGS,
        scale=1 / PROBABILITY_STEPS,
    )


def spread_layer(quantity: Quantity) -> Layer:
    """Of a quantity: the spread as one band of float32, in its unit."""
    return Layer(bands=(_SPREAD,), overviews="AVERAGE", dtype="float32", tags=_TAGS, unit=quantity.unit)


def uncertainty_path(map_path: Path) -> Path:
    """Where the uncertainty that goes with a map is."""
    return map_path.with_name(f"{map_path.stem}_uncertainty.tif")
