"""What is settled before the first tile: the scene, the tiles, the runtime, and whether all fit together."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from eoseg.errors import ConfigError, DataError
from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.cog import require_writable
from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import item_path
from eoseg.geo.scene import Scene
from eoseg.geo.settings import gdal_settings
from eoseg.geo.stack import SceneStack
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network
from eoseg.models.symmetries import SYMMETRIES
from eoseg.predict.blend import StripBytes
from eoseg.predict.chosen_product import make_product
from eoseg.predict.classifier import Classifier, pick_device
from eoseg.predict.dated import DatedRasters, find_rasters, match_rasters
from eoseg.predict.memory import PROBE_PX, bytes_per_pixel
from eoseg.predict.opening import open_scene
from eoseg.predict.options import PredictOptions
from eoseg.predict.plan import ChipPlan, Layout, choose_chips, choose_layout
from eoseg.predict.product import Product
from eoseg.predict.provenance import fingerprint
from eoseg.predict.ranks import Rank
from eoseg.predict.reader import read_tile
from eoseg.predict.reading import plan_reading
from eoseg.predict.receptive import network_context, takes_dates
from eoseg.predict.runtime import Images, choose_runtime
from eoseg.predict.work import Work
from eoseg.recipe import Recipe

_logger = logging.getLogger(__name__)

_SMALL_PROBE_PX = 64  # where a pass over a larger image would take long: many dates, nearest neighbours
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
) -> Work:
    """Open the scene, choose tiles and runtime, and refuse what does not fit; nothing is written.

    Args:
        stack: Closes the scene when it ends.
        network: As for `eoseg.predict.predict_scene`, and so are the others.
        recipe: Its recipe.
        scene: Path or paths of the scene.
        out: Path of the map.
        rank: Which of how many processes this is.
        options: See `PredictOptions`.
        checkpoint: Where the network comes from.

    Raises:
        EosegError: As `eoseg.predict.predict_scene` says.
    """
    _require_maps(network)
    network.eval()
    product = make_product(
        recipe, probabilities=options.probabilities, uncertainty=options.uncertainty, tta=options.tta
    )
    rasters = find_rasters(scene, recipe.schema.time)
    for target in (*product.paths(out), item_path(out)):
        require_writable(target, overwrite=True)
        _require_other(target, rasters.paths)
    device = pick_device(options.device, cpu_only=isinstance(network.body, FittedBody), local=rank.local)
    matched = match_rasters(rasters, recipe, options)
    readers = _GPU_READERS if device.type == "cuda" else 1
    opened = open_scene(stack, matched, recipe, options, readers=readers)
    source, area = opened.scenes[0], opened.area
    _require_dates(network, recipe, rasters)
    steps = len(rasters.paths)
    layout = _layout(network, recipe, source.grid, steps, options, product)
    reading = plan_reading(
        layout.plan,
        block_shape=source.block_shape,
        pixel_bytes=source.pixel_bytes,
        at_most=options.cache_bytes,
    )
    _logger.debug("reading: %s", reading)
    stack.enter_context(gdal_settings(reading.cache_bytes))
    days = source.days if isinstance(source, SceneStack) and rasters.time == "series" else None
    classifier = Classifier(network, product, device=device, steps=steps, days=days, tta=options.tta)
    runtime = choose_runtime(
        network,
        recipe,
        options,
        device=device,
        steps=steps,
        images=lambda: _some_images(
            source, rasters, layout, classifier, area, whole=options.backend != "torch"
        ),
        batch_size=layout.batch_size,
    )
    _logger.debug("runtime: %s", runtime)
    classifier.run = runtime.run
    return Work(
        recipe,
        options,
        checkpoint,
        out,
        rank,
        rasters,
        (*opened.notices, *_idle_options(layout, options)),
        opened.scenes,
        layout,
        reading,
        product,
        network,
        classifier,
        runtime,
        device,
        fingerprint(
            network,
            recipe,
            rasters,
            opened.own.grid,
            layout,
            options,
            checkpoint,
            runtime.name,
            pixel_size=opened.pixel_size,
        ),
        area,
        opened.home,
    )


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


def _layout(
    network: Network, recipe: Recipe, grid: Grid, steps: int, options: PredictOptions, product: Product
) -> Layout:
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
    if options.tta:  # the image turned; mean, squares, scores and their difference
        pixel_bytes += 4 * (channels + 4 * recipe.schema.outputs)
    if is_of_chips:
        layout = choose_chips(grid, options, pixel_bytes=pixel_bytes, chip_size=chip_size)
    else:
        context = network_context(network, steps=steps)
        _logger.debug("context of the network: %s", context)
        if options.tta and context.halo == 0 and context.output_stride == 1:
            raise ConfigError(
                "The model looks at each pixel alone, so the map of the turned scene is the turned map: "
                f"--tta would take {len(SYMMETRIES)} times as long and change nothing. Leave it out."
            )
        if steps > 1:  # the tile that waits has as many values as activations may
            pixel_bytes += 4 * channels
        layout = choose_layout(
            grid,
            context,
            options,
            pixel_bytes=pixel_bytes,
            chip_size=chip_size,
            waiting=StripBytes(
                sums=4 * (product.outputs + product.has_spread),
                results=sum(layer.pixel_bytes for layer in product.layers()) + 1,
            ),
        )
    _logger.debug("tiles: %s", layout)
    return layout


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
