import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
from conftest import write_scene
from scene_factory import (
    dated_image,
    heights,
    make_data,
    make_pairs,
    make_series,
    make_values,
    position_image,
    reader_of,
    source_of,
    striped_labels,
)
from shapely.geometry import box

from eoseg.datasets.config import SceneSource
from eoseg.datasets.reader import SceneReader, read_size, windows_of
from eoseg.errors import DataError
from eoseg.geo.stack import SceneStack
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


@pytest.mark.parametrize("decoded_bytes", [0, 2**20])
@pytest.mark.parametrize(("make", "steps"), [(make_pairs, 2), (make_series, 3)])
def test_all_dates_are_read_decoded_or_not(
    tmp_path: Path, make: Callable[..., SceneSource], steps: int, decoded_bytes: int
):
    reader = reader_of(make(tmp_path, SIZES), decoded_bytes=decoded_bytes)
    scene = next(name for name in reader.index.entries if name.startswith("a"))
    image, valid, labels = reader.read_labelled(scene, Window(-3, 10, 20, 60))
    assert (image.shape, valid.shape) == ((steps, 2, 20, 60), (steps, 20, 60))
    for step in range(steps):
        expected = dated_image(40, 50, step)[:, :17, 10:]
        np.testing.assert_array_equal(image[step, :, 3:, :40], expected)
        np.testing.assert_array_equal(valid[step, 3:, :40], expected[0] != 0)
    assert not valid[:, :3].any()
    # Each date lacks another diagonal: a pair is usable where no date does, a series where one has a value.
    usable = valid.all(axis=0) if steps == 2 else valid.any(axis=0)
    assert (usable[3:, :40].sum() < 17 * 40) == (steps == 2)
    np.testing.assert_array_equal(
        labels[3:, :40], np.where(usable[3:, :40], striped_labels(40, 50)[:17, 10:], IGNORE)
    )
    assert (scene in reader._images) == bool(decoded_bytes)
    reader.close()


def test_decoded_dates_count_all_against_the_memory(tmp_path: Path):
    source = make_series(tmp_path, {"a": (40, 50)})
    size = 3 * 40 * 50 * (2 * 2 + 1)
    for decoded_bytes, is_kept in ((size - 1, False), (size, True)):
        reader = reader_of(source, decoded_bytes=decoded_bytes)
        reader.read("a/S2", Window(0, 0, 5, 5))
        assert ("a/S2" in reader._images) == is_kept


def test_scaled_dates_are_not_kept_in_a_type_that_loses_digits(tmp_path: Path):
    import rasterio

    source = make_pairs(tmp_path, {"a": (12, 12)})
    with rasterio.open(tmp_path / "after" / "a.tif", "r+") as dataset:
        dataset.scales = (0.1, 0.1)
    reader = reader_of(source)
    image, _ = reader.read("a", Window(0, 0, 12, 12))
    np.testing.assert_allclose(image[1], dated_image(12, 12, 1) * 0.1, rtol=1e-6)
    assert not reader._images


def test_scenes_of_many_dates_keep_as_few_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("eoseg.datasets.reader._OPEN_FILES", 6)
    reader = reader_of(make_series(tmp_path, dict.fromkeys("abcd", (9, 9))), decoded_bytes=0)
    for name in reader.index.entries:
        reader.read(name, Window(0, 0, 5, 5))
    assert len(reader._scenes) == 2  # of three dates each


def test_the_longest_series_is_read_with_few_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("eoseg.datasets.reader._OPEN_FILES", 2)
    reader = reader_of(make_series(tmp_path, {"a": (9, 9)}), decoded_bytes=0)
    image, _ = reader.read("a/S2", Window(0, 0, 9, 9))
    np.testing.assert_array_equal(image, [dated_image(9, 9, step) for step in range(3)])
    stack = reader._scenes["a/S2"]
    assert isinstance(stack, SceneStack)
    assert len(stack._open) == 2


@pytest.mark.parametrize("decoded_bytes", [0, 2**20])
def test_values_are_read_and_counted_as_one_class(tmp_path: Path, decoded_bytes: int):
    reader = reader_of(make_values(tmp_path, {"a": (20, 30)}), decoded_bytes=decoded_bytes)
    window = Window(-2, 5, 12, 40)
    found, expected = reader.read_values("a", window), heights(20, 30)[:10, 5:]
    np.testing.assert_array_equal(found[2:, :25], np.where(expected == -9999, np.nan, expected))
    assert np.isnan(found[:2]).all()
    assert found.dtype == np.float32
    labels = reader.read_labels("a", window)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels == 0, ~np.isnan(found))
    np.testing.assert_array_equal(labels == IGNORE, np.isnan(found))
    assert ("a" in reader._masks) == bool(decoded_bytes)


def test_classes_have_no_values(tmp_path: Path):
    with pytest.raises(DataError, match="The labels are classes, so they have no values"):
        reader_of(make_data(tmp_path, SIZES)).read_values("a", Window(0, 0, 5, 5))


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


def test_many_dates_are_read_in_smaller_windows():
    assert read_size(512, 1) == 512
    assert read_size(512, 16) == 128
    assert read_size(512, 2, multiple=16) == 352  # 362 would be as many numbers
    assert read_size(8, 100, multiple=16) == 16


def test_without_labels_every_usable_pixel_counts_as_of_one_class(tmp_path: Path):
    make_pairs(tmp_path, {"a": (20, 30)})
    reader = reader_of(
        source_of(tmp_path, images="before/*.tif", after="after/*.tif", labels=None, classes=None)
    )
    image, valid, labels = reader.read_labelled("a", Window(0, 0, 20, 30))
    assert image.shape == (2, 2, 20, 30)
    np.testing.assert_array_equal(labels, np.where(valid.all(axis=0), 0, IGNORE))
    np.testing.assert_array_equal(reader.read_labels("a", Window(0, 0, 20, 30)), labels)
    assert {0, IGNORE} == set(labels.ravel().tolist())
    with pytest.raises(DataError, match="The scenes have no labels"):
        reader.labels("a")
