from pathlib import Path

import numpy as np
import pytest
import rasterio

from eoseg.errors import OutputError
from eoseg.geo.scene import Scene, read_all
from eoseg.geo.window import Window
from eoseg.geo.write import north_up_grid, write_raster

GRID = north_up_grid(32632, left=600_000, top=5_400_000, pixel_size=10, height=7, width=5)
VALUES = np.arange(2 * 7 * 5, dtype=np.uint16).reshape(2, 7, 5)


def test_a_raster_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "scene.tif"
    write_raster(path, VALUES, GRID, nodata=0, names=["red", "nir"])
    with Scene(path) as scene:
        assert scene.grid == GRID
        assert scene.bands == ["red", "nir"]
        assert (scene.dtype, scene.nodata) == ("uint16", 0)
        image, valid = scene.read(Window(0, 0, 7, 5))
    assert (image[:, valid] == VALUES[:, valid]).all()
    assert valid.sum() == 7 * 5 - 1  # one pixel holds nodata in the first band


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_each_data_type_of_a_scene_is_kept(tmp_path: Path, dtype: str) -> None:
    write_raster(tmp_path / "scene.tif", VALUES[0].astype(dtype), GRID)
    values = read_all(tmp_path / "scene.tif")
    assert values.dtype == dtype
    assert values.shape == (1, 7, 5)
    assert (values[0] == VALUES[0]).all()


def test_the_grid_is_north_up_with_square_pixels(tmp_path: Path) -> None:
    write_raster(tmp_path / "scene.tif", VALUES, GRID)
    with rasterio.open(tmp_path / "scene.tif") as dataset:
        assert dataset.bounds == (600_000, 5_400_000 - 70, 600_000 + 50, 5_400_000)
        assert dataset.res == (10, 10)
        assert dataset.crs.to_epsg() == 32632


def test_a_colour_table_is_written(tmp_path: Path) -> None:
    write_raster(tmp_path / "map.tif", np.zeros((7, 5), np.uint8), GRID, colors=[(1, 2, 3), (4, 5, 6)])
    with rasterio.open(tmp_path / "map.tif") as dataset:
        table = dataset.colormap(1)
    assert (table[0], table[1]) == ((1, 2, 3, 255), (4, 5, 6, 255))


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        write_raster(tmp_path / name, VALUES, GRID, nodata=0, names=["red", "nir"])
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_an_existing_file_is_replaced_and_no_part_is_left(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    write_raster(path, VALUES, GRID)
    write_raster(path, VALUES + 1, GRID)
    assert (read_all(path) == VALUES + 1).all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene.tif"]


def test_values_of_another_size_than_the_grid_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the grid has 5 x 7 px, the values have 4 x 7"):
        write_raster(tmp_path / "scene.tif", VALUES[:, :, 1:], GRID)
    assert list(tmp_path.iterdir()) == []


def test_names_that_do_not_fit_the_bands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="2 bands need as many names; found 1"):
        write_raster(tmp_path / "scene.tif", VALUES, GRID, names=["red"])


@pytest.mark.parametrize("values", [VALUES[0], np.zeros((2, 7, 5), np.uint8)])
def test_a_colour_table_for_other_than_one_byte_band_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(OutputError, match="a colour table needs one uint8 band"):
        write_raster(tmp_path / "scene.tif", values, GRID, colors=[(0, 0, 0)])


def test_a_path_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written") as raised:
        write_raster(tmp_path / "file" / "scene.tif", VALUES, GRID)
    assert "\n" not in str(raised.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "scene.tif"
    write_raster(path, VALUES, GRID)

    def full(self: Path, argument: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_raster(path, VALUES + 1, GRID)
    assert (read_all(path) == VALUES).all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene.tif"]
