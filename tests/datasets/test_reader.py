import logging
import os
import pickle
from pathlib import Path

import geopandas
import numpy as np
import pytest
from conftest import write_scene
from scene_factory import make_data, position_image, reader_of, source_of, striped_labels
from shapely.geometry import box

from eoseg.datasets.reader import SceneReader, windows_of
from eoseg.errors import DataError
from eoseg.geo.window import Window
from eoseg.recipe import IGNORE

SIZES = {"a": (40, 50), "b": (30, 30)}


@pytest.mark.parametrize("decoded_bytes", [0, 2**20])
@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
def test_windows_are_the_same_decoded_or_not(tmp_path: Path, decoded_bytes: int, profile: dict[str, object]):
    reader = reader_of(make_data(tmp_path, SIZES, nodata=1, **profile), decoded_bytes=decoded_bytes)
    window = Window(-3, 10, 20, 60)
    image, valid, labels = reader.read_labelled("a", window)
    expected = position_image(40, 50)[:, :17, 10:]
    np.testing.assert_array_equal(valid[3:, :40], (expected != 1).all(axis=0))
    np.testing.assert_array_equal(image[:, 4:, :40], expected[:, 1:])
    np.testing.assert_array_equal(labels[4:, :40], striped_labels(40, 50)[1:17, 10:])
    assert not valid[:4].any()  # outside the scene, and row 0, which holds the nodata value 1
    assert (labels[~valid] == IGNORE).all()
    assert image.dtype == np.float32
    reader.close()


def test_fewer_files_stay_open_than_there_are_scenes(tmp_path: Path):
    sizes = {f"s{number}": (12, 12) for number in range(6)}
    source = make_data(tmp_path, sizes, tiled=True, blockxsize=16, blockysize=16)
    reader = reader_of(source, open_scenes=2, decoded_bytes=0)
    for _ in range(2):
        for name in sizes:
            reader.read_labelled(name, Window(0, 0, 5, 5))
    assert len(reader._scenes) == len(reader._labels) == 2


def test_scaled_scenes_are_not_kept_in_a_type_that_loses_digits(tmp_path: Path):
    import rasterio

    source = make_data(tmp_path, {"a": (12, 12)})
    with rasterio.open(tmp_path / "images" / "a.tif", "r+") as dataset:
        dataset.scales = (0.1, 0.1)
    image, _ = reader_of(source).read("a", Window(0, 0, 12, 12))
    np.testing.assert_allclose(image, position_image(12, 12) * 0.1, rtol=1e-6)


def test_a_reader_survives_pickling_and_forking(tmp_path: Path):
    reader = reader_of(make_data(tmp_path, SIZES), decoded_bytes=0)
    expected = reader.read("a", Window(0, 0, 9, 9))[0]
    copy: SceneReader = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy.read("a", Window(0, 0, 9, 9))[0], expected)
    handle = reader._scenes["a"]
    reader._process = os.getpid() + 1  # as in a forked process
    np.testing.assert_array_equal(reader.read("a", Window(0, 0, 9, 9))[0], expected)
    assert reader._scenes["a"] is not handle


def write_polygons(folder: Path, *boxes: tuple[float, float, float, float]) -> None:
    frame = geopandas.GeoDataFrame(
        {"kind": ["land"] * len(boxes)}, geometry=[box(*b) for b in boxes], crs="EPSG:32632"
    )
    frame.to_file(folder / "labels.gpkg")


def test_polygons_apply_to_every_scene(tmp_path: Path):
    make_data(tmp_path, SIZES)
    write_polygons(
        tmp_path, (500_100, 5_399_900, 500_200, 5_400_000), (600_000, 5_399_990, 600_020, 5_400_000)
    )
    reader = reader_of(source_of(tmp_path, labels="labels.gpkg", attribute="kind"))
    assert (reader.read_labels("a", Window(0, 0, 40, 50)) == 1).sum() == 100
    assert (reader.read_labels("b", Window(0, 0, 30, 30)) == 1).sum() == 2


def test_polygons_outside_all_scenes_are_refused_or_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    make_data(tmp_path, SIZES)
    source = source_of(tmp_path, labels="labels.gpkg", attribute="kind")
    write_polygons(tmp_path, (0, 0, 10, 10))
    with pytest.raises(DataError, match=r"None of the 1 polygons .* touches a scene"):
        reader_of(source).read_labels("a", Window(0, 0, 5, 5))
    write_polygons(tmp_path, (0, 0, 10, 10), (500_100, 5_399_900, 500_200, 5_400_000))
    with caplog.at_level(logging.WARNING):
        reader_of(source).read_labels("a", Window(0, 0, 5, 5))
    assert "1 of the 2 polygons" in caplog.text


def test_bands_and_nodata_of_the_configuration_are_used(tmp_path: Path):
    write_scene(tmp_path / "images" / "a.tif", position_image(9, 9), names=["B1", "B2"])
    write_scene(tmp_path / "labels" / "a.tif", striped_labels(9, 9))
    image, valid = reader_of(source_of(tmp_path, bands=["B2"], nodata=3)).read("a", Window(0, 0, 9, 9))
    assert image.shape[0] == 1
    np.testing.assert_array_equal(valid, position_image(9, 9)[1] != 3)


def test_windows_cover_an_area_once():
    area = Window(-3, 2, 10, 7)
    seen = np.zeros((10, 7), int)
    for window in windows_of(area, 4):
        seen[window.slices_in(area)] += 1
    assert (seen == 1).all()
