"""What a map depends on: told apart from other runs by it, and written into the map."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

from eoseg import __version__
from eoseg.errors import DataError
from eoseg.geo.grid import Grid
from eoseg.geo.remote import shown
from eoseg.geo.scene import open_dataset
from eoseg.models.network import Network
from eoseg.predict.dated import DatedRasters
from eoseg.predict.options import Disagreement, PredictOptions
from eoseg.predict.out_of_range import OutOfRange
from eoseg.predict.plan import Layout
from eoseg.recipe import Recipe

RUN_TAG = "EOSEG_RUN"
CHECKPOINT = "the checkpoint"
"""The key of the checkpoint's hash in what `fingerprint` gives."""
_ENSEMBLE, _NONE = "the ensemble", "no"
_PIXEL_SIZE, _OWN = "the pixel size", "its own"

_OPTIONS = {  # as they are called in a map's tags, and in what `fingerprint` gives
    "bands": "the bands",
    "nodata": "nodata",
    "nodata_policy": "the nodata policy",
    "aoi": "the area of interest",
    "probabilities": "probabilities",
    "uncertainty": "uncertainty",
    "tta": "test-time augmentation",
    "mc_dropout": "samples by dropout",
}

_TRAINING = ("data", "split", "seed", "chosen_by", "chosen_on")
"""What a map tells of its network's training, so that figures of the map can tell it too."""

_SOURCE = re.compile(
    r'<SourceFilename(?=[^>]*relativeToVRT="(?P<relative>[01])")?[^>]*>(?P<path>[^<]*)</SourceFilename>'
)


def fingerprint(
    network: Network,
    recipe: Recipe,
    rasters: DatedRasters,
    grid: Grid,
    layout: Layout,
    options: PredictOptions,
    checkpoint: Path | None,
    runtime: str = "",
    *,
    pixel_size: float | None = None,
    others: Sequence[str] = (),
) -> dict[str, str]:
    """Everything that the values of a map depend on, by names that a user understands.

    Args:
        network: Its weights are hashed where there is no checkpoint file.
        recipe: Its recipe.
        rasters: The scene or the dates.
        grid: The scene's grid.
        layout: Tiles and halo, and how they are blended.
        options: Those that change values.
        checkpoint: Where the network comes from.
        runtime: What runs the network, in which precision.
        pixel_size: At which the scene is read, in metres; None for its own.
        others: Hashes of the other networks of an ensemble.
    """
    return {
        "eoseg's version": __version__,
        "the scene": "; ".join(map(_describe_file, rasters.paths)),
        "the grid": f"{grid.width} x {grid.height} px, {_digest(str(grid.crs), *grid.transform)}",
        CHECKPOINT: hash_checkpoint(network, recipe, checkpoint),
        _ENSEMBLE: ", ".join(others) or _NONE,
        "tile and halo": f"{layout.plan.core} and {layout.plan.halo} px",
        "the runtime": runtime,
        "probabilities": "yes" if options.probabilities else "no",
        "uncertainty": "yes" if options.uncertainty else "no",
        "test-time augmentation": "yes" if options.tta else "no",
        "samples by dropout": _NONE if options.mc_dropout is None else str(options.mc_dropout),
        "the bands": ",".join(options.bands or recipe.schema.bands),
        "nodata": "its own" if options.nodata is None else f"{options.nodata:g}",
        "the nodata policy": options.nodata_policy,
        _PIXEL_SIZE: _OWN if pixel_size is None else f"{pixel_size!r} m",
        "the area of interest": _describe_area(options.aoi),
        **({} if layout.exact else {"the blending of tiles": _describe_blending(layout)}),
    }


def hash_checkpoint(network: Network, recipe: Recipe, checkpoint: Path | None) -> str:
    """SHA-256 of a checkpoint's file, or of a network without one, in hexadecimal."""
    return hash_file(checkpoint) if checkpoint is not None else _hash_network(network, recipe)


