"""A STAC item beside each map: where and when it is of, what its files hold, and which model made it.

STAC 1.1 (https://github.com/radiantearth/stac-spec/blob/v1.1.0/item-spec/item-spec.md), with fields of the
extensions named in `_EXTENSIONS` and `eoseg.predict.stac_model`. Addresses are relative to the item, so that
a folder may be moved. No time of making: the same input gives the same item.
"""

import json
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eoseg import __version__
from eoseg.geo.acquired import Acquisition, acquired, between
from eoseg.geo.geojson import footprint
from eoseg.geo.grid import Grid
from eoseg.geo.layer import Counts, Layer
from eoseg.geo.remote import address, is_remote, scene_name
from eoseg.predict.dated import DatedRasters
from eoseg.predict.product import FileRole
from eoseg.predict.provenance import CHECKPOINT, ensemble_hashes, local_files, run_name, source_paths
from eoseg.predict.stac_model import MODEL_EXTENSIONS, model_asset, model_fields
from eoseg.predict.work import Work
from eoseg.recipe import IGNORE, MapClass

_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_LEVEL = "L4"  # "model output or results from analyses of lower level data"

_TITLES: dict[FileRole, str] = {
    "map": "Map",
    "probabilities": "Probability of each class",
    "uncertainty": "How sure the map is",
}


def item_text(work: Work, counts: Sequence[Counts]) -> str:
    """The item of a finished prediction as JSON.

    Args:
        work: The prediction.
        counts: What its files hold, in the order of the product's layers.
    """
    return json.dumps(map_item(work, counts), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def map_item(work: Work, counts: Sequence[Counts]) -> dict[str, Any]:
    """The item of a finished prediction; see `item_text`."""
    base, grid = work.out.parent, work.source.grid
    place = footprint(grid)
    layers = zip(work.product.files(work.out).items(), work.product.layers(), counts, strict=True)
    assets: dict[str, dict[str, Any]] = {
        role: _asset(role, _href(str(path), base), layer, held, grid, work.recipe.schema.classes)
        for (role, path), layer, held in layers
    }
    properties = {
        "title": f"Map of {', '.join(map(scene_name, work.rasters.paths))}",
        **_times(work.rasters),
        **_projection(grid),
        **_processing(work),
    }
    extensions = list(_EXTENSIONS)
    if work.checkpoint is not None:  # the extension wants the model itself among the assets
        sha256 = work.fingerprint[CHECKPOINT]
        classes = class_objects(work.recipe.schema.classes)
        properties |= model_fields(work.network, work.recipe, classes, sha256=sha256)
        href = _href(str(work.checkpoint), base)
        assets["model"] = model_asset(href, size=work.checkpoint.stat().st_size, sha256=sha256)
        assets |= _other_models(work, base)
        extensions += MODEL_EXTENSIONS
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": extensions,
        "id": work.out.stem,
        "geometry": None if place is None else place.geometry,
        **({} if place is None else {"bbox": place.bbox}),
        "properties": properties,
        "links": [_source_link(path, base) for scene in work.rasters.paths for path in source_paths(scene)],
        "assets": assets,
    }


def _other_models(work: Work, base: Path) -> dict[str, dict[str, Any]]:
    """The other checkpoints of an ensemble."""
    named = zip(work.members[1:], ensemble_hashes(work.fingerprint), strict=True)
    return {
        f"model_{number}": model_asset(
            _href(str(member.checkpoint), base), size=member.checkpoint.stat().st_size, sha256=sha256
        )
        for number, (member, sha256) in enumerate(named, start=2)
        if member.checkpoint is not None
    }


def class_objects(classes: Sequence[MapClass]) -> list[dict[str, Any]]:
    """Classes as the classification extension has them: names of few kinds of letters, each once."""
    names = [_plain_name(entry.name) for entry in classes]
    return [
        {
            "value": value,
            "name": name if name and names.count(name) == 1 else f"{name or 'class'}_{value}",
            "title": entry.name,
            "color_hint": bytes(entry.color).hex().upper(),
        }
        for value, (entry, name) in enumerate(zip(classes, names, strict=True))
    ]


def _plain_name(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^0-9A-Za-z-]+", "_", letters).strip("_")


