"""Where a rectangle of a scene lies on the ground."""

import numpy as np

from eoseg.geo.grid import Grid

_STEPS = 8
"""Points along each side of a footprint, because straight lines bend from one CRS to another."""


def outline(grid: Grid, *, steps: int = _STEPS) -> list[tuple[float, float]]:
    """Points around a grid in its CRS, of which the first is not repeated.

    Args:
        grid: With or without CRS.
        steps: Points along each side.
    """
    along = np.linspace(0, 1, steps, endpoint=False)
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    points = [
        (start[0] + (stop[0] - start[0]) * part, start[1] + (stop[1] - start[1]) * part)
        for start, stop in zip(corners, [*corners[1:], corners[0]], strict=True)
        for part in along
    ]
    return [grid.transform @ point for point in points]
