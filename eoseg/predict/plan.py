"""How large tiles and halo are, and whether the map is then exact."""

import math
from dataclasses import dataclass

from eoseg.geo.grid import Grid
from eoseg.geo.tiles import TilePlan, plan_tiles, round_up
from eoseg.predict.options import PredictOptions
from eoseg.predict.receptive import Context

GLOBAL_HALO = 128
"""Halo in pixels (rounded up to the output stride) where the network has global context: no halo is
exact then, and beyond this one seams change little."""

DEFAULT_MEMORY_MB = 2048
# Without a given memory, tiles read some 900 px a side: enough for memory not to show how large a scene
# is. They read more where the halo is so large that smaller tiles would be mostly halo.
_USUAL_READ, _LARGEST_READ = 1024, 2048
_SHARE_OF_ONE = 0.75  # of several tiles: the next waits meanwhile, and the heap has gaps
_GLOBAL_READ = 1024  # such a network is not shown much more context than it was trained with
_LEAST_CORE = 256
_BLOCK = 16  # blocks of a TIFF have sizes that are multiples of this


@dataclass(frozen=True, slots=True)
class Layout:
    """Tiles, and what they mean for the map."""

    plan: TilePlan
    exact: bool
    reason: str


def default_halo(context: Context) -> int:
    """Pixels of context that matter, or a moderate number where every pixel of the scene does."""
    return context.halo if context.halo is not None else round_up(GLOBAL_HALO, context.output_stride)


def choose_layout(
    grid: Grid, context: Context, options: PredictOptions, *, pixel_bytes: float, chip_size: int
) -> Layout:
    """Choose the tiles of a scene.

    Args:
        grid: The scene's grid.
        context: What the network looks at.
        options: Tile and halo as the user wants them.
        pixel_bytes: Memory that a pass takes per pixel.
        chip_size: Height and width of a training chip in pixels.

    Raises:
        ConfigError: Tile or halo is no multiple of the output stride.
    """
    stride = context.output_stride
    halo = default_halo(context) if options.halo == "auto" else options.halo
    core = options.tile
    if core == "auto":
        memory = DEFAULT_MEMORY_MB if options.memory_mb is None else options.memory_mb
        limit = math.isqrt(int(memory * 2**20 / pixel_bytes / options.batch_size))
        if options.memory_mb is None:
            limit = min(limit, _LARGEST_READ, max(_USUAL_READ, 8 * halo))
        if not context.exact:
            limit = min(limit, max(_GLOBAL_READ, chip_size))
        core = _auto_core(grid, stride, halo, limit)
    plan = plan_tiles(grid.height, grid.width, core=core, halo=halo, stride=stride)
    exact, reason = _judge(plan, context)
    return Layout(plan, exact, reason)


def _auto_core(grid: Grid, stride: int, halo: int, limit: int) -> int:
    """The core with the least to compute, of those whose reads stay within `limit` x `limit` pixels.

    The limit is rounded down to 2^k or 3 * 2^k, so that a scene of a common size that just fits takes as
    much memory as the tiles of a huge one.
    """
    power = 1 << (limit.bit_length() - 1)
    limit = power + power // 2 if limit >= power + power // 2 else power
    height, width = round_up(grid.height, stride), round_up(grid.width, stride)
    if height * width <= limit**2:
        return max(height, width)  # one tile, which needs no halo

    unit = math.lcm(stride, _BLOCK)
    least = round_up(_LEAST_CORE, unit)
    plans = [
        plan_tiles(grid.height, grid.width, core=core, halo=halo, stride=stride)
        for core in range(least, limit, unit)
    ]
    fitting = [plan for plan in plans if math.prod(plan.read_size) <= _SHARE_OF_ONE * limit**2]
    if not fitting:
        return least
    # Half of the largest may cut the scene with less left over; smaller ones would cost passes.
    candidates = [plan for plan in reversed(fitting) if plan.core >= fitting[-1].core // 2]
    return min(candidates, key=lambda plan: plan.read_pixels).core


def _judge(plan: TilePlan, context: Context) -> tuple[bool, str]:
    if plan.read_size == (plan.extent.height, plan.extent.width):
        return True, "each tile is computed from the whole scene"
    if context.halo is None:
        return False, context.reason
    if plan.halo < context.halo:
        return False, f"the halo of {plan.halo} px is less than the {context.halo} px that matter"
    return True, f"{context.reason}, the halo is {plan.halo} px"


def part_block(core: int) -> int:
    """Block size for the part file: the largest divisor of a tile that a TIFF takes, or else 1."""
    sizes = [size for size in range(_BLOCK, 513, _BLOCK) if core % size == 0]
    return max(sizes, default=1)
