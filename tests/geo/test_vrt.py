"""A VRT says what its files say."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import MakeScene

from eoseg.errors import DataError, GridError
from eoseg.geo.scene import Scene
from eoseg.geo.vrt import Part, VrtBand, describe_raster, vrt_text, write_vrt

VALUES = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def test_a_raster_says_what_it_is(make_scene: MakeScene) -> None:
    path = make_scene("a.tif", VALUES, names=["B1", "B2"], nodata=-1)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.5, 1.0), (0.0, 2.0)
    found = describe_raster(str(path))
    assert (found.names, found.grid.width, found.has_mask) == (("B1", "B2"), 4, False)
    one, two = found.bands
    assert (one.number, one.dtype, one.nodata, one.scale, two.offset) == (1, "int16", -1, 0.5, 2)


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3035", "EPSG:3413"])
def test_the_georeference_is_kept_whatever_the_order_of_axes(
    make_scene: MakeScene, tmp_path: Path, crs: str
) -> None:
    raster = describe_raster(str(make_scene("a.tif", VALUES, crs=crs, origin=(7.1, 50.3), pixel=(0.1, 0.2))))
    band = VrtBand(raster.bands[1], None, (Part(raster, 2, 0, 0, 4, 3),))
    with Scene(write_vrt(vrt_text(raster.grid, [band]), tmp_path / "a.vrt")) as scene:
        assert scene.grid.difference(raster.grid) is None
        assert scene.grid.crs == raster.grid.crs
        image, valid = scene.read(scene.grid.window)
    np.testing.assert_array_equal(image[0], VALUES[1])
    assert valid.all()


def test_what_cannot_be_described_is_refused(make_scene: MakeScene, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no real numbers"):
        describe_raster(str(make_scene("c.tif", np.ones((1, 2, 2), np.complex64))))
    raster = describe_raster(str(make_scene("a.tif", VALUES)))
    text = vrt_text(raster.grid, [VrtBand(raster.bands[0], None, ())])
    flat = text.replace("500000.0, 10.0, 0.0", "500000.0, 0.0, 0.0")
    assert flat != text
    with pytest.raises(GridError, match=r"pixels without area \(transform 0, 0, 500000"):
        describe_raster(str(write_vrt(flat, tmp_path / "flat.vrt")))
