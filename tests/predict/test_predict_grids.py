"""Scenes on unusual grids are mapped onto the same grid, pixel by pixel, in tiles as in one piece."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import MakeScene
from predict_factory import BANDS, Convolutions, make_network, make_recipe, smooth_noise, whole_image

from eoseg.errors import GridError
from eoseg.predict import PredictOptions, predict_scene

IMAGE = smooth_noise(70, 90)

GRIDS = {
    "rotated": ("EPSG:32632", Affine(6, 8, 500_000, 8, -6, 5_400_000)),
    "sheared": ("EPSG:32632", Affine(10, 3, 500_000, 0, -10, 5_400_000)),
    "south-up": ("EPSG:32632", Affine(10, 0, 500_000, 0, 10, 5_400_000)),
    "mirrored": ("EPSG:32632", Affine(-10, 0, 500_000, 0, -10, 5_400_000)),
    "utm across the antimeridian": ("EPSG:32601", Affine(500, 0, 150_000, 0, -500, 7_300_000)),
    "degrees beyond 180": ("EPSG:4326", Affine(0.05, 0, 178, 0, -0.05, 10)),
    "north pole": ("EPSG:3413", Affine(40_000, 0, -1_800_000, 0, -40_000, 1_400_000)),
    "south pole": ("EPSG:3031", Affine(40_000, 0, -1_800_000, 0, -40_000, 1_400_000)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_map_lies_on_the_grid_of_its_scene(make_scene: MakeScene, name: str) -> None:
    crs, place = GRIDS[name]
    path = make_scene("s.tif", IMAGE, names=BANDS, crs=crs, transform=place)
    network, recipe = make_network(Convolutions(2)), make_recipe()
    out = path.with_name("map.tif")
    predict_scene(network, recipe, str(path), out, options=PredictOptions(tile=32))
    with rasterio.open(path) as scene, rasterio.open(out) as found:
        assert (found.crs, found.transform, found.shape) == (scene.crs, scene.transform, scene.shape)
        np.testing.assert_array_equal(found.read(1), whole_image(network, IMAGE))


@pytest.mark.parametrize(
    "place",
    [(500_000, 0, 0, 5_400_000, 0, -10), (500_000, 10, 0, 5_400_000, 0, 0), (0, 10, 20, 0, 5, 10)],
    ids=["no width", "no height", "on a line"],
)
def test_pixels_without_area_are_refused(
    make_scene: MakeScene, tmp_path: Path, place: tuple[float, ...]
) -> None:
    path = make_scene("s.tif", IMAGE, names=BANDS)
    vrt = tmp_path / "flat.vrt"
    source = f'<SimpleSource><SourceFilename relativeToVRT="0">{path}</SourceFilename><SourceBand>'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}"><Description>{name}</Description>{source}{n}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for n, name in enumerate(BANDS, start=1)
    )
    vrt.write_text(
        '<VRTDataset rasterXSize="90" rasterYSize="70"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>{', '.join(map(str, place))}</GeoTransform>{bands}</VRTDataset>"
    )
    with pytest.raises(GridError, match=r"flat.vrt' has pixels without area \(transform .*rio edit-info"):
        predict_scene(make_network(Convolutions(2)), make_recipe(), str(vrt), tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()
