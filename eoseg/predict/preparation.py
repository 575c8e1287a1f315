"""What is settled before the first tile: the scene, the tiles, the runtime, and whether all fit together."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import torch

from eoseg.errors import BandError, ConfigError, DataError
from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.cog import require_writable
from eoseg.geo.mapfile import item_path
from eoseg.geo.scene import Scene
from eoseg.geo.settings import gdal_settings
from eoseg.geo.stack import SceneStack
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network
from eoseg.models.sampled_dropout import DropoutSample, sampled_dropout
from eoseg.predict.chosen_product import make_product
from eoseg.predict.classifier import Classifier, pick_device
from eoseg.predict.dated import DatedRasters, find_rasters, match_rasters
from eoseg.predict.members import Member, require_alike
from eoseg.predict.opening import open_scene
from eoseg.predict.options import PredictOptions
from eoseg.predict.out_of_range import Ranges
from eoseg.predict.passes import Passes
from eoseg.predict.plan import ChipPlan, Layout
from eoseg.predict.provenance import fingerprint, hash_checkpoint
from eoseg.predict.ranks import Rank
from eoseg.predict.reader import read_tile
from eoseg.predict.reading import plan_reading
from eoseg.predict.receptive import takes_dates
from eoseg.predict.runtime import Images, Runtime, choose_runtime
from eoseg.predict.tiling import choose_tiles
from eoseg.predict.work import Work
from eoseg.recipe import Recipe

_logger = logging.getLogger(__name__)

_GPU_READERS = 4  # threads that read: a GPU is often faster than one
_COMPARED, _TRIED, _COMPARED_PX = 2, 16, 512  # tiles to compare runtimes on, at most; of torch, parts of them


def prepare(
    stack: ExitStack,
    network: Network,
    recipe: Recipe,
    scene: str | Sequence[str],
    out: Path,
    *,
    rank: Rank,
    options: PredictOptions,
    checkpoint: Path | None,
    ensemble: Sequence[Member] = (),
) -> Work:
    """Open the scene, choose tiles and runtime, and refuse what does not fit; nothing is written.

    Args:
        stack: Closes the scene when it ends, and takes back what samples of the networks need.
        network: As for `eoseg.predict.predict_scene`, and so are the others.
        recipe: Its recipe.
        scene: Path or paths of the scene.
        out: Path of the map.
        rank: Which of how many processes this is.
        options: See `PredictOptions`.
        checkpoint: Where the network comes from.
        ensemble: The other networks whose mean is mapped.

    Raises:
        EosegError: As `eoseg.predict.predict_scene` says.
    """
    members = (Member(network, recipe, checkpoint), *ensemble)
    passes = Passes.chosen(networks=len(members), mc_dropout=options.mc_dropout, tta=options.tta)
    dropout = _ready(stack, members, options)
    product = make_product(
        recipe, probabilities=options.probabilities, uncertainty=options.uncertainty, passes=passes
    )
    rasters = find_rasters(scene, recipe.schema.time)
    for target in (*product.paths(out), item_path(out)):
        require_writable(target, overwrite=True)
        _require_other(target, rasters.paths)
    of_cpu = any(isinstance(member.network.body, FittedBody) for member in members)
    device = pick_device(options.device, cpu_only=of_cpu, local=rank.local)
    matched = match_rasters(rasters, recipe, options)
    _require_ranges(ensemble, rasters, options)
    readers = _GPU_READERS if device.type == "cuda" else 1
    opened = open_scene(stack, matched, recipe, options, readers=readers)
    source, area = opened.scenes[0], opened.area
    for member in members:
        _require_dates(member.network, member.recipe, rasters)
    steps = len(rasters.paths)
    layout = choose_tiles(members, source.grid, steps, options, product, passes, dropout=dropout)
    reading = plan_reading(
        layout.plan,
        block_shape=source.block_shape,
        pixel_bytes=source.pixel_bytes,
        at_most=options.cache_bytes,
    )
    _logger.debug("reading: %s", reading)
    stack.enter_context(gdal_settings(reading.cache_bytes))
    days = source.days if isinstance(source, SceneStack) and rasters.time == "series" else None
    classifier = Classifier(
        [member.network for member in members],
        product,
        device=device,
        steps=steps,
        days=days,
        passes=passes,
        dropout=dropout,
        ranges=Ranges([member.recipe for member in members], device=device),
    )
    runtimes = _runtimes(
        members,
        options,
        classifier,
        lambda: _some_images(source, rasters, layout, classifier, area, whole=options.backend != "torch"),
        steps=steps,
        device=device,
        batch_size=layout.batch_size,
    )
    return Work(
        members,
        passes,
        options,
        out,
        rank,
        rasters,
        (*opened.notices, *_idle_options(layout, options)),
        opened.scenes,
        layout,
        reading,
        product,
        classifier,
        runtimes,
        device,
        fingerprint(
            network,
            recipe,
            rasters,
            opened.own.grid,
            layout,
            options,
            checkpoint,
            "; ".join(dict.fromkeys(runtime.name for runtime in runtimes)),
            pixel_size=opened.pixel_size,
            others=[hash_checkpoint(other.network, other.recipe, other.checkpoint) for other in ensemble],
        ),
        area,
        opened.home,
    )


def _ready(stack: ExitStack, members: Sequence[Member], options: PredictOptions) -> tuple[DropoutSample, ...]:
    """Refuse networks that cannot make a map together; what steers the samples of each, where there are."""
    for member in members:
        _require_maps(member.network)
        member.network.eval()
    require_alike(members, any_pixel_size=options.pixel_size != "auto")
    if options.mc_dropout is None:
        return ()
    return tuple(
        stack.enter_context(
            sampled_dropout(member.network, name="The network" if len(members) == 1 else member.name)
        )
        for member in members
    )


def _require_ranges(ensemble: Sequence[Member], rasters: DatedRasters, options: PredictOptions) -> None:
    """Refuse a scene whose values are on another scale than those of any training.

    Raises:
        BandError: It names the network.
    """
    for member in ensemble:
        try:
            match_rasters(rasters, member.recipe, options)
        except BandError as error:
            raise BandError(f"For {member.name} of the ensemble: {error}") from error


def _runtimes(
    members: Sequence[Member],
    options: PredictOptions,
    classifier: Classifier,
    images: Callable[[], list[Images]],
    *,
    steps: int,
    device: torch.device,
    batch_size: int,
) -> tuple[Runtime, ...]:
    """Choose how to run each network, and let the classifier run it so."""
    compared = cache(images)  # all networks see the same ones
    runtimes = tuple(
        choose_runtime(
            member.network,
            member.recipe,
            options,
            device=device,
            steps=steps,
            images=compared,
            batch_size=batch_size,
        )
        for member in members
    )
    _logger.debug("runtime: %s", "; ".join(map(str, runtimes)))
    classifier.runs = [runtime.run for runtime in runtimes]
    return runtimes


def _some_images(
    source: Scene | SceneStack,
    rasters: DatedRasters,
    layout: Layout,
    classifier: Classifier,
    area: AreaOfInterest | None,
    *,
    whole: bool,
) -> list[Images]:
    """A few tiles with values, the same ones in every process, or parts of them."""
    plan, found = layout.plan, list[Images]()
    for place in range(_TRIED):
        if len(found) == _COMPARED:
            break
        index = (2 * place + 1) * len(plan) // (2 * _TRIED)
        tile = read_tile(source, plan.tile(index), index, time=rasters.time, area=area)
        if tile.core_valid.any():
            image, valid, days = classifier.tensors([tile])
            if not (whole or isinstance(plan, ChipPlan)):
                size = max(plan.stride, _COMPARED_PX // plan.stride * plan.stride)
                image, valid = image[..., :size, :size], valid[..., :size, :size]
            found.append(Images(image, valid, days))
    return found


def _require_maps(network: Network) -> None:
    if network.kind == "pretraining":
        raise ConfigError(
            "The checkpoint is of a pretraining: its network reconstructs images and has no classes to map. "
            "Train a task with this checkpoint as its 'weights', then map with what that gives."
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


def _idle_options(layout: Layout, options: PredictOptions) -> tuple[str, ...]:
    """Which options change nothing here."""
    if options.blend == "auto" or not (layout.exact or layout.plan.halo == 0):
        return ()
    why = "the map is exact" if layout.exact else "without a halo tiles do not overlap"
    return (f"--blend off changes nothing here: {why}, so nothing would be blended.",)


def _require_other(target: Path, scenes: Sequence[str]) -> None:
    """A map never replaces its own scene, not even with overwrite."""
    for scene in scenes:
        if target.exists() and Path(scene).exists() and target.samefile(scene):
            raise ConfigError(f"'{target}' is the scene itself. Choose another name for the map.")
