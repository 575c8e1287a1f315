"""From scenes to a list of squares: where labels would teach a network most."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.geo.aoi import read_area
from eoseg.geo.feature_table import common_crs, footprints_in
from eoseg.geo.grid import Grid
from eoseg.geo.ranked_file import require_geopackage, write_ranked
from eoseg.geo.settings import gdal_settings
from eoseg.geo.tiles import plan_tiles
from eoseg.geo.window import Window
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network
from eoseg.predict.choice import Chosen, choose_places
from eoseg.predict.classifier import pick_device
from eoseg.predict.descriptor import Descriptor, chip_size_of
from eoseg.predict.match import MatchedScene
from eoseg.predict.plan import ChipPlan
from eoseg.predict.reader import TileImage, read_tiles
from eoseg.predict.several import grid_of, match_each, require_scenes
from eoseg.progress import Progress
from eoseg.recipe import Recipe

_CHIPS = 8
"""Per pass."""


@dataclass(frozen=True, slots=True)
class SuggestOptions:
    """How many places are proposed, and how scenes are read."""

    count: int = 20
    """Places to propose."""
    chip_size: int | None = None
    """Side of a square in pixels; that of a training chip by default."""
    labelled: str | None = None
    """Polygons of what is labelled already."""
    device: str = "auto"
    overwrite: bool = False
    """Replace an existing file."""
    bands: tuple[str, ...] | None = None
    """Names of all bands of the scenes, in file order, instead of their own."""
    nodata: float | None = None
    """Nodata value instead of the scenes' own."""
    allow_range_mismatch: bool = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"The number of places is 1 or more; found {self.count}.")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What was proposed."""

    path: Path
    chosen: int
    cells: int
    """Squares that were looked at."""
    labelled: int
    """Of these, squares that hold labels already."""
    chip_size: int
    mean_uncertainty: float
    """Of all squares, 0 to 1."""
    chosen_uncertainty: float
    """Of the chosen ones."""
    by: str
    """What the squares were compared by."""
    seconds: float
    notices: tuple[str, ...]


@dataclass(slots=True)
class _Cells:
    """What is known of all squares."""

    places: list[tuple[int, Window]] = field(default_factory=list)
    uncertainty: list[float] = field(default_factory=list)
    features: list[NDArray[np.float32]] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    """The class of most pixels."""


def suggest_places(
    network: Network,
    recipe: Recipe,
    scenes: Sequence[str],
    out: Path,
    *,
    options: SuggestOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Suggestion:
    """Propose squares of some scenes to label next, as a GeoPackage, the best first.

    A square's uncertainty is the mean entropy of its pixels' probabilities, over that of all classes alike.
    Its
    features are those of `eoseg embed`; of a network without any, its mean probabilities and the mean and
    deviation of its bands.

    Args:
        network: Of classes, for one date.
        recipe: Its recipe.
        scenes: Paths of the scenes.
        out: Path of the list, which ends with .gpkg.
        options: See `SuggestOptions`.
        progress: Is called after each square.

    Raises:
        ConfigError: The network gives no classes, or there are fewer squares than are wanted.
        OutputError: The file exists or cannot be written.
        BandError: A scene's bands or values do not fit the checkpoint.
        DataError: A scene cannot be read, or no scene has a valid pixel.
    """
    started, chosen = time.perf_counter(), options or SuggestOptions()
    _require_input(network, recipe, scenes)
    require_geopackage(out, overwrite=chosen.overwrite)
    size = chip_size_of(network, recipe, chosen.chip_size)
    device = pick_device(chosen.device, cpu_only=isinstance(network.body, FittedBody))
    look = _Look(network.eval().to(device), size)
    with gdal_settings():
        matched = match_each(scenes, recipe, chosen)
        grids = [grid_of(scene) for scene in matched]
        cells = _look_at(matched, grids, look, progress)
    labelled = _labelled(cells, grids, scenes, chosen.labelled)
    left = len(cells.places) - int(labelled.sum())
    if left < chosen.count:
        raise ConfigError(
            f"There are {left} squares of {size} px to choose from, and {chosen.count} are wanted. Lower "
            "--count "
            "or --chip-size, or give more scenes."
        )
    uncertainty = np.array(cells.uncertainty)
    picked = choose_places(
        uncertainty, np.stack(cells.features), cells.places, count=chosen.count, labelled=labelled
    )
    _write(out, picked, cells, grids, scenes, recipe)
    return Suggestion(
        path=out,
        chosen=len(picked),
        cells=len(cells.places),
        labelled=int(labelled.sum()),
        chip_size=size,
        mean_uncertainty=float(uncertainty.mean()),
        chosen_uncertainty=float(uncertainty[[place.number for place in picked]].mean()),
        by=look.by,
        seconds=time.perf_counter() - started,
        notices=tuple(notice for scene in matched for notice in scene.notices),
    )


def _require_input(network: Network, recipe: Recipe, scenes: Sequence[str]) -> None:
    require_scenes(scenes)
    if not network.takes_one_date:
        raise ConfigError(
            f"The network of this checkpoint is for {network.kind} and takes several dates; places are "
            "proposed by "
            "networks of one date."
        )
    if not recipe.schema.classes or recipe.schema.multilabel:
        raise ConfigError(
            "Places are proposed by networks that give each pixel or chip one class; this one gives "
            f"{'several labels' if recipe.schema.multilabel else 'no classes'}."
        )


class _Look:
    """What a network says of squares."""

    def __init__(self, network: Network, size: int) -> None:
        self.network = network
        self.size = size
        self._descriptor: Descriptor | None = None
        try:
            self._descriptor = Descriptor(network)
        except ConfigError:
            self.by = "class shares and band values"
        else:
            self.by = "features of the network"

    @torch.inference_mode()
    def __call__(self, chips: Sequence[TileImage], cells: _Cells, scene: int) -> None:
        """Add squares of one scene."""
        device = self.network.normalize.mean.device
        image = torch.from_numpy(np.stack([chip.image for chip in chips])).to(device)  # (B, C, H, W)
        valid = torch.from_numpy(np.stack([chip.valid for chip in chips])).to(device)
        logits = self.network(image, valid).float()
        if not torch.isfinite(logits).all():
            raise CheckpointError("The network gives values that are no finite numbers. Train it again.")
        if logits.ndim == 2:
            logits = logits[..., None, None].expand(-1, -1, *valid.shape[1:])
        probabilities = logits.softmax(dim=1)  # (B, K, H, W)
        entropy = torch.special.entr(probabilities).sum(dim=1) / np.log(logits.shape[1])  # (B, H, W)
        count = valid.sum(dim=(1, 2)).clamp(min=1)
        mean = (entropy * valid).sum(dim=(1, 2)) / count
        shares = (probabilities * valid[:, None]).sum(dim=(2, 3)) / count[:, None]  # (B, K)
        standard = self.network.normalize(image, valid).float()
        features = self._features(image, valid, standard, shares, count).cpu().numpy()
        for place, chip in enumerate(chips):
            cells.places.append((scene, chip.tile.core))
            cells.uncertainty.append(float(mean[place]))
            cells.classes.append(int(shares[place].argmax()))
            cells.features.append(features[place])

    def _features(
        self, image: Tensor, valid: Tensor, standard: Tensor, shares: Tensor, count: Tensor
    ) -> Tensor:
        if self._descriptor is not None:
            found: Tensor = self._descriptor(self.network.prepare(image, valid))
            return found
        # Invalid pixels are 0 in standardised values.
        mean = standard.sum(dim=(2, 3)) / count[:, None]
        spread = (standard.square().sum(dim=(2, 3)) / count[:, None] - mean.square()).clamp(min=0).sqrt()
        return torch.cat([shares, mean, spread], dim=1)


def _look_at(
    matched: Sequence[MatchedScene],
    grids: Sequence[Grid],
    look: _Look,
    progress: Callable[[Progress], None] | None,
) -> _Cells:
    cells, done = _Cells(), 0
    total = sum(grid.height * grid.width for grid in grids)
    for number, (scene, grid) in enumerate(zip(matched, grids, strict=True)):
        plan = ChipPlan(plan_tiles(grid.height, grid.width, core=look.size, halo=0, stride=1), look.size)
        with ExitStack() as stack:
            opened = stack.enter_context(scene.open())
            tiles = stack.enter_context(read_tiles([opened], enumerate(plan), ahead=_CHIPS))
            for batch in batched(tiles, _CHIPS):
                held = [chip for chip in batch if chip.valid.any()]
                if held:
                    look(held, cells, number)
                done += sum(chip.tile.core.height * chip.tile.core.width for chip in batch)
                if progress is not None:
                    progress(Progress(done, total))
    if not cells.places:
        raise DataError(
            f"None of the {len(matched)} scene(s) has a valid pixel. Check --nodata and the files."
        )
    return cells


def _labelled(
    cells: _Cells, grids: Sequence[Grid], scenes: Sequence[str], path: str | None
) -> NDArray[np.bool_]:
    """Which squares touch what is labelled already."""
    found = np.zeros(len(cells.places), np.bool_)
    if path is None:
        return found
    area, misses = read_area(path), []
    for number, (grid, scene) in enumerate(zip(grids, scenes, strict=True)):
        try:
            here = area.on(grid, image=scene)
        except DataError as error:
            misses.append(error)
            continue
        for place, (own, window) in enumerate(cells.places):
            found[place] |= own == number and here.touches(window)
    if len(misses) == len(scenes):
        raise misses[0]
    return found


def _write(
    out: Path,
    picked: Sequence[Chosen],
    cells: _Cells,
    grids: Sequence[Grid],
    scenes: Sequence[str],
    recipe: Recipe,
) -> None:
    crs = common_crs(dict(zip(scenes, grids, strict=True)))
    held = [(cells.places[place.number], place) for place in picked]
    shapes = np.empty(len(held), object)
    shapes[:] = [footprints_in(grids[scene], [window], crs)[0] for (scene, window), _ in held]
    columns: dict[str, list[object]] = {
        "uncertainty": [round(cells.uncertainty[place.number], 4) for place in picked],
        "novelty": [round(place.novelty, 4) for place in picked],
        "likeliest": [recipe.schema.class_names[cells.classes[place.number]] for place in picked],
        "scene": [Path(scenes[scene]).name for (scene, _), _ in held],
        "row": [window.row for (_, window), _ in held],
        "col": [window.col for (_, window), _ in held],
    }
    write_ranked(out, "next", columns, shapes=shapes, crs=crs)
