"""From a scene, or several dates of one, to a map, tile by tile."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eoseg.errors import BusyError, CheckpointError, DataError, EosegError, OutputError
from eoseg.geo.cog import Finished, finish_files, require_writable_together
from eoseg.geo.homeward import finish_at_home
from eoseg.geo.layer import Counts
from eoseg.geo.mapfile import item_path
from eoseg.geo.parts import Parts
from eoseg.geo.scene import Scene
from eoseg.geo.settings import gdal_settings
from eoseg.geo.share import Share
from eoseg.geo.stack import SceneStack
from eoseg.models.network import Network
from eoseg.predict.chosen_product import make_product
from eoseg.predict.dated import DatedRasters
from eoseg.predict.members import Member
from eoseg.predict.memory import give_back_freed_memory
from eoseg.predict.options import Disagreement, Estimate, Prediction, PredictOptions, Times
from eoseg.predict.out_of_range import OUT_OF_RANGE, OutOfRange, count_out_of_range
from eoseg.predict.passes import Passes
from eoseg.predict.preparation import prepare
from eoseg.predict.provenance import map_tags
from eoseg.predict.ranks import Rank
from eoseg.predict.seams import measure_disagreement
from eoseg.predict.stac import item_text
from eoseg.predict.tile_pass import TilePass
from eoseg.predict.work import Work
from eoseg.progress import Progress
from eoseg.recipe import Recipe, Time


def predict_scene(
    network: Network,
    recipe: Recipe,
    scene: str | Sequence[str],
    out: Path,
    *,
    options: PredictOptions | None = None,
    checkpoint: Path | None = None,
    ensemble: Sequence[Member] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Prediction:
    """Map a scene of any size with bounded memory.

    Each tile of a fixed lattice is read with its halo, classified, and its core written; see
    `eoseg.geo.tiles` for why the map then equals the whole-image result. Where it does not, neighbouring
    tiles are blended; see `eoseg.predict.blend`. A network for chips gives each core the class of the chip
    around it.

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
        ensemble: Other networks for the same task: the mean over all of them is mapped. See
            `eoseg.predict.load_members`.
        progress: Is called after each tile.

    Raises:
        OutputError: The map exists or cannot be written, or parts of another run are in its place.
        BandError: The scene's bands or values do not fit the checkpoint.
        GridError: Dates are on different grids.
        DataError: The scene cannot be read, or has no valid pixel; or its dates do not fit.
        ConfigError: An option does not fit the network, or a tile does not fit the memory of the device.
    """
    chosen = options or PredictOptions()
    passes = Passes.chosen(networks=1 + len(ensemble), mc_dropout=chosen.mc_dropout, tta=chosen.tta)
    product = make_product(
        recipe, probabilities=chosen.probabilities, uncertainty=chosen.uncertainty, passes=passes
    )
    require_writable_together([*product.paths(out), item_path(out)], overwrite=chosen.overwrite)
    prediction = predict_share(
        network,
        recipe,
        scene,
        out,
        rank=Rank(),
        options=chosen,
        checkpoint=checkpoint,
        ensemble=ensemble,
        progress=progress,
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
    ensemble: Sequence[Member] = (),
    progress: Callable[[Progress], None] | None = None,
    announce: Callable[[Estimate], None] | None = None,
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
        ensemble: Other networks, as for `predict_scene`.
        progress: Is called after each tile of this process.
        announce: Is called before the first tile with what the whole will take.

    Returns:
        What was mapped, from the process that made the map; None from the others, and where the map is
        there already.

    Raises:
        OutputError: And the other errors of `predict_scene`.
    """
    started = time.perf_counter()
    chosen = options or PredictOptions()
    with gdal_settings(chosen.cache_bytes), ExitStack() as stack:
        work = prepare(
            stack,
            network,
            recipe,
            scene,
            out,
            rank=rank,
            options=chosen,
            checkpoint=checkpoint,
            ensemble=ensemble,
        )
        if work.is_made():
            return None
        parts = work.begin()
        if announce is not None:
            announce(work.estimate(parts.finished_tiles()))
        mine = range(rank.number, parts.shares, rank.count)
        pixels = sum(_pixels(parts, number) for number in mine)
        tile_pass = TilePass(
            work.scenes,
            work.rasters.time,
            work.layout,
            work.classifier,
            pixels,
            progress,
            area=work.area,
            reading=work.reading,
        )
        resumed = 0
        with _kept(parts, work.rasters, alone=rank.count == 1):
            for number in mine:
                with Share(parts, number) as share:
                    resumed += share.done
                    tile_pass.map_share(share)
            if not parts.is_complete():
                return None
            making = time.perf_counter()
            give_back_freed_memory()  # making the files takes its own, and tiles will take none any more
            tags = _Tags(work)
            finished = _finish(work, parts, lambda skipped: tags.make(skipped, parts))
            tile_pass.times.finish = time.perf_counter() - making
    if finished is None:
        return None
    seconds = time.perf_counter() - started
    return _prediction(work, finished, tags, tile_pass.times, resumed=resumed, seconds=seconds)


