"""From a scene to a map, tile by tile."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eoseg import __version__
from eoseg.errors import ConfigError, DataError
from eoseg.geo.cog import CogWriter, require_writable
from eoseg.geo.mapfile import MapWriter, ProbabilityWriter, probability_path
from eoseg.geo.scene import Scene
from eoseg.geo.settings import gdal_settings
from eoseg.geo.tiles import TilePlan
from eoseg.models.network import Network
from eoseg.predict.classifier import Classifier, TileClasses, pick_device
from eoseg.predict.match import MatchedScene, match_scene
from eoseg.predict.memory import bytes_per_pixel
from eoseg.predict.options import Disagreement, Prediction, PredictOptions, Progress
from eoseg.predict.plan import Layout, choose_layout, part_block
from eoseg.predict.reader import TileImage, read_tiles
from eoseg.predict.receptive import find_context
from eoseg.predict.seams import measure_disagreement, sample_indices
from eoseg.recipe import IGNORE, Recipe

_logger = logging.getLogger(__name__)


def predict_scene(
    network: Network,
    recipe: Recipe,
    scene: str,
    out: Path,
    *,
    options: PredictOptions | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Prediction:
    """Map a scene of any size with bounded memory.

    Each tile of a fixed lattice is read with its halo, classified, and its core written; see
    `eoseg.geo.tiles` for why the map then equals the whole-image result.

    Args:
        network: A trained network; it is put into evaluation mode and moved to the device.
        recipe: Its recipe.
        scene: Path of the scene.
        out: Path of the map, a file.
        options: See `PredictOptions`.
        checkpoint: Where the network comes from, for the map's provenance.
        progress: Is called after each tile.

    Raises:
        OutputError: The map exists or cannot be written.
        BandError: The scene's bands or values do not fit the checkpoint.
        DataError: The scene cannot be read, or has no valid pixel.
        ConfigError: An option does not fit the network.
    """
    started = time.perf_counter()
    chosen = options or PredictOptions()
    second = probability_path(out) if chosen.probabilities else None
    for target in (out, second):
        if target is not None:
            require_writable(target, overwrite=chosen.overwrite)
            _require_other(target, scene)
    device = pick_device(chosen.device)
    with gdal_settings(), ExitStack() as stack:
        matched = match_scene(
            scene,
            recipe,
            bands=chosen.bands,
            nodata=chosen.nodata,
            allow_range_mismatch=chosen.allow_range_mismatch,
        )
        source = stack.enter_context(matched.open())
        layout = _layout(network, recipe, source, chosen)
        classifier = Classifier(
            network,
            device=device,
            num_classes=len(recipe.schema.classes),
            probabilities=chosen.probabilities,
        )
        writers = _Writers.open(stack, source, recipe, layout.plan, out, second, overwrite=chosen.overwrite)
        run = _Run(source, layout, classifier, writers, progress)
        run.map_tiles(chosen.batch_size)
        disagreement = run.disagreement()
        writers.finish(_provenance(recipe, matched, layout, disagreement, checkpoint, device.type))
    return Prediction(
        path=out,
        probabilities=second,
        pixels=source.grid.height * source.grid.width,
        class_pixels=writers.classes.class_pixels,
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
    )


@dataclass(frozen=True, slots=True)
class _Writers:
    """The one or two files that a prediction writes."""

    classes: MapWriter
    probabilities: ProbabilityWriter | None

    @classmethod
    def open(
        cls,
        stack: ExitStack,
        scene: Scene,
        recipe: Recipe,
        plan: TilePlan,
        out: Path,
        second: Path | None,
        *,
        overwrite: bool,
    ) -> "_Writers":
        block, names = part_block(plan.core), recipe.schema.classes
        classes = stack.enter_context(MapWriter(out, scene.grid, names, block=block, overwrite=overwrite))
        probabilities = None
        if second is not None:
            probabilities = stack.enter_context(
                ProbabilityWriter(second, scene.grid, names, block=block, overwrite=overwrite)
            )
        return cls(classes, probabilities)

    def write(self, result: TileClasses) -> None:
        core = result.source.tile.core
        self.classes.write(core, result.classes)
        if self.probabilities is not None and result.probabilities is not None:
            self.probabilities.write(core, result.probabilities)

    def write_nodata(self, source: TileImage) -> None:
        core = source.tile.core
        empty = np.full((core.height, core.width), IGNORE, np.uint8)
        self.classes.write(core, empty)
        if self.probabilities is not None:
            bands = len(self.probabilities.layout.bands)
            self.probabilities.write(core, np.broadcast_to(empty, (bands, *empty.shape)))

    def finish(self, tags: dict[str, str]) -> None:
        """Both files are complete before the first gets its name."""
        files: list[CogWriter] = [self.classes]
        if self.probabilities is not None:
            files.append(self.probabilities)
        for file in files:
            file.build(tags)
        for file in reversed(files):  # the map last: where it is, all is
            file.publish()


@dataclass(slots=True)
class _Run:
    """One pass over the tiles of a scene."""

    scene: Scene
    layout: Layout
    classifier: Classifier
    writers: _Writers
    progress: Callable[[Progress], None] | None
    skipped: int = 0
    done_pixels: int = 0
    remembered: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def map_tiles(self, batch_size: int) -> None:
        """Read, classify and write each tile.

        Raises:
            DataError: The scene has no valid pixel.
        """
        plan = self.layout.plan
        wanted = set() if self.layout.exact else sample_indices(plan)
        with read_tiles(self.scene, plan) as tiles:
            for batch in batched(self._with_values(tiles), batch_size):
                for result in self.classifier.classify(batch):
                    self.writers.write(result)
                    if result.source.index in wanted:
                        self.remembered[result.source.index] = result.classes
                    self._report(result.source)
        if self.skipped == len(plan):
            raise DataError(
                f"'{self.scene.path}' has no valid pixel: every value is nodata "
                f"({self.scene.nodata}) or NaN, or is masked. No map was made; check --nodata and the file."
            )

    def disagreement(self) -> Disagreement | None:
        """Measure how far an inexact map depends on its tiles."""
        if self.layout.exact:
            return None
        return measure_disagreement(self.scene, self.layout.plan, self.classifier, self.remembered)

    def _with_values(self, tiles: Iterable[TileImage]) -> Iterator[TileImage]:
        """Pass on the tiles to compute; write those without a valid pixel as nodata."""
        for tile in tiles:
            if tile.core_valid.any():
                yield tile
            else:
                self.skipped += 1
                self.writers.write_nodata(tile)
                self._report(tile)

    def _report(self, tile: TileImage) -> None:
        grid, core = self.scene.grid, tile.tile.core
        self.done_pixels += core.height * core.width
        if self.progress is not None:
            self.progress(Progress(self.done_pixels, grid.height * grid.width))


def _layout(network: Network, recipe: Recipe, scene: Scene, options: PredictOptions) -> Layout:
    network.eval()
    channels = len(recipe.schema.bands)
    context = find_context(network.body, channels=channels, stride=network.output_stride)
    _logger.debug("context of the network: %s", context)
    layout = choose_layout(
        scene.grid,
        context,
        options,
        pixel_bytes=bytes_per_pixel(network.body, channels=channels, stride=network.output_stride),
        chip_size=recipe.chip_size,
    )
    _logger.debug("tiles: %s", layout)
    return layout


def _require_other(target: Path, scene: str) -> None:
    """A map never replaces its own scene, not even with overwrite."""
    if target.exists() and Path(scene).exists() and target.samefile(scene):
        raise ConfigError(f"'{target}' is the scene itself. Choose another name for the map.")


def _provenance(
    recipe: Recipe,
    matched: MatchedScene,
    layout: Layout,
    disagreement: Disagreement | None,
    checkpoint: Path | None,
    device: str,
) -> dict[str, str]:
    """Where the map comes from. No date, so that the same input gives the same file."""
    tags = {
        "EOSEG_VERSION": __version__,
        "EOSEG_TASK": recipe.task,
        "EOSEG_SCENE": Path(matched.path).name,
        "EOSEG_BANDS": ",".join(recipe.schema.bands),
        "EOSEG_TILE": str(layout.plan.core),
        "EOSEG_HALO": str(layout.plan.halo),
        "EOSEG_OUTPUT_STRIDE": str(layout.plan.stride),
        "EOSEG_DEVICE": device,
        "EOSEG_EXACT": "yes" if layout.exact else "no",
        "EOSEG_EXACT_BECAUSE": layout.reason,
    }
    if disagreement is not None:
        tags["EOSEG_DISAGREEMENT"] = f"{disagreement.differing} of {disagreement.pixels} px"
    if checkpoint is not None:
        tags["EOSEG_CHECKPOINT"] = checkpoint.name
        with checkpoint.open("rb") as file:
            tags["EOSEG_CHECKPOINT_SHA256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return tags
