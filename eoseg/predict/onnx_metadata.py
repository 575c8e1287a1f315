"""What an ONNX file says of itself, for eoseg and for the QGIS plugin Deepness.

Deepness (https://github.com/PUTvision/qgis-plugin-deepness) reads each of its keys as JSON. It divides the
values of a tile, whatever their type, by 255, subtracts `standardization_mean` and divides by
`standardization_std`, so that a deviation of 1 / 255 gives the graph its raw values. Of a Segmentor it takes
the likeliest channel of those above `seg_thresh`.
"""

import json
import math

from eoseg import __version__
from eoseg.models.network import Network
from eoseg.recipe import Recipe

RECIPE_KEY = "eoseg_recipe"
"""Key of the recipe: JSON of `Recipe.to_dict()`."""

_LEAST_METRES = 0.01  # a smaller pixel is one of a CRS in degrees, which Deepness does not take
_MOST_OVERLAP = 50  # percent of a tile


def describe_model(
    network: Network, recipe: Recipe, *, tile: int | None, halo: int, nodata: float | None
) -> dict[str, str]:
    """The metadata of an exported checkpoint.

    Args:
        network: What is in the file.
        recipe: Its recipe.
        tile: Height and width that the file takes; None for any.
        halo: Pixels around a tile that its result depends on.
        nodata: The value that means "no value" beside NaN.
    """
    told = {"eoseg_version": __version__, RECIPE_KEY: json.dumps(recipe.to_dict())}
    if nodata is not None:
        told["eoseg_nodata"] = json.dumps(nodata)
    if fits_deepness(network, tile=tile):
        told |= {key: json.dumps(value) for key, value in _deepness(recipe, tile or 0, halo).items()}
    return told


def fits_deepness(network: Network, *, tile: int | None) -> bool:
    """Whether the plugin can run a file: it takes single images of one size, and gives a value per pixel."""
    return network.kind == "segmentation" and tile is not None


def _deepness(recipe: Recipe, tile: int, halo: int) -> dict[str, object]:
    schema = recipe.schema
    bands = len(schema.bands)
    told: dict[str, object] = {
        "model_type": "Segmentor" if schema.quantity is None else "Regressor",
        "class_names": dict(
            enumerate(schema.class_names or [schema.quantity.name if schema.quantity else ""])
        ),
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1 / 255] * bands,
        "tile_size": tile,
        "tiles_overlap": min(math.ceil(200 * halo / tile), _MOST_OVERLAP),
    }
    if schema.quantity is None:
        # without a threshold: of many classes the likeliest is often below the plugin's one half
        told |= {"seg_thresh": 0.0, "seg_small_segment": 0}
    else:
        told["reg_output_scaling"] = 1.0
    if schema.pixel_size is not None and min(schema.pixel_size) >= _LEAST_METRES:
        told["resolution"] = 100 * schema.pixel_size[0]  # centimetres
    return told
