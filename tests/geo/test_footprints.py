import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from eoseg.geo.footprints import outline
from eoseg.geo.grid import Grid

GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 100, 200)


@pytest.mark.parametrize("steps", [1, 8])
def test_an_outline_goes_once_around(steps: int):
    points = np.array(outline(GRID, steps=steps))
    assert len(points) == len({tuple(point) for point in points.tolist()}) == 4 * steps
    assert points.min(axis=0).tolist() == [500_000, 5_399_000]
    assert points.max(axis=0).tolist() == [502_000, 5_400_000]
