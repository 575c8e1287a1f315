"""Simpler borders that neighbours still share."""

from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from eoseg.geo.polygons import PolygonTracer

_OUTSIDE = -1


def simplified_corners(
    rows: NDArray[Any], tolerance: float, pixel_size: tuple[float, float]
) -> NDArray[np.bool_]:
    """Choose the corners of a strip that remain where its borders are simplified.

    All borders of the strip are simplified together, by the method of Visvalingam and Whyatt that keeps a
    coverage a coverage (`shapely.coverage_simplify`): points at which three regions meet remain, no border
    crosses another, and no region vanishes. The frame of the strip remains as it is, so that strips that
    were simplified each on its own fit together.

    Args:
        rows: Values `(n, W)`, 0 to 255; "no value" is a region like others.
        tolerance: Square root of the area of the triangles that are left out, in the unit of `pixel_size`.
        pixel_size: Width and height of a pixel.

    Returns:
        `(n + 1, W + 1)`, True for the corners that remain.
    """
    height, width = rows.shape
    remains = np.ones((height + 1, width + 1), np.bool_)
    tracer = PolygonTracer(width, outside=_OUTSIDE, transform=Affine.scale(*pixel_size))
    # With each corner as a vertex, neighbours have the same vertices along their border.
    coverage = tracer.add(rows.astype(np.int16), vertices=remains, last=True).shapes
    simple = shapely.coverage_simplify(coverage, tolerance, simplify_boundary=False)
    col, row = np.rint(shapely.get_coordinates(simple) / pixel_size).astype(np.int64).T
    remains = np.zeros_like(remains)
    remains[row, col] = True
    remains[[0, -1]] = True
    return remains
