"""From scenes to a table: the features of a trained network for each chip, with its footprint."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eoseg import __version__
from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.geo.cog import require_writable
from eoseg.geo.feature_table import FeatureRows, FeatureWriter, common_crs, footprints_in
from eoseg.geo.grid import Grid
from eoseg.geo.settings import gdal_settings
from eoseg.geo.tiles import plan_tiles
from eoseg.models.network import Network
from eoseg.predict.chip_labels import ChipLabels
from eoseg.predict.classifier import pick_device
from eoseg.predict.descriptor import Descriptor, chip_size_of
from eoseg.predict.match import MatchedScene
from eoseg.predict.memory import bytes_per_pixel
from eoseg.predict.options import DEFAULT_MEMORY_MB
from eoseg.predict.plan import ChipPlan
from eoseg.predict.reader import TileImage, read_tiles
from eoseg.predict.several import grid_of, match_each, require_scenes
from eoseg.progress import Progress
from eoseg.recipe import MapClass, Recipe

SUFFIX = ".parquet"
"""Ending of a table."""

_CHIPS = 32  # per pass, unless memory is short


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """How scenes are cut into chips, read and described."""

    chip_size: int | None = None
    """Height and width of a chip in pixels; that of the training by default."""
    step: int | None = None
    """Pixels from one chip to the next; a chip's size by default, less for chips that overlap."""
    batch_size: int | None = None
    """Chips per pass; up to 32 by default."""
    device: str = "auto"
    """"auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1"."""
    overwrite: bool = False
    """Replace an existing table."""
    label_values: bool = False
    """Label chips with the values of the label rasters, even where the checkpoint has classes."""
    bands: tuple[str, ...] | None = None
    """Names of all bands of the scenes, in file order, instead of their own."""
    nodata: float | None = None
    """Nodata value instead of the scenes' own."""
    allow_range_mismatch: bool = False
    """Describe scenes whose values lie far from the training values."""

    def __post_init__(self) -> None:
        for name in ("chip_size", "step", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"The {name.replace('_', ' ')} is 1 or more; found {value}.")


@dataclass(frozen=True, slots=True)
class Embedding:
    """What was written."""

    path: Path
    chips: int
    """Rows of the table."""
    skipped: int
    """Chips without a valid pixel in their middle, which have no row."""
    features: int
    chip_size: int
    step: int
    crs: str
    """CRS of the footprints."""
    label_chips: dict[str, int] | None
    """Chips per label, the most frequent first; "" for none. None where no labels were given."""
    device: str
    seconds: float
    notices: tuple[str, ...]
    """What was assumed about the scenes."""


