from pathlib import Path

import numpy as np
import pytest
from chip_factory import write_chip
from conftest import write_scene

from eoseg.datasets.chip_store import ChipStore
from eoseg.errors import BandError, DataError


def store_of(folder: Path, values: list[int], **options: object) -> ChipStore:
    paths = [str(write_chip(folder / f"{number}.png", value)) for number, value in enumerate(values)]
    return ChipStore(paths, **options)  # type: ignore[arg-type]


def test_chips_are_read_in_the_order_that_is_asked_for(tmp_path: Path):
    store = store_of(tmp_path, [10, 20, 30])
    image, valid = store.read(np.array([2, 0, 2]))
    assert image.shape == (3, 3, 8, 8)
    assert image.dtype == np.float32
    assert image[:, 0, 0, 0].tolist() == [30, 10, 30]
    assert image[0, :, 5, 5].tolist() == [30, 31, 32]
    assert valid.all()
    assert store.header.bands == ("red", "green", "blue")


def test_what_was_read_is_kept(tmp_path: Path):
    store = store_of(tmp_path, [10, 20])
    store.check()
    for path in tmp_path.iterdir():
        path.unlink()
    assert store.read(np.array([1, 0]))[0][:, 0, 0, 0].tolist() == [20, 10]


def test_memory_is_bounded(tmp_path: Path):
    store = store_of(tmp_path, [10, 20, 30], kept_bytes=2 * 3 * 8 * 8)  # two chips
    store.check()
    (tmp_path / "2.png").unlink()
    assert store.read(np.array([1, 0]))[0][:, 0, 0, 0].tolist() == [20, 10]
    with pytest.raises(DataError, match="no file"):
        store.read(np.array([2]))


def test_bands_and_nodata_apply(tmp_path: Path):
    store = store_of(tmp_path, [10], bands=["nir", "red"], band_names=["red", "green", "nir"], nodata=12)
    image, valid = store.read(np.array([0]))
    assert store.header.bands == ("nir", "red")
    assert not valid.any()  # nir is 12 everywhere
    assert (image == 0).all()
    again = store.read(np.array([0]))  # from memory
    assert not again[1].any()


def test_scaled_values_are_never_rounded(tmp_path: Path):
    path = write_chip(tmp_path / "a.tif", 10)
    import rasterio

    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.01,) * 3
        dataset.offsets = (-5.0,) * 3
    store = ChipStore([str(path)])
    for _ in range(2):
        np.testing.assert_allclose(store.read(np.array([0]))[0][0, :, 0, 0], [-4.9, -4.89, -4.88], rtol=1e-6)


def test_chips_of_mixed_size_are_named_in_one_line(tmp_path: Path):
    store = store_of(tmp_path, [1, 2, 3, 4, 5])
    for number in (1, 2, 3, 4):
        write_chip(tmp_path / f"{number}.png", 1, size=8 + number)
    with pytest.raises(DataError, match="0.png' has 8 x 8 px, but .*1.png' 9 x 9, .* and 1 more") as caught:
        store.check()
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="one size"):
        store.read(np.array([0, 3]))


def test_chips_of_another_kind_are_refused(tmp_path: Path):
    store = store_of(tmp_path, [1, 2])
    write_chip(tmp_path / "1.png", 1, bands=1)
    with pytest.raises(BandError, match="same bands: .*0.png' has red, green, blue, .*1.png' has band_1"):
        store.check()
    write_scene(tmp_path / "1.png", np.ones((3, 8, 8), np.uint16), driver="PNG", crs=None)
    with pytest.raises(BandError, match="same data type: .* has uint8, .* has uint16"):
        store.check()


def test_a_truncated_file_is_named(tmp_path: Path):
    store = store_of(tmp_path, [1, 2])
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="1.png"):
        store.check()
