"""`eoseg predict`: a checkpoint and scenes in, maps out."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from eoseg.cli.arguments import add_reading_options, count, progress_bar, require_input
from eoseg.errors import ConfigError, OutputError
from eoseg.geo.remote import scene_name

if TYPE_CHECKING:
    from rich.table import Table

    from eoseg.predict import Prediction, ValueRange
    from eoseg.recipe import Recipe, Time

_RASTER_SUFFIXES = (".tif", ".tiff")


def main(command: str, argv: list[str]) -> None:
    """Map one scene or several, one after the other."""
    arguments = _parser(command).parse_args(argv)
    checkpoint, scenes = Path(arguments.checkpoint), list(arguments.scenes)
    require_input(checkpoint, scenes)

    from eoseg.models.checkpoint import load_network  # imports torch
    from eoseg.predict import PredictOptions, keep_freed_memory, predict_scene
    from eoseg.predict.sources import scenes_as_rasters

    options = PredictOptions(
        tile=arguments.tile,
        halo=arguments.halo,
        batch_size=arguments.batch_size,
        device=arguments.device,
        memory_mb=arguments.memory,
        probabilities=arguments.probabilities,
        overwrite=arguments.overwrite,
        bands=arguments.bands,
        nodata=arguments.nodata,
        allow_range_mismatch=arguments.allow_range_mismatch,
        nodata_policy=arguments.nodata_policy,
    )
    keep_freed_memory()
    network, recipe = load_network(checkpoint)
    jobs = _jobs(scenes, arguments.out, recipe.schema.time, mosaic=arguments.mosaic)
    _require_targets(jobs, probabilities=arguments.probabilities, overwrite=arguments.overwrite)
    for job in jobs:
        with (
            TemporaryDirectory(prefix="eoseg-") as work,
            progress_bar(job.target.name, shown=not arguments.no_progress) as report,
        ):
            prediction = predict_scene(
                network,
                recipe,
                scenes_as_rasters(
                    job.scenes, recipe, Path(work), mosaic=arguments.mosaic, nodata=arguments.nodata
                ),
                job.target,
                options=options,
                checkpoint=checkpoint,
                progress=report,
            )
        _print(prediction, recipe)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Map scenes of any size, tile by tile. The map lies on the scene's own grid, as a Cloud "
        "Optimized GeoTIFF with colours, class names and provenance; 255 means 'no value'. Memory does not "
        "grow with the scene, and where the network allows it the map equals its result on the whole scene. "
        "A checkpoint for change takes two scenes, BEFORE AFTER; one for series the rasters of all dates, or "
        "a folder of them, with the date in each name; one for chips gives each tile one class; one for a "
        "quantity writes float32, with NaN for 'no value'.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file that 'eoseg fit' wrote")
    parser.add_argument(
        "scenes",
        metavar="SCENE",
        nargs="+",
        help="a GeoTIFF, VRT or other raster, here or at https:// or s3://; a folder with a file per band, "
        "such as a Sentinel-2 product; for a series a folder of rasters",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="the map (.tif), or a folder for SCENE_map.tif of each scene, of the later one of two, of the "
        "last date or of a series' folder (default: the present folder)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing maps")
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write MAP_probabilities.tif: a band per class, uint8, times its scale 1/250",
    )
    reading = add_reading_options(parser)
    reading.add_argument(
        "--mosaic",
        action="store_true",
        help="the scenes are parts of one: map them together; later ones lie over earlier ones",
    )
    reading.add_argument(
        "--nodata-policy",
        choices=("any", "all"),
        default="any",
        help="a pixel has no value where 'any' band has none, or only where 'all' have none; what is missing "
        "is then taken as the training mean (default: any)",
    )
    work = parser.add_argument_group("how to work")
    work.add_argument(
        "--tile",
        type=_pixels,
        default="auto",
        metavar="auto|PX",
        help="side of what a tile writes; 'auto' is the largest that --memory allows, and for chips the size "
        "of a chip: less makes a finer map (default: auto)",
    )
    work.add_argument(
        "--halo",
        type=_pixels,
        default="auto",
        metavar="auto|PX",
        help="context around a tile; 'auto' is what an exact map needs (default: auto). Less is faster",
    )
    work.add_argument(
        "--batch-size", type=count, metavar="N", help="tiles per pass (default: 1, or up to 32 chips)"
    )
    work.add_argument(
        "--memory",
        type=count,
        metavar="MB",
        help="memory for the activations of a pass with '--tile auto' (default: 2048, and tiles that read "
        "768 px a side, or up to 2048 px where the halo is large)",
    )
    work.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    work.add_argument("--no-progress", action="store_true", help="no progress bar")
    return parser


def _pixels(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected 'auto' or a number of pixels, found '{text}'")
    return int(text)


@dataclass(frozen=True, slots=True)
class _Job:
    """One map."""

    scenes: list[str]
    """The scene, its parts or its folder of bands; both of a pair; all dates, or the folder, of a series."""
    target: Path


def _jobs(scenes: list[str], out: Path | None, time: "Time", *, mosaic: bool) -> list[_Job]:
    """Which scenes make which map.

    Raises:
        ConfigError: Several maps would have one name, or the scenes are too many or too few.
    """
    from eoseg.predict.dated import find_rasters

    folders = [scene for scene in scenes if Path(scene).is_dir()]
    # Each scene, or each folder of dates, is a map of its own; other dates belong together.
    is_series_each = time == "series" and len(folders) == len(scenes)
    is_one_each = (time == "single" and not mosaic) or is_series_each
    groups = [[scene] for scene in scenes] if is_one_each else [scenes]
    names = []
    for group in groups:
        last = group[-1] if mosaic else find_rasters(group, time).paths[-1]
        if time == "series":
            last = group[0] if folders else last
        is_folder = Path(last).is_dir()
        names.append(f"{Path(last).resolve().name if is_folder else scene_name(last)}_map.tif")
    if out is not None and out.suffix.lower() in _RASTER_SUFFIXES and not out.is_dir():
        if len(groups) > 1:
            raise ConfigError(
                f"--out '{out}' is one file, but there are {len(groups)} scenes. Give a folder."
            )
        return [_Job(groups[0], out)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(
            f"Several scenes would be mapped to '{repeated[0]}'. Map scenes of one name to different folders."
        )
    folder = out if out is not None else Path()
    return [_Job(group, folder / name) for group, name in zip(groups, names, strict=True)]


def _require_targets(jobs: list[_Job], *, probabilities: bool, overwrite: bool) -> None:
    """Make the folder where it is missing, and refuse what cannot be written before any work.

    Raises:
        OutputError: A map exists already, or its folder cannot be made or written.
    """
    from eoseg.geo.cog import require_writable  # imports rasterio
    from eoseg.geo.mapfile import probability_path

    folder = jobs[0].target.parent
    if not folder.exists():
        try:
            folder.mkdir()
        except OSError as error:
            raise OutputError(f"The folder '{folder}' cannot be made: {error.strerror}.") from error
    for job in jobs:
        require_writable(job.target, overwrite=overwrite)
        if probabilities:
            require_writable(probability_path(job.target), overwrite=overwrite)


def _print(prediction: "Prediction", recipe: "Recipe") -> None:
    from rich.console import Console

    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    for notice in prediction.notices:
        say(f"Note: {notice}")
    skipped = f", {prediction.skipped} of them skipped (no valid pixel)" if prediction.skipped else ""
    say(
        f"{prediction.pixels:,} px in {prediction.seconds:.1f} s "
        f"({prediction.megapixels_per_second:.2f} MP/s) on {prediction.device}: "
        f"{prediction.tiles} tile(s) of {prediction.tile} px, halo {prediction.halo} px{skipped}"
    )
    say(_exactness(prediction))
    if prediction.values is not None:
        say(_values(prediction.values, prediction))
    elif recipe.schema.classes:
        console.print(_class_table(prediction, recipe))
    say(f"Map: {prediction.path}")
    if prediction.probabilities is not None:
        say(f"Probabilities: {prediction.probabilities}")


def _exactness(prediction: "Prediction") -> str:
    if prediction.exact:
        rounding = "" if prediction.device == "cpu" else ", up to the rounding of the device"
        return (
            f"Exact: the map equals the network's result on the whole scene{rounding} ({prediction.reason})."
        )
    line = f"Not exact: {prediction.reason}."
    found = prediction.disagreement
    if found is None:
        return f"{line} How much the map depends on its tiles could not be measured."
    another = "another class"
    if prediction.values is not None:
        unit = prediction.values.quantity.unit
        another = f"a value that differs by more than {found.tolerance:.3g} {unit}".rstrip()
    return (
        f"{line} Where tiles lie elsewhere, {found.share:.2%} of {found.pixels:,} compared pixels get "
        f"{another}."
    )


def _values(values: "ValueRange", prediction: "Prediction") -> str:
    unit = f" {values.quantity.unit}".rstrip()
    without = prediction.pixels - prediction.valid_pixels
    rest = f"; {without:,} px have no value" if without else ""
    return (
        f"{values.quantity.name}: {values.least:.5g} to {values.most:.5g}{unit}, mean {values.mean:.5g}"
        f"{unit}, on {prediction.valid_pixels:,} px{rest}"
    )


def _class_table(prediction: "Prediction", recipe: "Recipe") -> "Table":
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    title = "label" if recipe.schema.multilabel else "class"
    table = Table(title, "", box=None, pad_edge=False)
    table.add_column("pixels", justify="right")
    table.add_column("share", justify="right")
    for entry, mapped in zip(recipe.schema.classes, prediction.class_pixels, strict=True):
        red, green, blue = entry.color
        patch = Text("██", style=f"rgb({red},{green},{blue})")
        table.add_row(escape(entry.name), patch, f"{mapped:,}", f"{mapped / prediction.valid_pixels:.1%}")
    rest = prediction.pixels - prediction.valid_pixels
    if rest:
        table.add_row("(no value)", "", f"{rest:,}", "")
    return table