def embed_scenes(
    network: Network,
    recipe: Recipe,
    scenes: Sequence[str],
    out: Path,
    *,
    labels: Sequence[str] = (),
    options: EmbedOptions | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Embedding:
    """Write the features of all chips of some scenes as GeoParquet, with bounded memory.

    Chips lie on the lattice on which a network for chips maps a scene; see `eoseg.predict.plan.ChipPlan`. A
    footprint is the part of the chip inside the scene. The table has the scenes' CRS where it is one, and
    EPSG:4326 where scenes differ; without CRS footprints are in pixels.

    Args:
        network: A trained network of one date; it is put into evaluation mode and moved to the device.
        recipe: Its recipe.
        scenes: Paths of the scenes.
        out: Path of the table, which ends with .parquet.
        labels: A label raster for each scene, in their order, or none at all.
        options: See `EmbedOptions`.
        checkpoint: Where the network comes from, for the table's provenance.
        progress: Is called after each chip.

    Raises:
        ConfigError: The network has no features to give, or an option does not fit it.
        OutputError: The table exists or cannot be written.
        BandError: A scene's bands or values do not fit the checkpoint.
        GridError: A label raster is on another grid than its scene.
        DataError: A scene or its labels cannot be read, or no scene has a valid pixel.
    """
    started = time.perf_counter()
    chosen = options or EmbedOptions()
    _require_input(scenes, labels, out, chosen)
    if chosen.label_values and not recipe.schema.classes:
        raise ConfigError("The checkpoint has no classes, so labels are values. Leave --label-values out.")
    descriptor = Descriptor(network)
    chip_size = chip_size_of(network, recipe, chosen.chip_size)
    step = _checked_step(chosen.step, chip_size)
    device = pick_device(chosen.device)
    require_writable(out, overwrite=chosen.overwrite)
    features = descriptor.count(len(recipe.schema.bands), chip_size)
    batch_size = chosen.batch_size or _batch_size(descriptor, network, recipe, chip_size)
    with gdal_settings(), ExitStack() as stack:
        matched = match_each(scenes, recipe, chosen)
        classes = () if chosen.label_values else recipe.schema.classes
        places = _places(matched, labels, classes, chip_size=chip_size, step=step)
        crs = common_crs({place.scene.path: place.grid for place in places})
        begun = FeatureWriter(
            out, features=features, crs=crs, labelled=bool(labels), overwrite=chosen.overwrite
        )
        writer = stack.enter_context(begun)
        total = sum(place.grid.height * place.grid.width for place in places)
        run = _Run(network.to(device), descriptor, writer, batch_size, total, progress)
        for place in places:
            run.embed(place)
        if not writer.rows:
            raise DataError(
                f"None of the {len(scenes)} scene(s) has a valid pixel. Check --nodata and the files."
            )
        writer.publish(_provenance(recipe, scenes, chip_size, step, checkpoint, device.type))
    return Embedding(
        path=out,
        chips=writer.rows,
        skipped=run.skipped,
        features=features,
        chip_size=chip_size,
        step=step,
        crs=writer.crs_name,
        label_chips=dict(run.labels.most_common()) if labels else None,
        device=str(device),
        seconds=time.perf_counter() - started,
        notices=tuple(notice for scene in matched for notice in scene.notices),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """One scene with its chips."""

    name: str
    scene: MatchedScene
    grid: Grid
    plan: ChipPlan
    labels: str | None
    classes: tuple[MapClass, ...]
    """What the labels mean; none where they are values."""

    def open_labels(self) -> ChipLabels | None:
        """Open the label raster, where there is one."""
        if self.labels is None:
            return None
        return ChipLabels(self.labels, self.grid, image=self.scene.path, classes=self.classes)


@dataclass(slots=True)
class _Run:
    """One pass over the chips of all scenes."""

    network: Network
    descriptor: Descriptor
    writer: FeatureWriter
    batch_size: int
    total: int
    """Pixels of all scenes."""
    progress: Callable[[Progress], None] | None
    skipped: int = 0
    done: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    def embed(self, place: _Place) -> None:
        """Describe the chips of a scene, and write them."""
        with ExitStack() as stack:
            scene = stack.enter_context(place.scene.open())
            labels = stack.enter_context(place.open_labels() or nullcontext())
            tiles = stack.enter_context(read_tiles([scene], enumerate(place.plan), ahead=self.batch_size))
            for batch in batched(self._with_values(tiles), self.batch_size):
                windows = [chip.tile.read for chip in batch]
                named = None
                if labels is not None:
                    named = [labels.of(chip.tile.read, chip.valid) for chip in batch]
                    self.labels.update(name or "" for name in named)
                footprints = footprints_in(place.grid, windows, self.writer.crs)
                valid = [float(chip.valid.mean()) for chip in batch]
                self.writer.write(
                    FeatureRows(place.name, windows, footprints, valid, self._describe(batch), named)
                )

    def _with_values(self, tiles: Iterable[TileImage]) -> Iterator[TileImage]:
        """Pass on the chips with a valid pixel in their middle."""
        for chip in tiles:
            core = chip.tile.core
            if chip.core_valid.any():
                yield chip
            else:
                self.skipped += 1
            self.done += core.height * core.width
            if self.progress is not None:
                self.progress(Progress(self.done, self.total))

    @torch.inference_mode()
    def _describe(self, batch: Sequence[TileImage]) -> NDArray[np.float32]:
        device = self.network.normalize.mean.device
        image = torch.from_numpy(np.stack([chip.image for chip in batch])).to(device)  # (B, C, H, W)
        valid = torch.from_numpy(np.stack([chip.valid for chip in batch])).to(device)
        features = self.descriptor(self.network.prepare(image, valid)).cpu()  # (B, D)
        if not torch.isfinite(features).all():
            raise CheckpointError(
                "The network gives features that are no finite numbers. Its training diverged: train again "
                "with a smaller learning rate, or use an earlier checkpoint."
            )
        return np.asarray(features.numpy(), np.float32)


def _places(
    matched: Sequence[MatchedScene],
    labels: Sequence[str],
    classes: tuple[MapClass, ...],
    *,
    chip_size: int,
    step: int,
) -> list[_Place]:
    """Look at all scenes and labels, so that a misfit shows before the work begins."""
    stems = [Path(scene.path).stem for scene in matched]
    names = stems if len(set(stems)) == len(stems) else [scene.path for scene in matched]
    found = []
    for number, scene in enumerate(matched):
        grid = grid_of(scene)
        plan = ChipPlan(plan_tiles(grid.height, grid.width, core=step, halo=0, stride=1), chip_size)
        place = _Place(names[number], scene, grid, plan, labels[number] if labels else None, classes)
        opened_labels = place.open_labels()
        if opened_labels is not None:
            opened_labels.close()
        found.append(place)
    return found


def _require_input(scenes: Sequence[str], labels: Sequence[str], out: Path, options: EmbedOptions) -> None:
    require_scenes(scenes)
    if labels and len(labels) != len(scenes):
        raise ConfigError(
            f"There are {len(scenes)} scene(s), but {len(labels)} label raster(s). Give one for each scene, "
            "in their order."
        )
    if options.label_values and not labels:
        raise ConfigError("--label-values says how to write labels, but there are none. Give --labels too.")
    if out.suffix.lower() != SUFFIX:
        raise ConfigError(
            f"The table is a {SUFFIX} file; found --out '{out}'. Use '{out.with_suffix(SUFFIX)}'."
        )


def _checked_step(step: int | None, chip_size: int) -> int:
    """Pixels from one chip to the next.

    Raises:
        ConfigError: Chips would leave gaps, or not lie around the middle of a lattice.
    """
    chosen = chip_size if step is None else step
    if chosen > chip_size:
        raise ConfigError(
            f"Chips of {chip_size} px that lie {chosen} px apart leave gaps. Use a --step of at most "
            f"{chip_size}."
        )
    if (chip_size - chosen) % 2:
        near = " or ".join(str(size) for size in (chosen - 1, chosen + 1) if size)
        raise ConfigError(
            f"A chip of {chip_size} px lies around a middle of --step px, so their sizes differ by an even "
            f"number; found --step {chosen}. Use {near}."
        )
    return chosen


def _batch_size(descriptor: Descriptor, network: Network, recipe: Recipe, chip_size: int) -> int:
    per_pixel = bytes_per_pixel(
        descriptor, channels=len(recipe.schema.bands), stride=network.output_stride, size=chip_size
    )
    return max(1, min(_CHIPS, int(DEFAULT_MEMORY_MB * 2**20 / per_pixel / chip_size**2)))


def _provenance(
    recipe: Recipe, scenes: Sequence[str], chip_size: int, step: int, checkpoint: Path | None, device: str
) -> dict[str, str]:
    """Where the table comes from. No time of making, so that the same input gives the same file."""
    facts = {
        "version": __version__,
        "task": recipe.task,
        "network": str(recipe.network.get("arch")),
        "scenes": ",".join(Path(scene).name for scene in scenes),
        "bands": ",".join(recipe.schema.bands),
        "chip_size": str(chip_size),
        "step": str(step),
        "device": device,
    }
    if checkpoint is not None:
        facts["checkpoint"] = checkpoint.name
        with checkpoint.open("rb") as file:
            facts["checkpoint_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return facts
