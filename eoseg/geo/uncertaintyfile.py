"""Files that say how sure a map is: bands for entropy, margin and what else is known of each pixel."""

from pathlib import Path
from typing import Literal

from eoseg.geo.layer import Layer
from eoseg.geo.mapfile import PROBABILITY_STEPS
from eoseg.recipe import Quantity

type Extra = Literal["spread", "mutual_information", "out_of_range"]
"""What is known of a pixel beside the probabilities of its classes: by how much several results differ there,
what their difference says, and which share of its values training never saw."""

_TAGS = {"EOSEG_KIND": "uncertainty"}


def uncertainty_layer(extras: tuple[Extra, ...] = ()) -> Layer:
    """Of classes or labels: entropy and margin, 0 to 1 in steps of 1/250, and a band for each extra.

    Args:
        extras: Which there are, in order.
    """
    return Layer(
        bands=("entropy", "margin", *extras),
        overviews="AVERAGE",
        highest=PROBABILITY_STEPS,
        tags=_TAGS,
        scale=1 / PROBABILITY_STEPS,
    )


def value_uncertainty_layer(quantity: Quantity, extras: tuple[Extra, ...]) -> Layer:
    """Of a quantity: a band of float32 for each extra; the spread is in the quantity's unit.

    Args:
        quantity: What is mapped.
        extras: Which there are, in order; at least one.
    """
    return Layer(
        bands=extras,
        overviews="AVERAGE",
        dtype="float32",
        tags=_TAGS,
        unit=quantity.unit,
        unitless=("out_of_range",),
    )


def uncertainty_path(map_path: Path) -> Path:
    """Where the uncertainty that goes with a map is."""
    return map_path.with_name(f"{map_path.stem}_uncertainty.tif")
