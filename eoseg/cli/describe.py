"""`eoseg describe`: what is in a checkpoint, a scene or a map."""

import argparse
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.errors import DataError
from eoseg.recipe import MapClass, Quantity, Recipe, Scaling, format_color

if TYPE_CHECKING:
    from eoseg.geo.grid import Grid

_DATES = {
    "single": "scenes of one date",
    "pair": "two dates, to find change between them",
    "series": "series of dates; trained on {steps} of them",
}
_REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi")


def main(command: str, argv: list[str]) -> None:
    """Describe a file, in words."""
    arguments = _parser(command).parse_args(argv)
    path = str(arguments.file)
    if not path.startswith(_REMOTE) and not Path(path).is_file():
        what = "is a folder" if Path(path).is_dir() else "does not exist"
        raise DataError(f"'{path}' {what}. Give a checkpoint (.ckpt), a scene or a map.")
    if Path(path).suffix == ".ckpt" or (Path(path).is_file() and zipfile.is_zipfile(path)):
        lines = _describe_checkpoint(path)
    else:
        lines = _describe_raster(path)
    for name, text in lines:
        print(f"{name:<14} {text}".rstrip())


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Say what is in a checkpoint (task, dates, bands, classes or quantity, value ranges, "
        "network, provenance), "
        "in a scene (grid, bands, values, nodata) or in a map (grid, classes, provenance).",
    )
    parser.add_argument("file", metavar="CHECKPOINT|SCENE|MAP", help="the file to describe")
    return parser


type Lines = list[tuple[str, str]]


def _describe_checkpoint(path: str) -> Lines:
    from eoseg.models.checkpoint import read_checkpoint  # imports torch

    recipe, state = read_checkpoint(path)
    weights = sum(value.numel() for value in state.values())
    schema, network = recipe.schema, recipe.network
    given = network.get("args")
    options = dict(given) if isinstance(given, dict) else {}
    encoder = options.pop("encoder", None)
    over = "" if encoder is None else f" over {encoder}"
    lines = [
        ("checkpoint", path),
        ("task", recipe.task),
        ("network", f"{network.get('arch')}{over} for {network.get('kind')}, {weights:,} numbers"),
    ]
    if options:
        lines.append(("", ", ".join(f"{key} {_option(value)}" for key, value in options.items())))
    lines += [
        ("chip size", f"{recipe.chip_size} px"),
        ("output stride", f"{recipe.output_stride} px"),
        ("takes", _DATES[schema.time].format(steps=schema.steps)),
        ("bands", ", ".join(schema.bands)),
    ]
    if schema.file_bands and schema.file_bands != schema.bands:
        lines.append(("", f"of files with {', '.join(schema.file_bands)}"))
    if schema.bands_named_by_config:
        lines.append(("", "named by the configuration: the training files do not name them"))
    if schema.pixel_size is not None:
        lines.append(
            ("pixel size", f"{schema.pixel_size[0]:g} x {schema.pixel_size[1]:g} (units of the CRS)")
        )
    lines += [*_training_lines(recipe), *_result_lines(recipe)]
    return lines + [(key, _told(value)) for key, value in recipe.provenance.items()]


