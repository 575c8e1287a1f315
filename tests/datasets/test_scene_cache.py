import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import geopandas
import numpy as np
import pytest
import rasterio
from conftest import write_scene
from scene_factory import (
    make_data,
    make_pairs,
    make_series,
    make_values,
    position_image,
    reader_of,
    source_of,
)
from shapely.geometry import box

from eoseg.datasets.config import SceneSource
from eoseg.datasets.index import load_index
from eoseg.datasets.reader import SceneReader
from eoseg.datasets.scene_cache import SceneCache
from eoseg.errors import ConfigError, OutputError
from eoseg.geo.window import Window

SIZES = {"a": (40, 50), "b": (30, 30)}
WINDOWS = (Window(0, 0, 40, 50), Window(-3, 10, 20, 60), Window(7, 5, 16, 16))


def cached(source: SceneSource, folder: Path) -> SceneReader:
    index = load_index(source)
    return SceneReader(index, cache=SceneCache(folder, index))


def polygons(folder: Path) -> SceneSource:
    make_data(folder, SIZES)
    shapes = [box(500_100, 5_399_700, 500_300, 5_399_900), box(500_350, 5_399_700, 500_400, 5_399_900)]
    frame = geopandas.GeoDataFrame({"kind": ["land", "water"]}, geometry=shapes, crs="EPSG:32632")
    frame.to_file(folder / "labels.gpkg")
    return source_of(folder, labels="labels.gpkg", attribute="kind")


def scaled(folder: Path) -> SceneSource:
    source = make_data(folder, SIZES)
    for name in SIZES:
        with rasterio.open(folder / "images" / f"{name}.tif", "r+") as dataset:
            dataset.scales = (0.1, 0.1)
    return source


def unlabelled(folder: Path) -> SceneSource:
    make_data(folder, SIZES, nodata=1)
    return source_of(folder, labels=None, classes=None)


def tiled(folder: Path) -> SceneSource:
    return make_data(folder, SIZES, nodata=1, tiled=True, blockxsize=16, blockysize=16)


@pytest.mark.parametrize(
    "make",
    [
        tiled,
        scaled,
        unlabelled,
        polygons,
        lambda folder: make_pairs(folder, SIZES),
        lambda folder: make_series(folder, SIZES),
        lambda folder: make_values(folder, SIZES),
    ],
)
def test_windows_are_those_of_the_files(
    tmp_path: Path, make: Callable[[Path], SceneSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eoseg.datasets.scene_cache._STRIP_BYTES", 8 * 50 * 16)  # several strips
    source = make(tmp_path / "data")
    plain, ours = reader_of(source, decoded_bytes=0), cached(source, tmp_path / "cache")
    for scene_id in plain.index.entries:
        for window in WINDOWS:
            for one, other in zip(
                plain.read_labelled(scene_id, window), ours.read_labelled(scene_id, window), strict=True
            ):
                np.testing.assert_array_equal(one, other)
                assert one.dtype == other.dtype
            if source.quantity is not None:
                np.testing.assert_array_equal(
                    plain.read_values(scene_id, window), ours.read_values(scene_id, window)
                )
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == len(plain.index.entries)
    assert isinstance(ours._images[scene_id][0], np.memmap)
    assert ours._images[scene_id][0].dtype == ("float32" if make is scaled else "uint16")


def test_a_scene_is_decoded_once_and_read_without_its_file(tmp_path: Path) -> None:
    source = make_data(tmp_path, SIZES)
    first = cached(source, tmp_path / "cache")
    expected = first.read("a", WINDOWS[0])[0]
    again = cached(source, tmp_path / "cache")
    again.read_file = None  # type: ignore[method-assign, assignment]
    np.testing.assert_array_equal(again.read("a", WINDOWS[0])[0], expected)
    assert not again._scenes


def test_a_file_that_changed_is_decoded_anew(tmp_path: Path) -> None:
    source = make_data(tmp_path, SIZES)
    cached(source, tmp_path / "cache").read("a", WINDOWS[0])
    write_scene(tmp_path / "images" / "a.tif", position_image(40, 50, offset=500), names=["B1", "B2"])
    os.utime(tmp_path / "images" / "a.tif", ns=(1, 1))
    image, _ = cached(source, tmp_path / "cache").read("a", WINDOWS[0])
    np.testing.assert_array_equal(image, position_image(40, 50, offset=500))


@pytest.mark.parametrize("options", [{"nodata": 3}, {"bands": ["B2"]}, {"ignore": [9]}])
def test_other_options_have_their_own_arrays(tmp_path: Path, options: dict[str, object]) -> None:
    source = make_data(tmp_path, SIZES)
    cached(source, tmp_path / "cache").read_labelled("a", WINDOWS[0])
    other = source_of(tmp_path, **options)
    for one, two in zip(
        cached(other, tmp_path / "cache").read_labelled("a", WINDOWS[0]),
        reader_of(other).read_labelled("a", WINDOWS[0]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def _read(source: SceneSource, folder: Path, start: "multiprocessing.synchronize.Barrier") -> None:
    reader = cached(source, folder)
    start.wait()
    assert reader.read("a", WINDOWS[0])[0].sum() == position_image(40, 50).sum()


def test_processes_that_decode_the_same_scene_leave_one(tmp_path: Path) -> None:
    source = make_data(tmp_path, SIZES)
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)
    processes = [context.Process(target=_read, args=(source, tmp_path / "cache", start)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_worker_is_sent_no_pixels(tmp_path: Path) -> None:
    source = make_data(tmp_path, SIZES)
    for reader in (cached(source, tmp_path / "cache"), reader_of(source)):
        expected = reader.read("a", WINDOWS[0])[0]
        assert reader._images
        sent = pickle.dumps(reader)
        assert len(sent) < 5000
        np.testing.assert_array_equal(pickle.loads(sent).read("a", WINDOWS[0])[0], expected)


def test_variables_of_the_environment_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = load_index(make_data(tmp_path, SIZES))
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path / "scratch"))
    assert SceneCache("$SLURM_TMPDIR/eoseg", index).folder == tmp_path / "scratch" / "eoseg"
    monkeypatch.delenv("SLURM_TMPDIR")
    with pytest.raises(ConfigError, match=r"variable of the environment that is not set: '\$SLURM_TMPDIR"):
        SceneCache("$SLURM_TMPDIR/eoseg", index)


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = load_index(make_data(tmp_path, SIZES))
    needed = (40 * 50 + 30 * 30) * (2 * 2 + 1 + 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    SceneCache(tmp_path / "cache", index)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(OutputError, match=r"has 0.0 GB of free space, but the decoded scenes take 0.0 GB"):
        SceneCache(tmp_path / "cache", index)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    index = load_index(make_data(tmp_path, SIZES))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"The cache '.*file/cache' cannot be made: Not a directory"):
        SceneCache(tmp_path / "file" / "cache", index)


def test_a_disk_that_gets_full_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = cached(make_data(tmp_path, SIZES), tmp_path / "cache")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    with pytest.raises(OutputError, match=r"'a' cannot be decoded into the cache .* No space left on device"):
        reader.read("a", WINDOWS[0])
    assert not list((tmp_path / "cache").iterdir())
