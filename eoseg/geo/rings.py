"""Rings from directed edges that know which edge follows, and polygons from rings."""

import numpy as np
import shapely
from numpy.typing import NDArray


def make_polygons(
    points: NDArray[np.float64],
    polygon: NDArray[np.integer],
    following: NDArray[np.int64],
    is_vertex: NDArray[np.bool_],
) -> NDArray[np.object_]:
    """Make polygons of closed chains of directed edges.

    Args:
        points: Where each edge starts `(E, 2)`: x and y.
        polygon: To which polygon an edge belongs `(E,)`, ascending. The first edge of each is one of its
            outer ring.
        following: The edge that follows each edge `(E,)`: each edge follows exactly one.
        is_vertex: Where the start of an edge is a vertex `(E,)`; three or more on each ring.

    Returns:
        `(n,)` shapely polygons, in the order of `polygon`.
    """
    order, starts = _walk(following)
    lengths = np.add.reduceat(is_vertex[order], starts, dtype=np.int64) if len(starts) else starts
    offsets = np.concatenate([[0], np.cumsum(lengths + 1)])  # a ring ends with the vertex it began with
    vertices = points[order[is_vertex[order]]]
    closed = np.empty((offsets[-1], 2))
    closed[np.arange(len(vertices)) + np.repeat(np.arange(len(lengths)), lengths)] = vertices
    closed[offsets[1:] - 1] = closed[offsets[:-1]]
    polygon_of_ring = polygon[order[starts]]
    is_shell = np.ones(len(starts), np.bool_)
    is_shell[1:] = polygon_of_ring[1:] != polygon_of_ring[:-1]
    rings = np.concatenate([np.flatnonzero(is_shell), [len(starts)]])
    shapes: NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, closed, (offsets, rings)
    )
    return shapes


def _walk(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Follow each chain round, beginning with its first edge.

    Returns:
        All edges in this order, and where in it each ring begins.
    """
    order = np.empty(len(following), np.int64)
    # Numbers in a memoryview come and go one at a time; a list would hold 32 bytes for each.
    ahead, ordered, is_done = memoryview(following), memoryview(order), bytearray(len(following))
    starts = []
    place = 0
    for first in range(len(following)):
        if is_done[first]:
            continue
        starts.append(place)
        edge = first
        while not is_done[edge]:
            is_done[edge] = True
            ordered[place] = edge
            place += 1
            edge = ahead[edge]
    return order, np.array(starts, np.int64)
