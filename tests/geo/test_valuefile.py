"""A file of a quantity is complete, says what it holds, and reads back bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import MakeScene
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from eoseg.errors import DataError, OutputError
from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import MapWriter
from eoseg.geo.scene import Scene
from eoseg.geo.valuefile import ValueWriter, read_value_info
from eoseg.geo.window import Window
from eoseg.recipe import Quantity, parse_classes

HEIGHT = Quantity("canopy height", "m")


def grid(height: int, width: int) -> Grid:
    return Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), height, width)


def numbers(height: int, width: int) -> np.ndarray:
    rows, cols = np.indices((height, width))
    values = (rows * 0.1 - cols / 3).astype(np.float32)
    values[rows % 7 == 3] = np.nan
    return values


def write(path: Path, values: np.ndarray, **options: object) -> Path:
    with ValueWriter(path, grid(*values.shape), HEIGHT, **options) as writer:  # type: ignore[arg-type]
        writer.write(Window(0, 0, *values.shape), values)
        writer.build({"EOSEG_VERSION": "1"})
        writer.publish()
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("block", [256, 1])
def test_what_is_written_in_pieces_is_read_as_a_whole(tmp_path: Path, block: int):
    values = numbers(1300, 700)
    with ValueWriter(tmp_path / "a.tif", grid(1300, 700), HEIGHT, block=block) as writer:
        for row in range(0, 1300, 512):
            for col in range(0, 700, 512):
                piece = values[row : row + 512, col : col + 512]
                writer.write(Window(row, col, *piece.shape), piece[None])
        assert writer.value_pixels == (~np.isnan(values)).sum()
        writer.build({})
        writer.publish()
    assert files(tmp_path) == ["a.tif"]
    assert cog_validate(tmp_path / "a.tif", strict=True) == (True, [], [])
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)
        assert (dataset.dtypes, dataset.descriptions, dataset.units) == (
            ("float32",),
            ("canopy height",),
            ("m",),
        )
        assert np.isnan(dataset.nodata)
        assert dataset.overviews(1) == [2, 4]


def test_a_file_says_what_it_holds_and_is_a_scene(tmp_path: Path):
    values = numbers(20, 30)
    path = write(tmp_path / "a.tif", values)
    info = read_value_info(path)
    assert (info.quantity, info.tags, info.path) == (HEIGHT, {"EOSEG_VERSION": "1"}, str(path))
    assert info.grid.difference(grid(20, 30)) is None
    with Scene(path) as scene:
        image, valid = scene.read(scene.grid.window)
        assert scene.bands == ["canopy height"]
    np.testing.assert_array_equal(valid, ~np.isnan(values))
    np.testing.assert_array_equal(image[0][valid], values[valid])


def test_overviews_are_means_of_what_is_known(tmp_path: Path):
    values = np.full((1200, 1200), 3, np.float32)
    values[::2, ::2] = np.nan
    values[1::2] = 1
    with rasterio.open(write(tmp_path / "a.tif", values), overview_level=0) as dataset:
        np.testing.assert_allclose(dataset.read(1), 5 / 3, rtol=1e-6)


def test_the_same_values_give_the_same_bytes(tmp_path: Path):
    first = write(tmp_path / "a.tif", numbers(700, 600))
    second = write(tmp_path / "b.tif", numbers(700, 600), block=96)
    assert first.read_bytes() == second.read_bytes()


def test_a_pixel_that_is_not_written_is_found(tmp_path: Path):
    with ValueWriter(tmp_path / "a.tif", grid(40, 40), HEIGHT) as writer:
        writer.write(Window(0, 0, 20, 40), numbers(20, 40))
        with pytest.raises(OutputError, match="does not hold what was written"):
            writer.build({})
    assert files(tmp_path) == []


def test_a_value_that_is_lost_is_found(tmp_path: Path):
    values = np.ones((40, 40), np.float32)
    with ValueWriter(tmp_path / "a.tif", grid(40, 40), HEIGHT) as writer:
        writer.write(Window(0, 0, 40, 40), values)
        values[3, 3] = np.nextafter(np.float32(1), np.float32(2))  # the last bit
        assert writer._dataset is not None
        writer._dataset.write(values[None])
        with pytest.raises(OutputError, match="does not hold what was written"):
            writer.build({})


def test_what_cannot_be_written_is_refused(tmp_path: Path):
    with ValueWriter(tmp_path / "a.tif", grid(4, 4), HEIGHT) as writer:
        with pytest.raises(OutputError, match=r"2 x 2 values .* found an array of 3 x 3"):
            writer.write(Window(0, 0, 2, 2), np.zeros((3, 3)))
        with pytest.raises(OutputError, match="has no pixels at"):
            writer.write(Window(3, 3, 2, 2), np.zeros((2, 2)))
        with pytest.raises(OutputError, match=r"finite numbers and NaN; found an infinite one"):
            writer.write(Window(0, 0, 1, 1), np.full((1, 1), np.inf))
        writer.write(Window(0, 0, 4, 4), np.zeros((4, 4)))
        writer.build({})
        with pytest.raises(OutputError, match="already built"):
            writer.build({})
        with pytest.raises(OutputError, match="already built"):
            writer.write(Window(0, 0, 4, 4), np.zeros((4, 4)))


def test_an_existing_file_stays_until_the_new_one_is_complete(tmp_path: Path):
    path = write(tmp_path / "a.tif", numbers(4, 4))
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        ValueWriter(path, grid(4, 4), HEIGHT)
    with pytest.raises(ValueError, match="stop"), ValueWriter(path, grid(4, 4), HEIGHT, overwrite=True):
        raise ValueError("stop")
    assert path.read_bytes() == before
    write(path, numbers(5, 5), overwrite=True)
    assert files(tmp_path) == ["a.tif"]
    with rasterio.open(path) as dataset:
        assert dataset.shape == (5, 5)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path):
    blocked = tmp_path / "a.tif.part"
    blocked.mkdir()
    (blocked / "x").touch()
    with pytest.raises(OutputError, match="could not be begun"):
        ValueWriter(tmp_path / "a.tif", grid(4, 4), HEIGHT)


def test_other_rasters_are_refused(tmp_path: Path, make_scene: MakeScene):
    with pytest.raises(DataError, match="does not name its quantity; expected a map of a quantity"):
        read_value_info(make_scene("plain.tif", np.ones((4, 4), np.float32)))
    with MapWriter(tmp_path / "m.tif", grid(4, 4), parse_classes(["a", "b"])) as writer:
        writer.write(Window(0, 0, 4, 4), np.zeros((4, 4), np.uint8))
        writer.build({})
        writer.publish()
    with pytest.raises(DataError, match="holds classes; expected a map of a quantity"):
        read_value_info(tmp_path / "m.tif")


@pytest.mark.parametrize("content", ["not json", json.dumps({"name": "x", "colour": 1}), None])
def test_a_damaged_description_is_refused(tmp_path: Path, make_scene: MakeScene, content: str | None):
    path = make_scene("a.tif", np.ones((4, 4), np.float32))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(EOSEG_KIND="values", **({"EOSEG_QUANTITY": content} if content else {}))
    with pytest.raises(DataError, match="does not name its quantity"):
        read_value_info(path)
