"""Files that say how sure a map is explain themselves."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from raster_factory import write_layer
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import map_kind
from eoseg.geo.uncertaintyfile import Extra, uncertainty_layer, uncertainty_path, value_uncertainty_layer
from eoseg.recipe import Quantity

GRID = Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), 4, 6)


@pytest.mark.parametrize("extras", [(), ("spread", "out_of_range")])
def test_shares_are_bytes_with_a_scale_and_named_bands(tmp_path: Path, extras: tuple[Extra, ...]) -> None:
    layer = uncertainty_layer(extras)
    count = 2 + len(extras)
    values = np.full((count, 4, 6), 125, np.uint8)
    values[:, 0] = 255
    path = tmp_path / "u.tif"
    write_layer(path, GRID, layer, values)
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("entropy", "margin", *extras)
        assert (dataset.nodata, set(dataset.dtypes)) == (255, {"uint8"})
        assert dataset.scales == pytest.approx((0.004,) * count)
        assert dataset.tags()["EOSEG_KIND"] == "uncertainty"
    assert map_kind(path) is None  # it is no map


def test_of_a_quantity_the_spread_alone_is_in_its_unit(tmp_path: Path) -> None:
    layer = value_uncertainty_layer(Quantity("height", "m"), ("spread", "out_of_range"))
    write_layer(tmp_path / "u.tif", GRID, layer, np.ones((2, 4, 6), np.float32))
    with rasterio.open(tmp_path / "u.tif") as dataset:
        assert dataset.descriptions == ("spread", "out_of_range")
        assert (dataset.units, dataset.dtypes) == (("m", None), ("float32",) * 2)
        assert np.isnan(dataset.nodata)


def test_it_lies_beside_its_map() -> None:
    assert uncertainty_path(Path("out/a.map.tif")) == Path("out/a.map_uncertainty.tif")
