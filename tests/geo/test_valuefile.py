"""A file of a quantity is complete, says what it holds, and reads back bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import MakeScene
from raster_factory import write_layer
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from eoseg.errors import DataError
from eoseg.geo.grid import Grid
from eoseg.geo.mapfile import class_layer
from eoseg.geo.scene import Scene
from eoseg.geo.valuefile import read_value_info, value_layer
from eoseg.recipe import Quantity, parse_classes

HEIGHT = Quantity("canopy height", "m")


def grid(height: int, width: int) -> Grid:
    return Grid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 5_400_000), height, width)


def numbers(height: int, width: int) -> np.ndarray:
    rows, cols = np.indices((height, width))
    values = (rows * 0.1 - cols / 3).astype(np.float32)
    values[rows % 7 == 3] = np.nan
    return values


def write(path: Path, values: np.ndarray, core: int = 512) -> Path:
    tags = {"EOSEG_VERSION": "1"}
    write_layer(path, grid(*values.shape), value_layer(HEIGHT), values, tags=tags, core=core)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_in_pieces_is_read_as_a_whole(tmp_path: Path):
    values = numbers(1300, 700)
    counts = write_layer(tmp_path / "a.tif", grid(1300, 700), value_layer(HEIGHT), values).counts[0]
    known = values[~np.isnan(values)]
    assert (counts.known, counts.least, counts.most) == (known.size, known.min(), known.max())
    assert counts.total == pytest.approx(known.sum(dtype=np.float64))
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
    second = write(tmp_path / "b.tif", numbers(700, 600), core=96)
    assert first.read_bytes() == second.read_bytes()


def test_other_rasters_are_refused(tmp_path: Path, make_scene: MakeScene):
    with pytest.raises(DataError, match="does not name its quantity; expected a map of a quantity"):
        read_value_info(make_scene("plain.tif", np.ones((4, 4), np.float32)))
    layer = class_layer(parse_classes(["a", "b"]))
    write_layer(tmp_path / "m.tif", grid(4, 4), layer, np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match="holds classes; expected a map of a quantity"):
        read_value_info(tmp_path / "m.tif")


@pytest.mark.parametrize("content", ["not json", json.dumps({"name": "x", "colour": 1}), None])
def test_a_damaged_description_is_refused(tmp_path: Path, make_scene: MakeScene, content: str | None):
    path = make_scene("a.tif", np.ones((4, 4), np.float32))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(EOSEG_KIND="values", **({"EOSEG_QUANTITY": content} if content else {}))
    with pytest.raises(DataError, match="does not name its quantity"):
        read_value_info(path)
