"""Rasters as a prediction writes them, without a network."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eoseg.geo.cog import Finished, finish_files
from eoseg.geo.grid import Grid
from eoseg.geo.layer import Layer
from eoseg.geo.parts import Parts
from eoseg.geo.share import Share
from eoseg.geo.tiles import plan_tiles


def write_layer(
    path: Path,
    grid: Grid,
    layer: Layer,
    values: np.ndarray,
    *,
    tags: Mapping[str, str] | None = None,
    core: int = 512,
    shares: int = 1,
    overwrite: bool = False,
) -> Finished:
    """Write values `(height, width)` or `(bands, height, width)` tile by tile, then make the file of them."""
    cores = plan_tiles(grid.height, grid.width, core=core, halo=0, stride=1)
    parts = Parts(path, grid, [layer], cores, fingerprint={}, shares=shares, overwrite=overwrite)
    for number in range(parts.shares):
        with Share(parts, number) as share:
            for index in share.pending:
                rows, cols = cores.tile(index).core.slices_in(grid.window)
                share.write(index, [values[..., rows, cols]])
            share.finish()
    finished = finish_files(parts, [path], lambda _: tags or {})
    assert finished is not None
    return finished
