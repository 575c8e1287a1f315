"""The model of a map in the words of STAC's Machine Learning Model extension.

https://github.com/stac-extensions/mlm/tree/v1.4.0: the version that pystac knows. It wants the input's bands
described under the item's own `bands`, and the model as an asset (for its checksum, the file extension).
"""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch

from eoseg.models.classical_body import ClassicalBody
from eoseg.models.network import Network
from eoseg.recipe import Recipe

MODEL_EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)

_TASKS = {"classification": "scene-classification"}
_SHA256 = "1220"  # as a multihash: the algorithm, and 32 bytes; https://github.com/multiformats/multihash
_VERSION = re.compile(r"\d+\.\d+\.\d+(\+[0-9a-zA-Z.-]+)?")


def model_fields(
    network: Network, recipe: Recipe, classes: Sequence[dict[str, Any]], *, sha256: str
) -> dict[str, Any]:
    """The properties of an item that describe a model.

    Whether it was trained from scratch is not told: a recipe does not keep it.

    Args:
        network: The model.
        recipe: Its recipe.
        classes: Its classes, as the classification extension has them.
        sha256: Of its checkpoint, which makes the name of the model one of its own.
    """
    schema = recipe.schema
    task = "regression" if schema.quantity else _TASKS.get(network.kind, "semantic-segmentation")
    arch = str(recipe.network.get("arch", "network"))
    told: dict[str, Any] = {
        "bands": [{"name": band, "data_type": recipe.statistics.dtype} for band in schema.bands],
        "mlm:name": f"{re.sub(r'[^0-9A-Za-z_.-]', '-', arch)}-{sha256[:12]}",
        "mlm:architecture": arch,
        "mlm:tasks": [task],
        **_framework(network),
        "mlm:total_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:input": [_input(network, recipe)],
        "mlm:output": [_output(network, recipe, classes, task=task)],
        "mlm:hyperparameters": _hyperparameters(recipe),
    }
    return told


def model_asset(href: str, *, size: int, sha256: str) -> dict[str, Any]:
    """The checkpoint as an asset.

    Args:
        href: Where it is.
        size: In bytes.
        sha256: In hexadecimal.
    """
    return {
        "href": href,
        "type": "application/octet-stream; application=pytorch",
        "title": "Checkpoint",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "torch.save",
        "file:size": size,
        "file:checksum": f"{_SHA256}{sha256}",
    }


def _framework(network: Network) -> dict[str, str]:
    name, found = "PyTorch", str(torch.__version__)
    if isinstance(network.body, ClassicalBody):
        name, found = "scikit-learn", version("scikit-learn")
    known = {"mlm:framework_version": found} if _VERSION.fullmatch(found) else {}
    return {"mlm:framework": name, **known}


def _input(network: Network, recipe: Recipe) -> dict[str, Any]:
    """Raw values go in; the model standardises them itself, unless it takes them as they are."""
    schema, size = recipe.schema, recipe.chip_size
    dated = not network.takes_one_date
    statistics = {band.name: band for band in recipe.statistics.bands}
    scaling = [
        {"type": "z-score", "mean": statistics[band].mean, "stddev": statistics[band].std or 1.0}
        for band in schema.bands
    ]
    return {
        "name": "image",
        "description": "Raw values; what value_scaling says is the model's own first layer.",
        "bands": list(schema.bands),
        "input": {
            "shape": [-1, *([schema.steps] if dated else []), len(schema.bands), size, size],
            "dim_order": ["batch", *(["time"] if dated else []), "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": None if getattr(network.body, "wants_raw", False) else scaling,
        "resize_type": None,
    }


def _output(
    network: Network, recipe: Recipe, classes: Sequence[dict[str, Any]], *, task: str
) -> dict[str, Any]:
    quantity, is_of_chips = recipe.schema.quantity, network.kind == "classification"
    place = [] if is_of_chips else [recipe.chip_size, recipe.chip_size]
    return {
        "name": quantity.name if quantity else "labels" if recipe.schema.multilabel else "classes",
        "tasks": [task],
        "result": {
            "shape": [-1, recipe.schema.outputs, *place],
            "dim_order": ["batch", "value" if quantity else "class", *(["height", "width"] if place else [])],
            "data_type": "float32",
        },
        "classification:classes": list(classes),
    }


def _hyperparameters(recipe: Recipe) -> dict[str, Any]:
    """The choices that made the network, as far as they are plain."""
    given = recipe.network.get("args")
    options = given if isinstance(given, dict) else {}
    plain = {name: value for name, value in options.items() if isinstance(value, (str, int, float, bool))}
    threshold = {} if recipe.threshold is None else {"threshold": recipe.threshold}
    calibration = {} if recipe.scaling is None else {"calibration": f"{recipe.scaling.method} scaling"}
    sizes = {"chip_size": recipe.chip_size, "output_stride": recipe.output_stride}
    return {**plain, **sizes, **threshold, **calibration}
