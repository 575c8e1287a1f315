from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from conftest import write_scene
from rasterio.crs import CRS
from scene_factory import reader_of, source_of

from eoseg.datasets.diagnosis import Diagnosis
from eoseg.datasets.ground import crs_of, examine_grids, pixel_of
from eoseg.datasets.index import SceneEntry
from eoseg.geo.grid import Grid


def warnings_of(folder: Path, chip_size: int = 16) -> list[str]:
    """What is said of all scenes."""
    index = reader_of(source_of(folder)).index
    diagnosis = Diagnosis()
    examine_grids(diagnosis, index, chip_size)
    return [problem.text for problem in diagnosis.problems]


def add(folder: Path, name: str, **options: Any) -> None:
    image = np.random.default_rng(len(name)).integers(1, 99, (2, 40, 40)).astype(np.uint16)
    write_scene(folder / "images" / f"{name}.tif", image, names=["B1", "B2"], **options)
    write_scene(folder / "labels" / f"{name}.tif", np.ones((40, 40), np.uint8), **options)


def test_pixels_of_different_size_or_that_are_oblong_are_said(tmp_path: Path):
    add(tmp_path, "one")
    add(tmp_path, "three", origin=(600_000.0, 5_400_000.0), pixel=(20.0, 20.0))
    assert any("Pixels differ in size between scenes (10 to 20 m)" in text for text in warnings_of(tmp_path))
    add(tmp_path, "three", origin=(600_000.0, 5_400_000.0), pixel=(10.0, 20.0))
    assert any("Pixels are not square on the ground in 1 scenes" in text for text in warnings_of(tmp_path))


def test_scenes_smaller_than_a_chip_are_said(tmp_path: Path):
    add(tmp_path, "one")
    assert "1 scenes are smaller than a chip of 64 px" in warnings_of(tmp_path, chip_size=64)[0]


@pytest.mark.parametrize(
    ("crs", "size", "name", "pixel"),
    [
        (32632, (10, 10), "EPSG:32632", "10 m"),
        (4326, (1e-4, 1e-4), "EPSG:4326", "0.0001 deg (about 11.1 x 11.1 m)"),
        (None, (1, 1), "none", "unknown"),
        (2263, (3, 3), "EPSG:2263", "3 US survey foot"),
    ],
)
def test_crs_and_pixel_are_put_in_words(crs: int | None, size: tuple[float, float], name: str, pixel: str):
    grid = Grid(CRS.from_epsg(crs) if crs else None, Affine(size[0], 0, 0, 0, -size[1], 0), 10, 10)
    entry = SceneEntry("a", "a.tif", None, grid, (1, 10))
    assert crs_of(entry) == name
    assert pixel_of(entry) == pixel
