"""How much a map depends on where its tiles lie: measured on a sample of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.parts import Parts
from eoseg.geo.scene import Scene
from eoseg.geo.share import Share
from eoseg.geo.stack import SceneStack
from eoseg.geo.tiles import TilePlan
from eoseg.geo.window import Window
from eoseg.predict.blend import Blender
from eoseg.predict.classifier import Classifier
from eoseg.predict.options import Disagreement, SeamLine, SeamSample
from eoseg.predict.plan import ChipPlan, Layout
from eoseg.predict.product import Product
from eoseg.predict.reader import read_tile
from eoseg.recipe import Time

USUAL_SAMPLE = 4
"""Tiles that are compared where nothing else is asked for; half as many of a scene of few tiles."""

_MANY_TILES = 400  # a part takes four tiles: of fewer, more than two parts would take over 4 % of the time
_STEP = 0.6180339887  # of the golden ratio: its multiples are spread evenly, however many there are
_NEAR = 32  # this part of a core
_TIE = {"float32": 1e-4, "bfloat16": 2e-2}
"""Two scores that differ by less are equal up to the rounding of a network in that precision."""


def sample_windows(plan: TilePlan, overlap: int, count: int | None = None) -> list[Window]:
    """Which parts of a map to compare: each as large as a core, spread over rows and columns.

    They lie a quarter of a tile below and right of a core, so that borders of the map's tiles and of the
    shifted ones run through them; where tiles are blended over more than that, on a core, which fewer
    tiles reach. As many as there are tiles are all cores.

    Args:
        plan: The tiles of the map.
        overlap: Pixels that a tile counts beyond its core.
        count: How many at most; by default a few.
    """
    if count is None:
        count = USUAL_SAMPLE if len(plan) >= _MANY_TILES else USUAL_SAMPLE // 2
    if count >= len(plan):
        return [tile.core for tile in plan]
    quarter = plan.core // 4 if overlap <= plan.core // 4 else 0
    down, right = quarter * (plan.rows > 1), quarter * (plan.columns > 1)
    height, width = min(plan.core, plan.height), min(plan.core, plan.width)
    found = dict[Window, None]()
    for number in range(count):
        row = (2 * number + 1) * plan.rows // (2 * count) * plan.core
        col = int((number + 0.5) * _STEP % 1 * plan.columns) * plan.core
        row, col = min(row + down, plan.height - height), min(col + right, plan.width - width)
        found[Window(row, col, height, width)] = None
    return list(found)


def read_map(parts: Parts, window: Window) -> NDArray[np.generic]:
    """What the map holds in a window, `(bands, height, width)`."""
    layer, cores = parts.layers[0], parts.cores
    values = np.empty((len(layer.bands), window.height, window.width), layer.dtype)
    for number in range(parts.shares):
        indices = range(*parts.bounds(number))
        rows = range(cores.row_of(window.row), cores.row_of(window.row_stop - 1) + 1)
        columns = range(cores.row_of(window.col), cores.row_of(window.col_stop - 1) + 1)
        found = [row * cores.columns + column for row in rows for column in columns]
        if not any(index in indices for index in found):
            continue
        with Share(parts, number, wait=True, check=False) as share:
            for index in found:
                part = cores.tile(index).core.intersection(window) if index in indices else None
                if part is not None:
                    values[:, *part.slices_in(window)] = share.read(0, part)
    return values


def measure_disagreement(
    scene: Scene | SceneStack,
    layout: Layout,
    classifier: Classifier,
    parts: Parts,
    *,
    time: Time = "single",
    area: AreaOfInterest | None = None,
    count: int | None = None,
    precision: str = "float32",
) -> Disagreement | None:
    """Compute parts of the map again from tiles that lie half a tile further down and right.

    These tiles are blended, or not, as those of the map are. What is measured is thus the share of pixels
    that differ between this map and the one that the same network makes on a shifted lattice.

    Args:
        scene: The scene, which no other thread uses now.
        layout: Its tiles.
        classifier: The network.
        parts: The map so far, complete.
        time: What dates the scene has.
        area: Where a map is wanted.
        count: How many parts to compare; a few by default.
        precision: In which the network runs.

    Returns:
        None where nothing can be compared: there is one tile, or tiles are a single stride wide, or no part
        has a valid pixel.
    """
    plan, product = layout.plan, classifier.product
    shifted = None if isinstance(plan, ChipPlan) or len(plan) == 1 else plan.shifted()
    if shifted is None or isinstance(plan, ChipPlan):
        return None
    windows = sample_windows(plan, layout.overlap, count)
    blender, total = Blender(shifted, layout.overlap, windows), _Total(plan, shifted, product)
    for index in blender.tiles:
        image = read_tile(scene, blender.tile(index), index, time=time, area=area)
        scores = None
        if image.core_valid.any():
            (logits,) = classifier.logits([image])
            scores = product.scores(logits) if layout.overlap else logits
        for number, average in blender.add(index, scores):
            if average is not None:
                logits = product.logits(average) if layout.overlap else average
                total.compare(windows[number], read_map(parts, windows[number]), logits, _TIE[precision])
    return total.finish()


@dataclass(slots=True)
class _Total:
    """All comparisons so far."""

    plan: TilePlan
    shifted: TilePlan
    product: Product
    samples: tuple[SeamSample, ...] = ()
    ties: int = 0

    @torch.inference_mode()
    def compare(self, window: Window, mapped: NDArray[np.generic], logits: Tensor, margin: float) -> None:
        """Compare a part of the map with what other tiles give."""
        known = self.product.known(mapped)
        if not known.any():
            return
        again = self.product.decode(logits, known)[0]
        again = again if again.ndim == 3 else again[None]
        differs = self.product.differs(mapped, again) & known
        self.ties += int((differs & self.product.ties(logits, margin)).sum())
        self.samples += (
            SeamSample(
                window,
                mapped,
                again,
                known,
                differs,
                _borders(self.plan, window),
                _borders(self.shifted, window),
            ),
        )

    def finish(self) -> Disagreement | None:
        """What they say together."""
        if not self.samples:
            return None
        px = max(1, self.plan.core // _NEAR)
        near = [_near_borders(sample, px) & sample.known for sample in self.samples]
        return Disagreement(
            pixels=sum(int(sample.known.sum()) for sample in self.samples),
            differing=sum(int(sample.differs.sum()) for sample in self.samples),
            tolerance=self.product.tolerance,
            ties=self.ties,
            near=sum(int(where.sum()) for where in near),
            near_differing=sum(
                int((where & sample.differs).sum()) for where, sample in zip(near, self.samples, strict=True)
            ),
            near_px=px,
            worst=_worst_line(self.samples),
            samples=self.samples,
        )


def _borders(plan: TilePlan, window: Window) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows and columns of a window at which cores begin; its edges too, but not those of the scene."""

    def inside(first: int, stop: int, along: int) -> tuple[int, ...]:
        places = range(plan.row_of(first), plan.row_of(min(stop, along - 1)) + 1)
        starts = (plan.span(place, along)[0] for place in places)
        return tuple(start - first for start in starts if start >= max(first, 1))

    return inside(window.row, window.row_stop, plan.height), inside(window.col, window.col_stop, plan.width)


def _near_borders(sample: SeamSample, px: int) -> NDArray[np.bool_]:
    """Which pixels of a sample lie so near a border that is seen in it."""
    masks = []
    for axis, length in enumerate(sample.known.shape):
        lines = np.array([*sample.borders[axis], *sample.other_borders[axis]])
        distances = np.abs(np.arange(length)[:, None] + 0.5 - lines)  # (length, lines)
        masks.append((distances < px).any(axis=1))
    near: NDArray[np.bool_] = masks[0][:, None] | masks[1]
    return near


def _worst_line(samples: Sequence[SeamSample]) -> SeamLine | None:
    """The row or column with the largest share of differing pixels, of those with many known ones."""
    worst: SeamLine | None = None
    names: tuple[Literal["row", "column"], ...] = ("row", "column")
    for sample in samples:
        first = (sample.window.row, sample.window.col)
        for axis, name in enumerate(names):
            known, differs = sample.known.sum(axis=1 - axis), sample.differs.sum(axis=1 - axis)
            shares = np.where(known > known.max() / 2, differs / np.maximum(known, 1), 0)
            place = int(shares.argmax())
            if shares[place] > (worst.share if worst else 0):
                worst = SeamLine(name, first[axis] + place, float(shares[place]))
    return worst
