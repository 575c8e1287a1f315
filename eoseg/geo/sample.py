"""A quick look at the values of a scene: a seeded sample of windows, evenly spread."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoseg.geo.scene import Scene
from eoseg.geo.window import Window

WINDOWS = 8
"""Windows per axis."""
_WINDOW_PX = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of some windows of a scene."""

    values: NDArray[np.float32]
    """Valid values `(C, N)`."""
    valid_share: float
    """Share of the sampled pixels that are valid, 0 to 1."""
    complete: bool
    """Whether the sample is the whole scene."""


def sample_scene(scene: Scene, *, seed: int = 0, windows: int = WINDOWS) -> Sample:
    """Read up to 8 x 8 windows of 64 x 64 px, which lie evenly over a scene, moved a little by chance.

    Each lies in one block of the file where blocks are that large, since a block is decoded whole.

    Args:
        scene: An open scene.
        seed: Of the movement.
        windows: Windows per axis, where the scene is larger than 8 x 8 of them.

    Raises:
        DataError: The scene cannot be read there.
    """
    rng = np.random.default_rng(seed)
    height, width = scene.grid.height, scene.grid.width
    block_height, block_width = scene.block_shape
    rows, cols = _starts(height, block_height, windows, rng), _starts(width, block_width, windows, rng)
    pieces, pixels = [], 0
    for row in rows:
        for col in cols:
            window = Window(row, col, min(_WINDOW_PX, height - row), min(_WINDOW_PX, width - col))
            image, valid = scene.read(window)
            pieces.append(image[:, valid])
            pixels += valid.size
    values = np.concatenate(pieces, axis=1)  # (C, N)
    return Sample(values, values.shape[1] / pixels, pixels == height * width)


def _starts(size: int, block: int, windows: int, rng: np.random.Generator) -> list[int]:
    """First rows or columns of the windows."""
    if size <= WINDOWS * _WINDOW_PX:
        return list(range(0, size, _WINDOW_PX))
    step = size / windows
    starts = [int(step * place + rng.uniform(0, step - _WINDOW_PX)) for place in range(windows)]
    # One that begins near the end of a block is moved up to it.
    return [
        min(start, start // block * block + block - _WINDOW_PX) if block > _WINDOW_PX else start
        for start in starts
    ]
