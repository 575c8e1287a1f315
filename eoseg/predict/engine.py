"""From a scene, or several dates of one, to a map, tile by tile."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eoseg.errors import CheckpointError, ConfigError, DataError, EosegError, OutputError
from eoseg.geo.cog import Finished, finish_files, require_writable
from eoseg.geo.grid import Grid
from eoseg.geo.parts import Parts, parts_folder
from eoseg.geo.scene import Scene
from eoseg.geo.settings import gdal_settings
from eoseg.geo.share import Share
from eoseg.geo.stack import SceneStack
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network
from eoseg.predict.classifier import Classifier, pick_device
from eoseg.predict.dated import DatedRasters, find_rasters, match_rasters
from eoseg.predict.memory import PROBE_PX, bytes_per_pixel
from eoseg.predict.options import Disagreement, Prediction, PredictOptions, Progress
from eoseg.predict.plan import ChipPlan, Layout, choose_chips, choose_layout
from eoseg.predict.products import Product, make_product
from eoseg.predict.provenance import fingerprint, is_made, map_tags, run_name
from eoseg.predict.ranks import Rank
from eoseg.predict.receptive import network_context, takes_dates
from eoseg.predict.seams import measure_disagreement
from eoseg.predict.tile_pass import TilePass
from eoseg.recipe import Recipe, Time

_logger = logging.getLogger(__name__)

_SMALL_PROBE_PX = 64  # where a pass over a larger image would take long: many dates, nearest neighbours
_GPU_READERS = 4  # threads that read: a GPU is often faster than one


def predict_scene(
    network: Network,
    recipe: Recipe,
    scene: str | Sequence[str],
    out: Path,
    *,
    options: PredictOptions | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Prediction:
    """Map a scene of any size with bounded memory.

    Each tile of a fixed lattice is read with its halo, classified, and its core written; see
    `eoseg.geo.tiles` for why the map then equals the whole-image result. A network for chips gives each
    core the class of the chip around it.

    What is finished lies in the folder `OUT.parts` until the map is complete. Where a run is stopped, be it
    by `kill -9`, the same call goes on from there; see `eoseg.geo.parts`.

    Args:
        network: A trained network; it is put into evaluation mode and moved to the device.
        recipe: Its recipe.
        scene: Path of the scene. For change the earlier and the later one; for a series the rasters of
            all dates, or a folder of them.
        out: Path of the map, a file.
        options: See `PredictOptions`.
        checkpoint: Where the network comes from, for the map's provenance.
        progress: Is called after each tile.

    Raises:
        OutputError: The map exists or cannot be written, or parts of another run are in its place.
        BandError: The scene's bands or values do not fit the checkpoint.
        GridError: Dates are on different grids.
        DataError: The scene cannot be read, or has no valid pixel; or its dates do not fit.
        ConfigError: An option does not fit the network, or a tile does not fit the memory of the device.
    """
    chosen = options or PredictOptions()
    for target in make_product(recipe, probabilities=chosen.probabilities).paths(out):
        require_writable(target, overwrite=chosen.overwrite)
    prediction = predict_share(
        network, recipe, scene, out, rank=Rank(), options=chosen, checkpoint=checkpoint, progress=progress
    )
    if prediction is None:
        raise OutputError(f"Another process has just made '{out}'. There is nothing left to do.")
    return prediction


def predict_share(
    network: Network,
    recipe: Recipe,
    scene: str | Sequence[str],
    out: Path,
    *,
    rank: Rank,
    options: PredictOptions | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    finishes: bool = True,
) -> Prediction | None:
    """Map the part of a scene that is one process's; whoever is last makes the map of all parts.

    Processes of one run need nothing but the folder of the map in common. A run that was stopped may go on
    with another number of them.

    Args:
        network: As for `predict_scene`, and so are the other arguments not named here.
        recipe: Its recipe.
        scene: Path or paths of the scene.
        out: Path of the map.
        rank: Which of how many processes this is.
        options: See `PredictOptions`. With `overwrite`, a map that is older than its scene or of other
            options is replaced, and parts of another run are removed.
        checkpoint: Where the network comes from.
        progress: Is called after each tile of this process.
        finishes: Whether this process may make the map; False to leave that to another one.

    Returns:
        What was mapped, from the process that made the map; None from the others, and where the map is
        there already.

    Raises:
        OutputError: And the other errors of `predict_scene`.
    """
    started = time.perf_counter()
    chosen = options or PredictOptions()
    _require_maps(network)
    network.eval()
    product = make_product(recipe, probabilities=chosen.probabilities)
    rasters = find_rasters(scene, recipe.schema.time)
    paths = product.paths(out)
    for target in paths:
        require_writable(target, overwrite=True)
        _require_other(target, rasters.paths)
    device = pick_device(chosen.device, cpu_only=isinstance(network.body, FittedBody), local=rank.local)
    with gdal_settings(chosen.cache_bytes), ExitStack() as stack:
        matched = match_rasters(rasters, recipe, chosen)
        source = matched.open()
        stack.callback(source.close)
        _require_dates(network, recipe, rasters)
        layout = _layout(network, recipe, source.grid, len(rasters.paths), chosen)
        run = fingerprint(network, recipe, rasters, source.grid, layout, chosen, checkpoint)
        if not parts_folder(out).exists() and is_made(out, run_name(run), rasters):
            if not (chosen.overwrite and rank.count == 1):
                return None
        else:
            for target in paths:
                require_writable(target, overwrite=chosen.overwrite)
        cores = layout.plan.cores if isinstance(layout.plan, ChipPlan) else layout.plan
        layers = product.layers()
        parts = Parts(
            out,
            source.grid,
            layers,
            cores,
            fingerprint=run,
            shares=rank.count,
            overwrite=chosen.overwrite,
        )
        days = source.days if isinstance(source, SceneStack) and rasters.time == "series" else None
        classifier = Classifier(network, product, device=device, days=days)
        scenes = [source]
        for _ in range(_GPU_READERS - 1 if device.type == "cuda" else 0):
            scenes.append(matched.open())
            stack.callback(scenes[-1].close)
        mine = range(rank.number, parts.shares, rank.count)
        pixels = sum(_pixels(parts, number) for number in mine)
        tile_pass = TilePass(scenes, rasters.time, layout, classifier, pixels, progress)
        resumed = 0
        with _kept(parts, rasters, alone=rank.count == 1):
            for number in mine:
                with Share(parts, number) as share:
                    resumed += share.done
                    tile_pass.map_share(share)
            if not (finishes and parts.is_complete()):
                return None
            making = time.perf_counter()
            tags = _Tags(recipe, rasters, layout, checkpoint, str(device.type), run_name(run))
            finished = finish_files(
                parts,
                paths,
                lambda skipped: tags.make(skipped, parts, source, classifier),
                threads=torch.get_num_threads(),
            )
            tile_pass.times.finish = time.perf_counter() - making
        if finished is None:
            return None
    return _prediction(
        product,
        paths,
        source.grid,
        layout,
        finished,
        tags.disagreement,
        device=str(device),
        seconds=time.perf_counter() - started,
        notices=matched.notices,
        resumed=resumed,
        tile_pass=tile_pass,
    )


def _pixels(parts: Parts, share: int) -> int:
    cores = (parts.cores.tile(index).core for index in range(*parts.bounds(share)))
    return sum(core.height * core.width for core in cores)


def _prediction(
    product: Product,
    paths: Sequence[Path],
    grid: Grid,
    layout: Layout,
    finished: Finished,
    disagreement: Disagreement | None,
    *,
    device: str,
    seconds: float,
    notices: tuple[str, ...],
    resumed: int,
    tile_pass: TilePass,
) -> Prediction:
    summary = product.summary(finished.counts[0])
    return Prediction(
        path=paths[0],
        probabilities=paths[1] if len(paths) > 1 else None,
        pixels=grid.height * grid.width,
        valid_pixels=summary.valid_pixels,
        class_pixels=summary.class_pixels,
        tiles=len(layout.plan),
        skipped=finished.skipped,
        tile=layout.plan.core,
        halo=layout.plan.halo,
        exact=layout.exact,
        reason=layout.reason,
        disagreement=disagreement,
        device=device,
        seconds=seconds,
        notices=notices,
        values=summary.values,
        resumed=resumed,
        times=tile_pass.times,
        square_kilometres=grid.square_kilometres,
    )


@dataclass(slots=True)
class _Tags:
    """What the map says of itself, known once its values are."""

    recipe: Recipe
    rasters: DatedRasters
    layout: Layout
    checkpoint: Path | None
    device: str
    run: str
    disagreement: Disagreement | None = None

    def make(
        self, skipped: int, parts: Parts, source: Scene | SceneStack, classifier: Classifier
    ) -> Mapping[str, str]:
        """The tags; measures the disagreement of a map that is not exact.

        Raises:
            DataError: All tiles were skipped: the scene has no valid pixel.
        """
        plan, time_ = self.layout.plan, self.rasters.time
        if skipped == len(plan):
            raise DataError(_nothing_valid(source, time_))
        if not self.layout.exact and not isinstance(plan, ChipPlan):
            self.disagreement = measure_disagreement(source, plan, classifier, parts, time=time_)
        return map_tags(
            self.recipe,
            self.rasters,
            self.layout,
            self.disagreement,
            self.checkpoint,
            device=self.device,
            run=self.run,
        )


@contextmanager
def _kept(parts: Parts, rasters: DatedRasters, *, alone: bool) -> Any:
    """Keep what is finished where the same command may go on, and say so; remove it elsewhere."""
    try:
        yield
    except BaseException as error:
        finished = parts.finished_tiles()
        is_local = all(Path(path).exists() for path in rasters.paths)
        is_useless = isinstance(error, CheckpointError) or (isinstance(error, DataError) and is_local)
        if alone and (is_useless or not finished):
            parts.remove()
        elif isinstance(error, EosegError):
            raise type(error)(
                f"{error} Of {len(parts.cores)} tiles {finished} are kept in '{parts.folder}': the same "
                "command goes on from there."
            ) from error
        raise


def _require_maps(network: Network) -> None:
    if network.kind == "pretraining":
        raise ConfigError(
            "The checkpoint is of a pretraining: its network reconstructs images and has no classes to map. "
            "Train a task with this checkpoint as its 'weights', then map with what that gives."
        )


def _nothing_valid(scene: Scene | SceneStack, time: Time) -> str:
    nodata = f"every value is nodata ({scene.nodata}) or NaN, or is masked"
    if time == "pair":
        return (
            f"'{scene.path}' and the later scene have no pixel that is valid in both: elsewhere {nodata}. No "
            "map was made; check --nodata and the files."
        )
    where = "on any date" if time == "series" else ""
    return (
        f"'{scene.path}' has no valid pixel{' ' * bool(where)}{where}: {nodata}. No map was made; check "
        "--nodata and the file."
    )


def _require_dates(network: Network, recipe: Recipe, rasters: DatedRasters) -> None:
    """Refuse a number of dates that the network cannot take.

    Raises:
        DataError: With the longest gap, where a date may be missing.
    """
    trained, found = recipe.schema.steps, len(rasters.paths)
    if rasters.time != "series" or found == trained or takes_dates(network, found):
        return
    gap = ""
    if rasters.dates is not None and len(rasters.dates) > 1:
        pairs = list(zip(rasters.dates, rasters.dates[1:], strict=False))
        before, after = max(pairs, key=lambda pair: pair[1] - pair[0])
        gap = f" The longest gap is between {before} and {after}."
    raise DataError(
        f"The network was trained on series of {trained} dates and takes no other number; found {found}."
        f"{gap} Give the dates of the same season, or train a network that takes any number, such as ltae."
    )


def _layout(network: Network, recipe: Recipe, grid: Grid, steps: int, options: PredictOptions) -> Layout:
    """Choose the tiles, by what the network looks at and how much memory it takes."""
    channels, chip_size = steps * len(recipe.schema.bands), recipe.chip_size
    is_of_chips = network.kind == "classification"
    size = PROBE_PX
    if steps > 2 or isinstance(network.body, FittedBody):
        size = _SMALL_PROBE_PX
    pixel_bytes = bytes_per_pixel(
        network.flat(steps),
        channels=channels,
        stride=network.output_stride,
        size=chip_size if is_of_chips else size,
    )
    if is_of_chips:
        layout = choose_chips(grid, options, pixel_bytes=pixel_bytes, chip_size=chip_size)
    else:
        context = network_context(network, steps=steps)
        _logger.debug("context of the network: %s", context)
        if steps > 1:  # the tile that waits has as many values as activations may
            pixel_bytes += 4 * channels
        layout = choose_layout(grid, context, options, pixel_bytes=pixel_bytes, chip_size=chip_size)
    _logger.debug("tiles: %s", layout)
    return layout


def _require_other(target: Path, scenes: Sequence[str]) -> None:
    """A map never replaces its own scene, not even with overwrite."""
    for scene in scenes:
        if target.exists() and Path(scene).exists() and target.samefile(scene):
            raise ConfigError(f"'{target}' is the scene itself. Choose another name for the map.")
