"""How large tiles and halo are, and whether the map is then exact."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from eoseg.errors import ConfigError
from eoseg.geo.grid import Grid
from eoseg.geo.tiles import Tile, TilePlan, plan_tiles, round_up
from eoseg.geo.window import Window
from eoseg.predict.blend import StripBytes, overlap_of, panel_columns, strip_size
from eoseg.predict.options import PredictOptions
from eoseg.predict.receptive import Context

GLOBAL_HALO = 128
"""Halo in pixels (rounded up to the output stride) where the network has global context: no halo is
exact then, and beyond this one seams change little."""

# Without a given memory, tiles read some 900 px a side: enough for memory not to show how large a scene
# is. They read more where the halo is so large that smaller tiles would be mostly halo.
_USUAL_READ, _LARGEST_READ = 1024, 2048
_SHARE_OF_ONE = 0.75  # of several tiles: the next waits meanwhile, and the heap has gaps
_GLOBAL_READ = 1024  # such a network is not shown much more context than it was trained with
_LEAST_CORE = 256
_BLOCK = 16  # rasters have blocks of multiples of this, which reads then meet more often
_CHIPS = 32  # per pass, unless memory is short
_OF_ONE_NUMBER = StripBytes(sums=4, results=2)  # a uint8 of it is written


@dataclass(frozen=True, slots=True)
class ChipPlan:
    """All cores of a scene whose class is that of the chip around them, row by row, left to right.

    Reads have the chip's size and their core in the middle everywhere. At the scene's border they reach
    outside, where nothing is valid, unlike those of a `TilePlan`.
    """

    cores: TilePlan
    """The cores alone, without halo."""
    chip_size: int
    """Height and width of a chip in pixels."""

    @property
    def core(self) -> int:
        """Height and width of a core in pixels; less at the last row and column."""
        return self.cores.core

    @property
    def halo(self) -> int:
        """Pixels of a chip on each side of its core."""
        return (self.chip_size - self.core) // 2

    @property
    def stride(self) -> int:
        """Chips may lie anywhere."""
        return 1

    def __len__(self) -> int:
        return len(self.cores)

    def __iter__(self) -> Iterator[Tile]:
        for index in range(len(self)):
            yield self.tile(index)

    def tile(self, index: int) -> Tile:
        """The tile at a place in the row-by-row order.

        Raises:
            IndexError: There are fewer tiles.
        """
        core = self.cores.tile(index).core
        square = Window(core.row, core.col, self.core, self.core)
        return Tile(core, square.grow(self.halo))


@dataclass(frozen=True, slots=True)
class Layout:
    """Tiles, and what they mean for the map."""

    plan: TilePlan | ChipPlan
    batch_size: int
    """Tiles per pass."""
    exact: bool
    reason: str
    pass_bytes: int = 0
    """Memory that the activations of a pass take, about."""
    overlap: int = 0
    """Pixels on each side of a border over which tiles are blended; 0 where they are not."""
    panel: int = 0
    """Columns of tiles that are worked on from top to bottom before the next ones, where tiles are
    blended."""
    strip_bytes: int = 0
    """Memory for what blended tiles wait for."""


def default_halo(context: Context) -> int:
    """Pixels of context that matter, or a moderate number where every pixel of the scene does."""
    return context.halo if context.halo is not None else round_up(GLOBAL_HALO, context.output_stride)


def choose_layout(
    grid: Grid,
    context: Context,
    options: PredictOptions,
    *,
    pixel_bytes: float,
    chip_size: int,
    waiting: StripBytes = _OF_ONE_NUMBER,
) -> Layout:
    """Choose the tiles of a scene.

    Args:
        grid: The scene's grid.
        context: What the network looks at.
        options: Tile and halo as the user wants them.
        pixel_bytes: Memory that a pass takes per pixel.
        chip_size: Height and width of a training chip in pixels.
        waiting: Memory of a pixel that waits for the next row of blended tiles.

    Raises:
        ConfigError: Tile or halo is no multiple of the output stride.
    """
    stride, batch_size = context.output_stride, options.batch_size or 1
    halo = default_halo(context) if options.halo == "auto" else options.halo
    core = options.tile
    if core == "auto":
        room = options.activation_bytes
        if options.max_memory_mb is not None and not context.exact and options.blend == "auto":
            room -= options.strip_bytes
        limit = math.isqrt(int(room / pixel_bytes / batch_size))
        if options.max_memory_mb is None:
            limit = min(limit, _LARGEST_READ, max(_USUAL_READ, 8 * halo))
            if not context.exact:
                limit = min(limit, max(_GLOBAL_READ, chip_size))
        core = _auto_core(grid, stride, halo, limit)
    plan = plan_tiles(grid.height, grid.width, core=core, halo=halo, stride=stride)
    exact, reason = _judge(plan, context)
    pass_bytes = int(pixel_bytes * math.prod(plan.read_size) * batch_size)
    overlap = 0 if exact or options.blend == "off" else overlap_of(plan)
    if not overlap:
        return Layout(plan, batch_size, exact, reason, pass_bytes)
    panel = panel_columns(plan, overlap, pixel_bytes=waiting, strip_bytes=options.strip_bytes)
    strip = strip_size(plan, overlap, columns=panel, pixel_bytes=waiting)
    return Layout(plan, batch_size, exact, reason, pass_bytes, overlap, panel, strip)


def choose_chips(grid: Grid, options: PredictOptions, *, pixel_bytes: float, chip_size: int) -> Layout:
    """Choose the cores of a scene that is mapped by a network for chips.

    Args:
        grid: The scene's grid.
        options: Tile and halo as the user wants them.
        pixel_bytes: Memory that a pass takes per pixel.
        chip_size: Height and width of a training chip in pixels.

    Raises:
        ConfigError: A halo is given, or a tile that is no middle of a chip, or what is of other networks.
    """
    for option, given in (("--blend off", options.blend == "off"), ("--check-seams", options.check_seams)):
        if given:
            raise ConfigError(
                f"The network classifies chips of {chip_size} px, each tile from its own, so tiles have no "
                f"seams; found {option}. Leave it out."
            )
    if options.halo != "auto":
        raise ConfigError(
            f"The network classifies chips of {chip_size} px, so the halo follows from the tile; found "
            f"--halo {options.halo}. Leave it out; a --tile of less than {chip_size} px makes a finer map."
        )
    core = chip_size if options.tile == "auto" else options.tile
    if core > chip_size:
        raise ConfigError(
            f"The network classifies chips of {chip_size} px, which a tile cannot exceed; found --tile "
            f"{core}. Use {chip_size}, or less for a finer map."
        )
    if (chip_size - core) % 2:
        near = " or ".join(str(size) for size in (core - 1, core + 1) if size)
        raise ConfigError(
            f"A tile lies in the middle of a chip of {chip_size} px, so their sizes differ by an even "
            f"number; found --tile {core}. Use {near}."
        )
    fitting = int(options.activation_bytes / pixel_bytes / chip_size**2)
    batch_size = options.batch_size or max(1, min(_CHIPS, fitting))
    plan = ChipPlan(plan_tiles(grid.height, grid.width, core=core, halo=0, stride=1), chip_size)
    reason = f"each core of {core} px is classified from the chip of {chip_size} px around it"
    return Layout(plan, batch_size, True, reason, int(pixel_bytes * chip_size**2 * batch_size))


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