def ensemble_hashes(run: Mapping[str, str]) -> list[str]:
    """Hashes of the other networks of an ensemble, from what `fingerprint` gave."""
    return [] if run[_ENSEMBLE] == _NONE else run[_ENSEMBLE].split(", ")


def run_name(of: Mapping[str, str]) -> str:
    """A short name of a run for its map, the same whenever the scene was copied."""
    lasting = {name: text for name, text in of.items() if name != "the scene"}
    sizes = [part.partition(", changed")[0] for part in of["the scene"].split("; ")]
    return _digest(json.dumps(lasting, sort_keys=True), *sizes)


def is_made(path: Path, run: str, rasters: DatedRasters) -> bool:
    """Whether a map is already what a run would make: of the same name, and newer than its scenes."""
    if not path.is_file() or read_run(path) != run:
        return False
    made = path.stat().st_mtime_ns
    return all(file.stat().st_mtime_ns <= made for scene in rasters.paths for file in local_files(scene))


def is_map(path: Path) -> bool:
    """Whether a file is there and a run of eoseg made it."""
    try:
        return path.is_file() and read_run(path) is not None
    except DataError:
        return False


def read_run(path: Path) -> str | None:
    """The run that made a map; None where eoseg did not make it."""
    with open_dataset(str(path)) as dataset:
        found = dataset.tags().get(RUN_TAG)
    return None if found is None else str(found)


def map_tags(
    recipe: Recipe,
    rasters: DatedRasters,
    layout: Layout,
    disagreement: Disagreement | None,
    checkpoint: Path | None,
    *,
    device: str,
    run: Mapping[str, str],
    runtime: str,
    others: Sequence[Path | None] = (),
    out_of_range: OutOfRange | None = None,
) -> dict[str, str]:
    """Where a map comes from. No time of making, so that the same input gives the same file.

    Args:
        recipe: The checkpoint's recipe.
        rasters: The scene or the dates.
        layout: Tiles and halo.
        disagreement: As it was measured, of a map that is not exact.
        checkpoint: Where the network comes from.
        device: Type of the device.
        run: What `fingerprint` gave.
        runtime: How the network was run.
        others: Where the other networks of an ensemble come from.
        out_of_range: Tiles with values that training never saw, where they were looked for.
    """
    tags = {
        "EOSEG_VERSION": __version__,
        RUN_TAG: run_name(run),
        "EOSEG_TASK": recipe.task,
        "EOSEG_NETWORK": _describe_network(recipe),
        "EOSEG_RECIPE_SHA256": hash_recipe(recipe),
        "EOSEG_OPTIONS": json.dumps({name: run[key] for name, key in _OPTIONS.items()}, ensure_ascii=False),
        "EOSEG_SCENE": ",".join(Path(shown(path)).name for path in rasters.paths),
        "EOSEG_BANDS": ",".join(recipe.schema.bands),
        "EOSEG_TILE": str(layout.plan.core),
        "EOSEG_HALO": str(layout.plan.halo),
        "EOSEG_OUTPUT_STRIDE": str(layout.plan.stride),
        "EOSEG_DEVICE": device,
        "EOSEG_RUNTIME": runtime,
        "EOSEG_EXACT": "yes" if layout.exact else "no",
        "EOSEG_EXACT_BECAUSE": layout.reason,
    }
    if run[_PIXEL_SIZE] != _OWN:
        tags["EOSEG_PIXEL_SIZE"] = run[_PIXEL_SIZE]
    if rasters.dates is not None:
        tags["EOSEG_DATES"] = ",".join(map(str, rasters.dates))
    training = {name: recipe.provenance[name] for name in _TRAINING if name in recipe.provenance}
    if training:
        tags["EOSEG_TRAINING"] = json.dumps(training, ensure_ascii=False)
    if recipe.scaling is not None:
        tags["EOSEG_CALIBRATION"] = f"{recipe.scaling.method} scaling"
    if recipe.threshold is not None:
        tags["EOSEG_THRESHOLD"] = f"{recipe.threshold:g}"
    if layout.overlap:
        tags["EOSEG_BLEND"] = _describe_blending(layout)
    if out_of_range is not None:
        tags["EOSEG_OUT_OF_RANGE"] = str(out_of_range)
    if disagreement is not None:
        tags["EOSEG_DISAGREEMENT"] = f"{disagreement.differing} of {disagreement.pixels} px"
    if checkpoint is not None:
        tags["EOSEG_CHECKPOINT"] = checkpoint.name
        tags["EOSEG_CHECKPOINT_SHA256"] = run[CHECKPOINT]
    return tags | _ensemble_tags(others, ensemble_hashes(run))


