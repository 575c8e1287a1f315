"""From a scene, or several dates of one, to a map, tile by tile."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from eoseg import __version__
from eoseg.errors import ConfigError, DataError
from eoseg.geo.cog import require_writable
from eoseg.geo.grid import Grid
from eoseg.geo.scene import Scene
from eoseg.geo.settings import gdal_settings
from eoseg.geo.stack import SceneStack
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network
from eoseg.predict.classifier import Classifier, pick_device
from eoseg.predict.dated import DatedRasters, find_rasters, match_rasters
from eoseg.predict.memory import PROBE_PX, bytes_per_pixel
from eoseg.predict.options import Disagreement, Prediction, PredictOptions, Progress
from eoseg.predict.plan import ChipPlan, Layout, choose_chips, choose_layout, part_block
from eoseg.predict.products import make_product
from eoseg.predict.reader import READ_AHEAD, TileImage, read_tiles
from eoseg.predict.receptive import network_context, takes_dates
from eoseg.predict.seams import measure_disagreement, sample_indices
from eoseg.recipe import Recipe, Time

_logger = logging.getLogger(__name__)

_SMALL_PROBE_PX = 64  # where a pass over a larger image would take long: many dates, nearest neighbours


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
        OutputError: The map exists or cannot be written.
        BandError: The scene's bands or values do not fit the checkpoint.
        GridError: Dates are on different grids.
        DataError: The scene cannot be read, or has no valid pixel; or its dates do not fit.
        ConfigError: An option does not fit the network.
    """
    started = time.perf_counter()
    chosen = options or PredictOptions()
    _require_maps(network)
    network.eval()
    product = make_product(recipe, probabilities=chosen.probabilities)
    rasters = find_rasters(scene, recipe.schema.time)
    paths = product.paths(out)
    for target in paths:
        require_writable(target, overwrite=chosen.overwrite)
        _require_other(target, rasters.paths)
    device = pick_device(chosen.device, cpu_only=isinstance(network.body, FittedBody))
    with gdal_settings(), ExitStack() as stack:
        matched = match_rasters(rasters, recipe, chosen)
        source = matched.open()
        stack.callback(source.close)
        _require_dates(network, recipe, rasters)
        layout = _layout(network, recipe, source.grid, len(rasters.paths), chosen)
        days = source.days if isinstance(source, SceneStack) and rasters.time == "series" else None
        classifier = Classifier(network, product, device=device, days=days)
        block = part_block(layout.plan.core)
        product.open(stack, source.grid, out, block=block, overwrite=chosen.overwrite)
        run = _Run(source, rasters.time, layout, classifier, progress)
        run.map_tiles()
        disagreement = run.disagreement()
        product.finish(_provenance(recipe, rasters, layout, disagreement, checkpoint, device.type))
    summary = product.summary()
    return Prediction(
        path=out,
        probabilities=paths[1] if len(paths) > 1 else None,
        pixels=source.grid.height * source.grid.width,
        valid_pixels=summary.valid_pixels,
        class_pixels=summary.class_pixels,
        tiles=len(layout.plan),
        skipped=run.skipped,
        tile=layout.plan.core,
        halo=layout.plan.halo,
        exact=layout.exact,
        reason=layout.reason,
        disagreement=disagreement,
        device=str(device),
        seconds=time.perf_counter() - started,
        notices=matched.notices,
        values=summary.values,
    )


@dataclass(slots=True)
class _Run:
    """One pass over the tiles of a scene."""

    scene: Scene | SceneStack
    time: Time
    layout: Layout
    classifier: Classifier
    progress: Callable[[Progress], None] | None
    skipped: int = 0
    done_pixels: int = 0
    remembered: dict[int, NDArray[Any]] = field(default_factory=dict)
    """The map of some cores, by the index of their tile."""

    def map_tiles(self) -> None:
        """Read, classify and write each tile.

        Raises:
            DataError: The scene has no valid pixel.
        """
        layout, product = self.layout, self.classifier.product
        wanted: set[int] = set()
        if not (layout.exact or isinstance(layout.plan, ChipPlan)):
            wanted = sample_indices(layout.plan)
        # Chips are small: a whole pass of them is read while the one before is computed.
        ahead = layout.batch_size if isinstance(layout.plan, ChipPlan) else READ_AHEAD
        with read_tiles(self.scene, layout.plan, time=self.time, ahead=ahead) as tiles:
            for batch in batched(self._with_values(tiles), layout.batch_size):
                for result in self.classifier.classify(batch):
                    product.write(result.source.tile.core, result.layers)
                    if result.source.index in wanted:
                        self.remembered[result.source.index] = result.layers[0]
                    self._report(result.source)
        if self.skipped == len(layout.plan):
            raise DataError(_nothing_valid(self.scene, self.time))

    def disagreement(self) -> Disagreement | None:
        """Measure how far an inexact map depends on its tiles."""
        plan = self.layout.plan
        if self.layout.exact or isinstance(plan, ChipPlan):
            return None
        return measure_disagreement(self.scene, plan, self.classifier, self.remembered, time=self.time)

    def _with_values(self, tiles: Iterable[TileImage]) -> Iterator[TileImage]:
        """Pass on the tiles to compute; write those without a valid pixel as nodata."""
        product = self.classifier.product
        for tile in tiles:
            if tile.core_valid.any():
                yield tile
            else:
                core = tile.tile.core
                self.skipped += 1
                product.write(core, product.empty(core.height, core.width))
                self._report(tile)

    def _report(self, tile: TileImage) -> None:
        grid, core = self.scene.grid, tile.tile.core
        self.done_pixels += core.height * core.width
        if self.progress is not None:
            self.progress(Progress(self.done_pixels, grid.height * grid.width))


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


def _provenance(
    recipe: Recipe,
    rasters: DatedRasters,
    layout: Layout,
    disagreement: Disagreement | None,
    checkpoint: Path | None,
    device: str,
) -> dict[str, str]:
    """Where the map comes from. No time of making, so that the same input gives the same file."""
    tags = {
        "EOSEG_VERSION": __version__,
        "EOSEG_TASK": recipe.task,
        "EOSEG_SCENE": ",".join(Path(path).name for path in rasters.paths),
        "EOSEG_BANDS": ",".join(recipe.schema.bands),
        "EOSEG_TILE": str(layout.plan.core),
        "EOSEG_HALO": str(layout.plan.halo),
        "EOSEG_OUTPUT_STRIDE": str(layout.plan.stride),
        "EOSEG_DEVICE": device,
        "EOSEG_EXACT": "yes" if layout.exact else "no",
        "EOSEG_EXACT_BECAUSE": layout.reason,
    }
    if rasters.dates is not None:
        tags["EOSEG_DATES"] = ",".join(map(str, rasters.dates))
    if recipe.threshold is not None:
        tags["EOSEG_THRESHOLD"] = f"{recipe.threshold:g}"
    if disagreement is not None:
        tags["EOSEG_DISAGREEMENT"] = f"{disagreement.differing} of {disagreement.pixels} px"
    if checkpoint is not None:
        tags["EOSEG_CHECKPOINT"] = checkpoint.name
        with checkpoint.open("rb") as file:
            tags["EOSEG_CHECKPOINT_SHA256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return tags
