"""Folders of bands and parts of a scene are mapped as the raster that they make up."""

from pathlib import Path

import numpy as np
import pytest
from conftest import MakeScene
from predict_factory import BANDS, Brightness, make_network, make_recipe, smooth_noise, whole_image

from eoseg.errors import BandError, ConfigError
from eoseg.geo.scene import Scene, read_all
from eoseg.predict import predict_scene
from eoseg.predict.sources import scenes_as_rasters

IMAGE = smooth_noise(40, 50)
LEFT, TOP = 500_000.0, 5_400_000.0


def parts(make_scene: MakeScene) -> list[str]:
    """The image in two parts that overlap."""
    left = make_scene("left.tif", IMAGE[:, :, :30], names=BANDS)
    right = make_scene("right.tif", IMAGE[:, :, 20:], names=BANDS, origin=(LEFT + 200, TOP))
    return [str(right), str(left)]


def test_a_mosaic_is_mapped_as_one_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    recipe = make_recipe()
    (scene,) = scenes_as_rasters(parts(make_scene), recipe, tmp_path, mosaic=True)
    assert Path(scene).name == "right_mosaic.vrt"
    found = predict_scene(make_network(Brightness()), recipe, scene, tmp_path / "map.tif")
    np.testing.assert_array_equal(read_all(found.path)[0], whole_image(make_network(Brightness()), IMAGE))


def test_a_folder_of_bands_is_one_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    for name, band in zip(BANDS, IMAGE, strict=True):
        make_scene(f"S2_2021-05-27/T32_{name}_10m.tif", band)
    single = str(make_scene("single.tif", IMAGE, names=BANDS))
    folder = str(tmp_path / "S2_2021-05-27")
    work = tmp_path / "work"
    work.mkdir()
    scenes = scenes_as_rasters([single, folder], make_recipe(time="pair", steps=2), work)
    assert scenes[0] == single
    assert Path(scenes[1]).name == "S2_2021-05-27.vrt"  # the date of a pair stands in the name
    with Scene(scenes[1]) as scene:
        assert scene.all_bands == list(BANDS)
        np.testing.assert_array_equal(scene.read(scene.grid.window)[0], IMAGE)


def test_a_nodata_value_counts_for_all_files(make_scene: MakeScene, tmp_path: Path) -> None:
    (scene,) = scenes_as_rasters(parts(make_scene), make_recipe(), tmp_path, mosaic=True, nodata=255)
    with Scene(scene) as opened:
        assert opened.nodata == 255


def test_a_folder_of_dates_stays_what_it_is(tmp_path: Path) -> None:
    recipe = make_recipe(time="series", steps=3)
    assert scenes_as_rasters([str(tmp_path)], recipe, tmp_path) == [str(tmp_path)]


def test_what_cannot_be_one_scene_is_refused(make_scene: MakeScene, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--mosaic lays files of one date side by side; .* a pair of dates"):
        scenes_as_rasters(["a", "b"], make_recipe(time="pair", steps=2), tmp_path, mosaic=True)
    make_scene("some/B02.tif", IMAGE[0])
    with pytest.raises(BandError, match="has no file of the band 'B03' among its 1 rasters"):
        scenes_as_rasters([str(tmp_path / "some")], make_recipe(), tmp_path)