def _asset(
    role: FileRole, href: str, layer: Layer, counts: Counts, grid: Grid, classes: Sequence[MapClass]
) -> dict[str, Any]:
    asset: dict[str, Any] = {
        "href": href,
        "type": _COG,
        "title": _TITLES[role],
        "roles": ["data"] if role == "map" else ["data", role],
        "raster:sampling": "area",
    }
    if grid.pixel_metres is not None:
        asset["raster:spatial_resolution"] = round(grid.pixel_metres, 6)
    bands = [
        _band(layer, number, counts, pixels=grid.height * grid.width) for number in range(len(layer.bands))
    ]
    if layer.categories is not None and counts.values is not None:
        nothing = {"value": IGNORE, "name": "no_value", "nodata": True}
        asset["classification:classes"] = [
            {**entry, "count": int(counts.values[0, entry["value"]])}
            for entry in [*class_objects(classes), nothing]
        ]
    elif role == "map" and classes:  # labels, a band for each
        held = [{"value": 0, "name": "absent"}, {"value": 1, "name": "present"}]
        bands = [{**band, "classification:classes": held} for band in bands]
    return {**asset, "bands": bands}


def _band(layer: Layer, number: int, counts: Counts, *, pixels: int) -> dict[str, Any]:
    band: dict[str, Any] = {
        "name": layer.bands[number],
        "data_type": layer.dtype,
        "nodata": "nan" if math.isnan(layer.nodata) else layer.nodata,
        "statistics": _statistics(layer, number, counts, pixels),
    }
    if layer.units[number]:
        band["unit"] = layer.units[number]
    if layer.scale is not None:
        band["raster:scale"] = layer.scale
    return band


def _statistics(layer: Layer, number: int, counts: Counts, pixels: int) -> dict[str, float]:
    """Of the stored values; of classes, whose numbers are names, only how many pixels have one."""
    found: dict[str, float] = {"count": counts.known, "valid_percent": round(100 * counts.known / pixels, 6)}
    if layer.categories is not None or not counts.known:
        return found
    if counts.values is None:
        of_it = counts.of_band(number)
        mean = of_it.total / of_it.known
        return {**found, "minimum": of_it.least, "maximum": of_it.most, "mean": mean}
    held = counts.values[number, :IGNORE]
    values = np.arange(IGNORE)
    mean = float((held * values).sum() / held.sum())
    spread = float((held * (values - mean) ** 2).sum() / held.sum())
    least, most = (int(values[held > 0][end]) for end in (0, -1))
    return {
        **found,
        "minimum": least,
        "maximum": most,
        "mean": round(mean, 6),
        "stddev": round(spread**0.5, 6),
    }


def _times(rasters: DatedRasters) -> dict[str, Any]:
    """When the scene was taken; of several dates from the first to the last."""
    if rasters.dates is not None:
        found = between(rasters.dates[0], rasters.dates[-1])
    else:
        each = [acquired(path, files=local_files(path)) for path in rasters.paths]
        found = Acquisition(min(one.start for one in each), max(one.end for one in each), each[0].source)
    is_one_day = found.start.date() == found.end.date()
    told: dict[str, Any] = {"datetime": _written(found.start) if is_one_day else None}
    if found.start != found.end:
        told |= {"start_datetime": _written(found.start), "end_datetime": _written(found.end)}
    return {**told, "eoseg:datetime_source": found.source}


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _projection(grid: Grid) -> dict[str, Any]:
    authority = None if grid.crs is None else grid.crs.to_authority()
    told: dict[str, Any] = {"proj:code": None if authority is None else ":".join(authority)}
    if grid.crs is not None and authority is None:
        told["proj:wkt2"] = grid.crs.to_wkt(version="WKT2_2019")
    return {**told, "proj:shape": [grid.height, grid.width], "proj:transform": list(grid.transform)[:6]}


def _processing(work: Work) -> dict[str, Any]:
    layout = work.layout
    exact = "exact" if layout.exact else "not exact"
    mean = f", mean over {work.passes}" if work.passes.count > 1 else ""
    return {
        "processing:level": _LEVEL,
        "processing:software": {"eoseg": __version__, "torch": str(torch.__version__)},
        "processing:lineage": f"eoseg predict: tiles of {layout.plan.core} px with a halo of "
        f"{layout.plan.halo} px, {work.runtime}{mean}; {exact} ({layout.reason})",
        "eoseg:run": run_name(work.fingerprint),
    }


def _source_link(path: str, base: Path) -> dict[str, str]:
    return {"rel": "derived_from", "href": _href(path, base), "title": Path(address(path)).name}


def _href(path: str, base: Path) -> str:
    """A path relative to the folder of the item; an address without what gives access."""
    if is_remote(path) or path.startswith("/vsi"):
        return address(path)
    relative = Path(os.path.relpath(path, base)).as_posix()
    return relative if relative.startswith("../") else f"./{relative}"