def _told(value: object) -> str:
    """A record as text, without the marks of Python."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_told, value)) or "none"
    return str(value)


def _option(value: object) -> str:
    """An option in few words: a network inside a network is a recipe of its own."""
    if isinstance(value, dict):
        inner = value.get("network")
        arch = inner.get("arch") if isinstance(inner, dict) else None
        return f"{arch} of {value.get('task')}" if arch else f"with {len(value)} entries"
    return str(value)


def _result_lines(recipe: Recipe) -> Lines:
    """What a map holds: classes, labels or a quantity."""
    schema, statistics = recipe.schema, recipe.statistics
    if not schema.classes and schema.quantity is None:
        return []  # a pretraining
    if schema.quantity is None:
        lines = _class_lines(
            schema.classes, statistics.class_pixels, title="labels" if schema.multilabel else "classes"
        )
        if recipe.threshold is not None:
            second = schema.classes[1].name
            lines.append(("threshold", f"'{second}' is mapped from a probability of {recipe.threshold:g} on"))
        if recipe.scaling is not None:
            lines.append(("calibration", describe_scaling(recipe.scaling)))
        return lines
    lines = [("quantity", _quantity(schema.quantity))]
    target = statistics.target
    if target is not None:
        lines.append(
            (
                "",
                f"in training mean {target.mean:.5g}, deviation {target.std:.5g}, 96 % in {target.low:.5g} "
                f"to {target.high:.5g}, all in {target.minimum:.5g} to {target.maximum:.5g}",
            )
        )
    return lines


def describe_scaling(scaling: Scaling) -> str:
    """A calibration in a few words."""
    if scaling.method == "temperature":
        return f"temperature {1 / scaling.scale[0]:.4g}"
    scales, shifts = (", ".join(f"{value:.3g}" for value in held) for held in (scaling.scale, scaling.bias))
    return f"logits of the classes times {scales}, plus {shifts}"


def _quantity(quantity: Quantity) -> str:
    return f"{quantity.name} in {quantity.unit}" if quantity.unit else quantity.name


def _training_lines(recipe: Recipe) -> Lines:
    statistics = recipe.statistics
    lines = [
        (
            "trained on",
            f"{statistics.valid_pixels:,} valid pixels of {statistics.dtype}, "
            f"{statistics.nodata_share:.1%} nodata",
        )
    ]
    lines += [
        (
            f"  {band.name}",
            f"mean {band.mean:.5g}, deviation {band.std:.5g}, 96 % in {band.low:.5g} to {band.high:.5g}, "
            f"all in {band.minimum:.5g} to {band.maximum:.5g}",
        )
        for band in statistics.bands
    ]
    if recipe.schema.nodata is not None:
        lines.append(("nodata", f"{recipe.schema.nodata:g}, set by the configuration"))
    return lines


def _class_lines(classes: Sequence[MapClass], counts: Sequence[int] = (), *, title: str = "classes") -> Lines:
    lines = [(title, str(len(classes)))]
    total = sum(counts) if len(counts) == len(classes) else 0
    for index, entry in enumerate(classes):
        values = ", ".join(map(str, entry.values))
        share = f", {counts[index] / total:.1%} of the labelled pixels" if total else ""
        text = f"{entry.name} {format_color(entry.color)}, label {values}{share}"
        lines.append((f"  {index}", text))
    return lines


def _describe_raster(path: str) -> Lines:
    from eoseg.geo.mapfile import map_kind, read_map_info  # imports rasterio

    kind = map_kind(path)
    if kind is None:
        return _describe_scene(path)
    if kind == "values":
        from eoseg.geo.valuefile import read_value_info

        values = read_value_info(path)
        tags, grid, held = values.tags, values.grid, [("quantity", _quantity(values.quantity))]
    else:
        info = read_map_info(path, kind=kind)
        tags, grid, held = info.tags, info.grid, _class_lines(info.classes)
    lines = [("map", path), ("holds", kind), *_grid_lines(grid), *held]
    return lines + [
        (key.removeprefix("EOSEG_").lower().replace("_", " "), text) for key, text in tags.items()
    ]


def _describe_scene(path: str) -> Lines:
    import numpy as np

    from eoseg.geo.sample import sample_scene
    from eoseg.geo.scene import Scene
    from eoseg.geo.settings import gdal_settings

    with gdal_settings(), Scene(path) as scene:
        sample = sample_scene(scene)
        rows, cols = scene.block_shape
        named = "" if scene.has_band_names else " (the file does not name them)"
        lines = [
            ("scene", path),
            *_grid_lines(scene.grid),
            ("type", scene.dtype),
            ("nodata", "none declared" if scene.nodata is None else f"{scene.nodata:g}"),
            ("blocks", f"{cols} x {rows} px"),
            ("valid", f"{sample.valid_share:.1%}" + ("" if sample.complete else " of a sample")),
            ("bands", f"{len(scene.bands)}{named}"),
        ]
        for name, values in zip(scene.bands, sample.values, strict=True):
            if values.size:
                low, high = np.percentile(values, (2, 98))
                text = f"96 % in {low:.5g} to {high:.5g}, all in {values.min():.5g} to {values.max():.5g}"
            else:
                text = "no valid pixel found"
            lines.append((f"  {name}", text))
    return lines


def _grid_lines(grid: "Grid") -> Lines:
    lines = [("size", f"{grid.width} x {grid.height} px")]
    if grid.crs is None:
        return [*lines, ("CRS", "none")]
    code = grid.crs.to_epsg()
    unit = grid.crs.linear_units if grid.crs.is_projected else "degree"
    left, bottom, right, top = grid.bounds
    width, height = grid.pixel_size
    return [
        *lines,
        ("CRS", f"EPSG:{code}" if code else grid.crs.to_string()),
        ("pixel size", f"{width:.9g} x {height:.9g} {unit}"),
        ("bounds", f"{left:.9g} {bottom:.9g} {right:.9g} {top:.9g} (left bottom right top)"),
    ]