def _ensemble_tags(others: Sequence[Path | None], hashes: Sequence[str]) -> dict[str, str]:
    """Which other networks a map is the mean of; none where it is of one alone."""
    named = [
        {"checkpoint": path and path.name, "sha256": sha256}
        for path, sha256 in zip(others, hashes, strict=True)
    ]
    return {"EOSEG_ENSEMBLE": json.dumps(named, ensure_ascii=False)} if named else {}


def hash_recipe(recipe: Recipe) -> str:
    """SHA-256 of a recipe, in hexadecimal: the same whatever weights go with it."""
    return hashlib.sha256(json.dumps(recipe.to_dict(), sort_keys=True).encode()).hexdigest()


def _describe_network(recipe: Recipe) -> str:
    """Kind, architecture and its options in a few words; another network inside it is not spelled out."""
    network = recipe.network
    given = network.get("args")
    plain = [
        f"{name}={value}"
        for name, value in (given.items() if isinstance(given, dict) else ())
        if not isinstance(value, (dict, list))
    ]
    return f"{network.get('arch')} for {network.get('kind')}" + "".join(f", {option}" for option in plain)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe_file(path: str) -> str:
    changed = max((file.stat().st_mtime_ns for file in local_files(path)), default=0)
    return f"{_describe_content(path)}, changed {changed}"


def _describe_content(path: str) -> str:
    """Name and size of a file; of a virtual raster, what it says of its sources, wherever they lie."""
    file = Path(path)
    if not file.exists():
        return shown(path)  # a remote one
    if not is_virtual(file):
        return f"{file.name}, {file.stat().st_size} bytes"
    text = _SOURCE.sub(lambda found: _describe_content(_source_path(file, found)), _read_text(file))
    return f"{file.name}, {_digest(text)}"


def source_paths(path: str) -> list[str]:
    """What a raster is made of, here or elsewhere: itself, or the sources of a virtual one, each once."""
    file = Path(path)
    if not is_virtual(file):
        return [path]
    sources = (_source_path(file, found) for found in _SOURCE.finditer(_read_text(file)))
    return list(dict.fromkeys(inner for source in sources for inner in source_paths(source)))


def local_files(path: str) -> list[Path]:
    """The files on disk that a raster is made of."""
    return [file for file in map(Path, source_paths(path)) if file.exists()]


def is_virtual(file: Path) -> bool:
    """Whether a file is GDAL's description of other files."""
    return file.suffix.lower() == ".vrt" and file.is_file()


def _source_path(file: Path, found: re.Match[str]) -> str:
    text = unescape(found["path"])
    return str(file.parent / text) if found["relative"] == "1" else text


def _read_text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _describe_blending(layout: Layout) -> str:
    return f"Hann over {2 * layout.overlap} px" if layout.overlap else "none"


def _describe_area(area: str | None) -> str:
    if area is None:
        return "everywhere"
    path, _, layer = area.partition("::")
    return f"{Path(path).name}, {layer}, {hash_file(Path(path))}" if Path(path).is_file() else area


def _hash_network(network: Network, recipe: Recipe) -> str:
    total = hashlib.sha256(repr(recipe).encode())
    for name, tensor in network.state_dict().items():
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).numpy().tobytes())
    return total.hexdigest()


def _digest(*texts: Any) -> str:
    return hashlib.sha256("\n".join(map(str, texts)).encode()).hexdigest()[:16]
