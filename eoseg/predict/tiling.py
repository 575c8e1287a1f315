"""The tiles for one network or several: by what they look at, and how much memory they take."""

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import repeat

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.geo.tiles import round_up
from eoseg.models.fitted import FittedBody
from eoseg.models.sampled_dropout import DropoutSample
from eoseg.predict.blend import StripBytes
from eoseg.predict.members import Member
from eoseg.predict.memory import PROBE_PX, bytes_per_pixel
from eoseg.predict.options import PredictOptions
from eoseg.predict.passes import Passes
from eoseg.predict.plan import Layout, choose_chips, choose_layout
from eoseg.predict.product import Product
from eoseg.predict.receptive import Context, network_context

_logger = logging.getLogger(__name__)

_SMALL_PROBE_PX = 64  # where a pass over a larger image would take long: many dates, nearest neighbours


def choose_tiles(
    members: Sequence[Member],
    grid: Grid,
    steps: int,
    options: PredictOptions,
    product: Product,
    passes: Passes,
    *,
    dropout: Sequence[DropoutSample] = (),
) -> Layout:
    """Choose the tiles.

    Args:
        members: The networks, which run one after the other.
        grid: The grid on which they compute.
        steps: T, the number of dates.
        options: Tile, halo and memory as the user wants them.
        product: What they give.
        passes: How often each tile goes through a network.
        dropout: Of each network, where samples of it are computed.

    Raises:
        ConfigError: An option does not fit the networks.
    """
    recipe = members[0].recipe
    channels, chip_size = steps * len(recipe.schema.bands), recipe.chip_size
    pixel_bytes = max(map(_pass_bytes, members, repeat(steps), dropout or repeat(None)))
    pixel_bytes += _beside_bytes(channels, product, passes)
    if members[0].network.kind == "classification":
        layout = choose_chips(grid, options, pixel_bytes=pixel_bytes, chip_size=chip_size)
    else:
        context = shared_context([network_context(member.network, steps=steps) for member in members])
        _logger.debug("context: %s", context)
        if options.tta and context.halo == 0 and context.output_stride == 1:
            raise ConfigError(
                "The model looks at each pixel alone, so the map of the turned scene is the turned map: "
                f"--tta would take {passes.symmetries} times as long and change nothing. Leave it out."
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
                sums=4 * (product.outputs + len(product.extras)),
                results=sum(layer.pixel_bytes for layer in product.layers()) + 1,
            ),
        )
    _logger.debug("tiles: %s", layout)
    return layout


def shared_context(contexts: Sequence[Context]) -> Context:
    """What must be known of several networks to cut their input into the same tiles.

    Tiles begin where those of each network may, and have the largest halo; the scene is filled up to a
    multiple of the common stride for all. They give the whole-image result where those of each network do.
    """
    if len(contexts) == 1:
        return contexts[0]
    stride = math.lcm(*(context.output_stride for context in contexts))
    halos = [context.halo for context in contexts if context.halo is not None]
    inexact = next((context for context in contexts if not context.exact), None)
    if inexact is not None:
        return Context(stride, None, False, f"of one of the networks: {inexact.reason}")
    widest = max(contexts, key=lambda context: context.halo or 0)
    return Context(stride, round_up(max(halos), stride), True, widest.reason)


def _pass_bytes(member: Member, steps: int, dropout: DropoutSample | None) -> float:
    """Memory of a pass of a network per pixel."""
    network = member.network
    size = _SMALL_PROBE_PX if steps > 2 or isinstance(network.body, FittedBody) else PROBE_PX
    with nullcontext() if dropout is None else dropout.drawn(0):
        return bytes_per_pixel(
            network.flat(steps),
            channels=steps * len(member.recipe.schema.bands),
            stride=network.output_stride,
            size=member.recipe.chip_size if network.kind == "classification" else size,
        )


def _beside_bytes(channels: int, product: Product, passes: Passes) -> int:
    """Memory per pixel beside a pass, of what is made of several."""
    total = 4 * len(product.extras)
    if passes.count > 1:  # the image turned; mean, squares, scores and their difference
        total += 4 * (channels + 4 * product.outputs)
    if "mutual_information" in product.extras:  # a member's own mean, and entropies
        total += 4 * (product.outputs + 2)
    return total