def _finish(work: Work, parts: Parts, tags: Callable[[int], Mapping[str, str]]) -> Finished | None:
    """Make the files, on the scene's own grid."""
    threads = torch.get_num_threads()

    def documents(counts: Sequence[Counts]) -> dict[Path, str]:
        return {work.item_path: item_text(work, counts)}

    if work.home is None:
        return finish_files(parts, work.paths, tags, threads=threads, documents=documents)
    return finish_at_home(parts, work.home, work.paths, tags, threads=threads, documents=documents)


def _pixels(parts: Parts, share: int) -> int:
    cores = (parts.cores.tile(index).core for index in range(*parts.bounds(share)))
    return sum(core.height * core.width for core in cores)


def _prediction(
    work: Work,
    finished: Finished,
    tags: "_Tags",
    times: Times,
    *,
    resumed: int,
    seconds: float,
) -> Prediction:
    summary, files = work.product.summary(finished.counts[0]), work.product.files(work.out)
    grid = work.source.grid
    return Prediction(
        path=files["map"],
        probabilities=files.get("probabilities"),
        pixels=grid.height * grid.width,
        valid_pixels=summary.valid_pixels,
        class_pixels=summary.class_pixels,
        tiles=len(work.layout.plan),
        skipped=finished.skipped,
        tile=work.layout.plan.core,
        halo=work.layout.plan.halo,
        exact=work.layout.exact,
        reason=work.layout.reason,
        disagreement=tags.disagreement,
        device=str(work.device),
        seconds=seconds,
        notices=work.notices,
        values=summary.values,
        resumed=resumed,
        times=times,
        runtime=work.runtime,
        square_kilometres=grid.square_kilometres,
        uncertainty=files.get("uncertainty"),
        item=work.item_path,
        passes=work.passes,
        out_of_range=tags.out_of_range,
        blended=2 * work.layout.overlap,
    )


@dataclass(slots=True)
class _Tags:
    """What the map says of itself, known once its values are."""

    work: Work
    disagreement: Disagreement | None = None
    out_of_range: OutOfRange | None = None

    def make(self, skipped: int, parts: Parts) -> Mapping[str, str]:
        """The tags; measures the disagreement of a map that is not exact, and looks for odd values.

        Raises:
            DataError: All tiles were skipped: the scene has no valid pixel.
        """
        work, plan = self.work, self.work.layout.plan
        if skipped == len(plan):
            raise DataError(_nothing_valid(work.source, work.rasters.time))
        if not work.layout.exact or work.options.check_seams:
            self.disagreement = measure_disagreement(
                work.scenes[0],
                work.layout,
                work.classifier,
                parts,
                time=work.rasters.time,
                area=work.area,
                count=work.options.check_seams,
                precision=work.precision,
            )
        if OUT_OF_RANGE in work.product.extras:
            layer = list(work.product.files(work.out)).index("uncertainty")
            self.out_of_range = count_out_of_range(parts, layer, grid=work.source.grid)
        return map_tags(
            work.recipe,
            work.rasters,
            work.layout,
            self.disagreement,
            work.checkpoint,
            device=work.device.type,
            run=work.fingerprint,
            runtime=work.runtime,
            others=[member.checkpoint for member in work.members[1:]],
            out_of_range=self.out_of_range,
        )


@contextmanager
def _kept(parts: Parts, rasters: DatedRasters, *, alone: bool) -> Any:
    """Keep what is finished where the same command may go on, and say so; remove it elsewhere."""
    try:
        yield
    except BusyError:
        raise  # the parts are another process's
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
