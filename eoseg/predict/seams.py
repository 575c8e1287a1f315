"""How much a map depends on where its tiles lie, measured on a sample of them."""

from typing import Any

from numpy.typing import NDArray

from eoseg.geo.aoi import AreaOfInterest
from eoseg.geo.parts import Parts
from eoseg.geo.scene import Scene
from eoseg.geo.share import Share
from eoseg.geo.stack import SceneStack
from eoseg.geo.tiles import TilePlan
from eoseg.geo.window import Window
from eoseg.predict.classifier import Classifier
from eoseg.predict.options import Disagreement
from eoseg.predict.reader import read_tile
from eoseg.recipe import Time

_LATIN_COLUMNS = (1, 3, 0, 2)  # of four tiles, one in each quarter of the rows and of the columns


def sample_indices(plan: TilePlan) -> set[int]:
    """Which tiles to compare: spread over rows and columns, as on a Latin square."""
    count = len(_LATIN_COLUMNS)
    rows = [(2 * place + 1) * plan.rows // (2 * count) for place in range(count)]
    columns = [(2 * place + 1) * plan.columns // (2 * count) for place in _LATIN_COLUMNS]
    return {row * plan.columns + column for row, column in zip(rows, columns, strict=True)}


def read_map(parts: Parts, index: int, window: Window) -> NDArray[Any]:
    """What the map holds in a window of a tile, `(bands, height, width)`."""
    number = next(number for number in range(parts.shares) if index in range(*parts.bounds(number)))
    with Share(parts, number, wait=True, check=False) as share:
        return share.read(0, window)


def measure_disagreement(
    scene: Scene | SceneStack,
    plan: TilePlan,
    classifier: Classifier,
    parts: Parts,
    *,
    time: Time = "single",
    area: AreaOfInterest | None = None,
) -> Disagreement | None:
    """Compute parts of the map again from tiles that lie half a tile further down and right.

    A pixel near the edge of a tile lies near the middle of the shifted one, and the other way round.
    A network with enough context gives both the same class or value.

    Args:
        scene: The scene, which no other thread uses now.
        plan: Its tiles.
        classifier: The network.
        parts: The map so far, complete.
        time: What dates the scene has.
        area: Where a map is wanted.

    Returns:
        None where nothing can be compared: the tiles are a single stride wide, or hold no valid pixel.
    """
    half = plan.core // 2 // plan.stride * plan.stride
    pixels = differing = 0
    for index in sorted(sample_indices(plan)):
        tile = plan.tile(index)
        core = tile.core
        down, right = half * (half < core.height), half * (half < core.width)
        if not (down or right):
            continue
        shifted = plan.tile_at(core.row + down, core.col + right)
        overlap = shifted.core.intersection(core)
        if overlap is None or shifted.read == tile.read:  # at the scene's border both may see the same
            continue
        known = read_map(parts, index, overlap)
        (again,) = classifier.classify([read_tile(scene, shifted, time=time, area=area)])
        counted = classifier.product.differing(known, again.layers[0][..., *overlap.slices_in(shifted.core)])
        pixels += counted[0]
        differing += counted[1]
    return Disagreement(pixels, differing, classifier.product.tolerance) if pixels else None
