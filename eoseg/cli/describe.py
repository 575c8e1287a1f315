"""`eoseg describe`: what is in a checkpoint, a scene or a map."""

import argparse
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.errors import DataError
from eoseg.recipe import MapClass, Recipe, format_color

if TYPE_CHECKING:
    from eoseg.geo.grid import Grid

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
        description="Say what is in a checkpoint (task, bands, classes, value ranges, network, provenance), "
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
    lines = [
        ("checkpoint", path),
        ("task", recipe.task),
        ("network", f"{network.get('arch')} over {network.get('encoder')}, {weights:,} numbers"),
    ]
    arguments = network.get("args")
    if isinstance(arguments, dict) and arguments:
        lines.append(("", ", ".join(f"{key} {value}" for key, value in arguments.items())))
    lines += [
        ("chip size", f"{recipe.chip_size} px"),
        ("output stride", f"{recipe.output_stride} px"),
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
    lines += [*_training_lines(recipe), *_class_lines(schema.classes, recipe.statistics.class_pixels)]
    return lines + [(key, str(value)) for key, value in recipe.provenance.items()]


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


def _class_lines(classes: Sequence[MapClass], counts: Sequence[int] = ()) -> Lines:
    lines = [("classes", str(len(classes)))]
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
    info = read_map_info(path, kind=kind)
    lines = [("map", path), ("holds", kind), *_grid_lines(info.grid), *_class_lines(info.classes)]
    return lines + [
        (key.removeprefix("EOSEG_").lower().replace("_", " "), text) for key, text in info.tags.items()
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
