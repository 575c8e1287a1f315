"""`eoseg predict`: a checkpoint and scenes in, maps out."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from eoseg.cli.arguments import progress_bar, require_input
from eoseg.cli.launch import is_launched, launch
from eoseg.cli.predict_parser import prediction_parser
from eoseg.cli.prediction_report import print_estimate, print_prediction
from eoseg.cli.seam_map import require_seam_map, write_seam_map
from eoseg.cli.wandb_log import log_map, wandb_mode
from eoseg.errors import BusyError, ConfigError, OutputError
from eoseg.geo.remote import scene_name
from eoseg.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eoseg.models.network import Network
    from eoseg.predict import Member, Rank
    from eoseg.recipe import Recipe, Time

_RASTER_SUFFIXES = (".tif", ".tiff")


def main(command: str, argv: list[str]) -> None:
    """Map one scene or several, alone or together with other processes."""
    arguments = prediction_parser(command).parse_args(argv)
    checkpoint, scenes = Path(arguments.checkpoint), list(arguments.scenes)
    require_input(checkpoint, scenes)
    for other in arguments.ensemble:
        require_input(other, [])
    arguments.wandb = wandb_mode(wanted=arguments.wandb, project=arguments.project)

    from eoseg.models.checkpoint import load_network, read_checkpoint  # imports torch
    from eoseg.predict import find_rank, keep_freed_memory, load_members

    rank = find_rank()
    if arguments.processes > 1 and not is_launched():
        if rank.count > 1:
            raise ConfigError(
                f"A launcher has started {rank.count} processes; found --processes {arguments.processes} "
                "too. Use one of them."
            )
        time = read_checkpoint(checkpoint)[0].schema.time
        jobs = _jobs(scenes, arguments.out, time, mosaic=arguments.mosaic)
        _require_targets(jobs, arguments)
        with progress_bar(jobs[0].target.name, shown=not arguments.no_progress) as report:
            launch(command, argv, arguments.processes, watch=lambda: _watch(jobs, report))
        return
    keep_freed_memory()
    network, recipe = load_network(checkpoint)
    jobs = _jobs(scenes, arguments.out, recipe.schema.time, mosaic=arguments.mosaic)
    _require_targets(jobs, arguments)
    ensemble = load_members(arguments.ensemble)
    for job in jobs:
        _map(job, network, recipe, ensemble, arguments, rank, alone=len(jobs) >= rank.count)


def _map(
    job: "_Job",
    network: "Network",
    recipe: "Recipe",
    ensemble: "Sequence[Member]",
    arguments: argparse.Namespace,
    rank: "Rank",
    *,
    alone: bool,
) -> None:
    """Make a map alone, where no other process does, or one share of it."""
    from eoseg.geo.parts import is_busy
    from eoseg.predict import PredictOptions, Rank, predict_share
    from eoseg.predict.sources import scenes_as_rasters

    options = PredictOptions(
        tile=arguments.tile,
        halo=arguments.halo,
        batch_size=arguments.batch_size,
        blend=arguments.blend,
        check_seams=_seams_to_check(arguments),
        device=arguments.device,
        max_memory_mb=arguments.max_memory,
        backend=arguments.backend,
        precision=arguments.precision,
        compile=arguments.compile,
        probabilities=arguments.probabilities,
        uncertainty=arguments.uncertainty,
        tta=arguments.tta,
        mc_dropout=arguments.mc_dropout,
        overwrite=arguments.overwrite,
        bands=arguments.bands,
        nodata=arguments.nodata,
        allow_range_mismatch=arguments.allow_range_mismatch,
        nodata_policy=arguments.nodata_policy,
        aoi=arguments.aoi,
        pixel_size=arguments.pixel_size,
    )
    is_together = rank.count > 1
    if is_together and alone and is_busy(job.target):
        return
    shown = not (arguments.no_progress or is_together)
    try:
        with (
            TemporaryDirectory(prefix="eoseg-") as work,
            progress_bar(job.target.name, shown=shown) as report,
        ):
            prediction = predict_share(
                network,
                recipe,
                scenes_as_rasters(
                    job.scenes, recipe, Path(work), mosaic=arguments.mosaic, nodata=arguments.nodata
                ),
                job.target,
                rank=Rank(local=rank.local) if alone else rank,
                options=options,
                checkpoint=Path(arguments.checkpoint),
                ensemble=ensemble,
                progress=report,
                announce=None if is_together else print_estimate,
            )
    except BusyError:
        if is_together:
            return
        raise
    if prediction is not None:
        print_prediction(prediction, recipe, seams_checked=options.check_seams is not None)
        if arguments.seam_map is not None:
            print(write_seam_map(arguments.seam_map, prediction, recipe))
    elif not is_together:
        print(
            f"'{job.target}' is already the map of this scene with this checkpoint and these options. "
            "To make it anew: --overwrite."
            + (" Seams are checked when a map is made." if options.check_seams else "")
        )
    if arguments.wandb != "absent" and (prediction is not None or not is_together):
        log_map(job.target, arguments, recipe)


def _watch(jobs: "list[_Job]", report: "Callable[[Progress], None]") -> None:
    """Show how many tiles all processes have finished, of the scenes that are begun."""
    from eoseg.geo.parts import read_progress

    done, total = map(sum, zip(*(read_progress(job.target) for job in jobs), strict=True))
    if total:
        report(Progress(done, total, unit="tiles"))


def _seams_to_check(arguments: argparse.Namespace) -> int | None:
    """How many tiles to compare; None where that is left to the map."""
    from eoseg.predict.seams import USUAL_SAMPLE

    if arguments.check_seams is None and arguments.seam_map is None:
        return None
    return arguments.check_seams or USUAL_SAMPLE


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


def _require_targets(jobs: list[_Job], arguments: argparse.Namespace) -> None:
    """Make the folder where it is missing, and refuse what cannot be written before any work.

    A map that eoseg made may stay: it may be the one that is asked for.

    Raises:
        OutputError: Another file exists already, or the folder cannot be made or written.
    """
    from eoseg.geo.cog import require_writable_together  # imports rasterio
    from eoseg.geo.mapfile import item_path, probability_path
    from eoseg.geo.uncertaintyfile import uncertainty_path
    from eoseg.predict.provenance import is_map

    if arguments.seam_map is not None:
        require_seam_map(arguments.seam_map, maps=len(jobs), overwrite=arguments.overwrite)
    folder = jobs[0].target.parent
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder '{folder}' cannot be made: {error.strerror}.") from error
    for job in jobs:
        if is_map(job.target):
            continue
        beside = [
            item_path(job.target),
            *([probability_path(job.target)] if arguments.probabilities else []),
            *([uncertainty_path(job.target)] if arguments.uncertainty else []),
        ]
        require_writable_together([job.target, *beside], overwrite=arguments.overwrite)
