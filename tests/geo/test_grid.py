import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import write_scene
from rasterio.crs import CRS

from eoseg.errors import GridError
from eoseg.geo.grid import Grid
from eoseg.geo.scene import Scene
from eoseg.geo.window import Window

UTM = CRS.from_epsg(32632)
GRID = Grid(UTM, Affine(10, 0, 500_000, 0, -10, 5_400_000), 20, 30)


def test_bounds_and_pixel_size_follow_from_the_transform():
    assert GRID.bounds == (500_000, 5_399_800, 500_300, 5_400_000)
    assert GRID.pixel_size == (10, 10)
    assert GRID.window == Window(0, 0, 20, 30)


@pytest.mark.parametrize(
    ("crs", "pixel", "top", "metres"),
    [
        ("EPSG:32632", 10, 0, 10),
        ("EPSG:2263", 10, 0, 3.048),  # feet
        ("EPSG:4326", 1e-4, 0, 11.13),
        ("EPSG:4326", 1e-4, 60, 11.13 / 2**0.5),  # half as wide as high
    ],
)
def test_pixels_have_a_size_in_metres(crs: str, pixel: float, top: float, metres: float):
    grid = Grid(CRS.from_string(crs), Affine(pixel, 0, 7, 0, -pixel, top), 10, 10)
    assert grid.pixel_metres == pytest.approx(metres, rel=1e-3)


def test_without_a_crs_pixels_have_no_size_in_metres():
    assert Grid(None, Affine.identity(), 3, 3).pixel_metres is None


def test_a_rotated_grid_keeps_its_pixel_size():
    turned = Grid(UTM, GRID.transform @ Affine.rotation(30), 20, 30)
    assert turned.pixel_size == pytest.approx((10, 10))


def test_cropping_moves_the_origin_also_outside():
    part = GRID.crop(Window(-2, 3, 4, 5))
    assert (part.transform.c, part.transform.f) == (500_030, 5_400_020)
    assert (part.height, part.width) == (4, 5)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (Grid(UTM, GRID.transform, 21, 30), "size 30 x 21 px instead of 30 x 20 px"),
        (Grid(CRS.from_epsg(4326), GRID.transform, 20, 30), "CRS EPSG:4326 instead of EPSG:32632"),
        (
            Grid(UTM, Affine(20, 0, 500_000, 0, -20, 5_400_000), 20, 30),
            "pixel size 20 x 20 instead of 10 x 10",
        ),
        (Grid(UTM, GRID.transform @ Affine.translation(0.5, 0), 20, 30), "corners up to 0.5 px away"),
        (Grid(None, GRID.transform, 20, 30), "CRS none instead of EPSG:32632"),
    ],
)
def test_a_difference_is_named(other: Grid, found: str):
    with pytest.raises(GridError, match=re.escape(found)):
        GRID.require_same(other, this="image.tif", that="label.tif")


def test_digits_lost_in_text_do_not_make_a_difference():
    near = Grid(UTM, GRID.transform @ Affine.translation(0.001, -0.001), 20, 30)
    GRID.require_same(near, this="a", that="b")


def test_without_a_crs_equal_sizes_are_the_same_grid():
    assert Grid(None, Affine.identity(), 5, 5).difference(Grid(None, Affine.scale(2), 5, 5)) is None


def test_the_command_in_the_message_repairs_the_grid(tmp_path: Path):
    image = write_scene(tmp_path / "image.tif", np.ones((1, 20, 30), np.uint8))
    label = write_scene(
        tmp_path / "my label.tif", np.ones((12, 17), np.uint8), origin=(499_990, 5_400_020), pixel=(20, 20)
    )
    with Scene(image) as one, Scene(label) as other, pytest.raises(GridError) as caught:
        one.grid.require_same(other.grid, this=str(image), that=str(label))
    command = shlex.split(str(caught.value).split("To repair: ")[1])
    subprocess.run(
        [str(Path(sys.executable).with_name("rio")), *command[1:]], check=True, capture_output=True
    )
    with Scene(image) as one, rasterio.open(command[3]) as repaired:
        assert one.grid.difference(Grid(repaired.crs, repaired.transform, *repaired.shape)) is None


def test_places_are_those_of_the_transform() -> None:
    grid = Grid(None, Affine(2, 0.5, 100, 0.25, -3, 900), 10, 10)
    xs, ys = grid.places(np.array([0.5, 7.0]), np.array([1.5, 0.0]))
    expected = [grid.transform @ place for place in ((0.5, 1.5), (7.0, 0.0))]
    assert list(zip(xs.tolist(), ys.tolist(), strict=True)) == expected


@pytest.mark.parametrize("crs", [CRS.from_epsg(32632), None])
def test_a_grid_survives_as_plain_values(crs: CRS | None) -> None:
    grid = Grid(crs, Affine(10, 0, 500_000.1, 0, -10, 5_400_000), 30, 40)
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid
