"""Strata are counted whole, and every pixel of a stratum is as likely as any other."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from conftest import write_scene
from map_factory import CLASSES, write_map
from rasterio.crs import CRS

from eoseg.errors import DataError, GridError
from eoseg.geo import stratified
from eoseg.geo.grid import Grid
from eoseg.geo.pixel_area import PixelArea
from eoseg.geo.stratified import StratifiedMap
from eoseg.recipe import MapClass

INDEXED = tuple(MapClass(entry.name, (number,), entry.color) for number, entry in enumerate(CLASSES))


def some_map(height: int = 60, width: int = 50) -> np.ndarray:
    values = np.random.default_rng(0).choice(3, (height, width), p=(0.7, 0.25, 0.05)).astype(np.uint8)
    values[:4] = 255
    return values


@pytest.fixture
def map_path(tmp_path: Path) -> str:
    return str(write_map(tmp_path / "map.tif", some_map()))


def test_the_classes_of_a_map_are_its_strata(map_path: str) -> None:
    values = some_map()
    with StratifiedMap(map_path, INDEXED) as opened:
        counts = opened.count()
    assert counts.values == (0, 1, 2)
    assert counts.pixels.tolist() == [int((values == k).sum()) for k in range(3)]
    assert counts.areas.tolist() == [100.0 * (values == k).sum() for k in range(3)]
    assert (counts.unmapped, counts.uncovered) == (200, 0)


def test_the_values_of_another_raster_are_strata_where_the_map_has_a_class(
    map_path: str, tmp_path: Path
) -> None:
    values = some_map()
    regions = np.where(np.arange(50) < 20, -7, 70_000)[None].repeat(60, axis=0).astype(np.int32)
    regions[50:, 40:] = 9
    path = str(write_scene(tmp_path / "regions.tif", regions, nodata=9))
    with StratifiedMap(map_path, INDEXED, strata=path) as opened:
        counts = opened.count()
        drawn = opened.draw(counts, (30, 40), seed=1)
    assert counts.values == (-7, 70_000)
    known = values != 255
    assert counts.pixels.tolist() == [int((known & (regions == v)).sum()) for v in (-7, 70_000)]
    assert (counts.unmapped, counts.uncovered) == (200, int((known & (regions == 9)).sum()))
    assert np.bincount(drawn.strata).tolist() == [30, 40]
    assert (regions[drawn.rows, drawn.cols] == np.array([-7, 70_000])[drawn.strata]).all()
    assert (values[drawn.rows, drawn.cols] == drawn.classes).all()


def test_drawn_pixels_are_of_their_stratum_and_none_is_drawn_twice(map_path: str) -> None:
    with StratifiedMap(map_path, INDEXED) as opened:
        counts = opened.count()
        every = int(counts.pixels[2])
        drawn = opened.draw(counts, (40, 30, every), seed=3)
        assert (opened.classes_at(drawn.rows, drawn.cols) == drawn.classes).all()
        assert opened.areas_at(drawn.rows, drawn.cols).tolist() == [100.0] * (70 + every)
    assert (drawn.classes == drawn.strata).all()
    assert (some_map()[drawn.rows, drawn.cols] == drawn.classes).all()
    assert np.bincount(drawn.strata).tolist() == [40, 30, every]
    assert len(set(zip(drawn.rows.tolist(), drawn.cols.tolist(), strict=True))) == 70 + every
    assert drawn.strata.tolist() != sorted(drawn.strata)  # the order tells nothing


def test_strips_change_nothing_and_a_seed_everything(map_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(seed: int) -> list[list[int]]:
        with StratifiedMap(map_path, INDEXED) as opened:
            drawn = opened.draw(opened.count(), (20, 20, 20), seed=seed)
        return [drawn.rows.tolist(), drawn.cols.tolist(), drawn.strata.tolist()]

    whole, other = found(0), found(1)
    assert whole != other
    monkeypatch.setattr(stratified, "_STRIP_ROWS", (7, 7))
    assert found(0) == whole


def test_every_pixel_of_a_stratum_is_as_likely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stratified, "_STRIP_ROWS", (3, 3))
    values = some_map(10, 12)
    times = np.zeros(values.shape, int)
    with StratifiedMap(str(write_map(tmp_path / "map.tif", values)), INDEXED) as opened:
        counts = opened.count()
        for seed in range(400):
            drawn = opened.draw(counts, (10, 5, 1), seed=seed)
            times[drawn.rows, drawn.cols] += 1
    for k, number in enumerate((10, 5, 1)):
        expected = 400 * number / (values == k).sum()
        squares = (times[values == k] - expected) ** 2 / (expected * (1 - number / (values == k).sum()))
        # Chi-square of N - 1 degrees: mean N - 1, variance 2 (N - 1).
        size = (values == k).sum() - 1
        assert abs(squares.sum() * size / (size + 1) - size) < 4 * (2 * size) ** 0.5
    assert times[values == 255].sum() == 0


def test_pixels_of_a_geographic_grid_have_the_area_of_their_row(tmp_path: Path) -> None:
    values = some_map(90, 40)
    transform = Affine(0.5, 0, 10, 0, -0.5, 70)
    path = write_map(tmp_path / "map.tif", values, crs="EPSG:4326", transform=transform)
    with StratifiedMap(str(path), INDEXED) as opened:
        counts = opened.count()
        rows = np.array([80, 5])
        areas = opened.areas_at(rows, np.array([3, 30]))
    each = PixelArea(Grid(CRS.from_epsg(4326), transform, 90, 40)).of_rows(0, 90)
    assert np.allclose(counts.areas, [each[values == k].sum() for k in range(3)], rtol=1e-12)
    assert np.allclose(areas, each[rows, 0])
    assert areas[0] > 1.5 * areas[1]


def test_memory_does_not_grow_with_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stratified, "_STRIP_PIXELS", 2**15)

    def peak(height: int) -> int:
        path = str(write_map(tmp_path / f"{height}.tif", some_map(height, 500)))
        with StratifiedMap(path, INDEXED) as opened:
            tracemalloc.start()
            opened.draw(opened.count(), (9, 9, 9), seed=0)
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most

    peak(200)  # what is allocated once
    assert peak(3000) < 1.3 * peak(400)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((60, 50), np.float32), "1 band.s. of float32; strata are one band of whole numbers"),
        (np.zeros((2, 60, 50), np.uint8), "2 band.s. of uint8"),
        (np.arange(3000, dtype=np.int32).reshape(60, 50), "holds 2800 values or more; expected at most 1000"),
    ],
)
def test_what_is_no_raster_of_strata_is_refused(
    map_path: str, tmp_path: Path, values: np.ndarray, message: str
) -> None:
    path = str(write_scene(tmp_path / "strata.tif", values))
    with pytest.raises(DataError, match=message), StratifiedMap(map_path, INDEXED, strata=path) as opened:
        opened.count()


def test_strata_on_another_grid_are_refused(map_path: str, tmp_path: Path) -> None:
    path = str(write_scene(tmp_path / "strata.tif", np.zeros((60, 51), np.uint8)))
    with pytest.raises(GridError, match="not on the grid"):
        StratifiedMap(map_path, INDEXED, strata=path)


def test_a_truncated_raster_of_strata_is_told(map_path: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 200, (60, 50)).astype(np.uint8)
    path = write_scene(tmp_path / "strata.tif", noise)
    path.write_bytes(path.read_bytes()[:2000])
    with (
        pytest.raises(DataError, match=r"strata\.tif' cannot be read|not a raster"),
        StratifiedMap(map_path, INDEXED, strata=str(path)) as opened,
    ):
        opened.count()
