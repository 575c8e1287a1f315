"""Bands in files of their own are one scene on the finest grid, and what does not fit is refused."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import MakeScene

from eoseg.errors import BandError, DataError, EosegError, GridError
from eoseg.geo.bandfolder import band_vrt, find_bands
from eoseg.geo.scene import Scene
from eoseg.geo.vrt import write_vrt
from eoseg.geo.window import Window

TILE = "T32UQD_20210527T102021"


def ramp(pixel: float, size: int = 120) -> np.ndarray:
    """Values that grow by 2 per metre to the east and 3 to the south: interpolation gives them exactly."""
    count = round(size / pixel)
    at = (np.arange(count) + 0.5) * pixel
    return (1000 + 3 * at[:, None] + 2 * at).astype(np.float32)


@pytest.fixture
def product(make_scene: MakeScene, tmp_path: Path) -> Path:
    """A Sentinel-2 product with all three resolutions; B02 is there in each."""
    for folder, pixel, bands in (
        ("R10m", 10, ("B02", "B04")),
        ("R20m", 20, ("B02", "B8A", "SCL")),
        ("R60m", 60, ("B02", "B8A", "B09")),
    ):
        for band in bands:
            name = f"s2/IMG_DATA/{folder}/{TILE}_{band}_{pixel}m.tif"
            make_scene(name, ramp(pixel) + 1000 * (band != "B02"), pixel=(pixel, pixel))
    make_scene("s2/QI_DATA/MSK_QUALIT_B02.tif", ramp(10), pixel=(10, 10))
    (tmp_path / "s2" / "MTD_B02.xml").touch()
    return tmp_path / "s2"


def read(
    folder: Path | list[str], wanted: list[str], tmp_path: Path, window: Window | None = None, **options
):
    source = str(folder) if isinstance(folder, Path) else folder
    path = write_vrt(band_vrt(find_bands(source, wanted, **options)), tmp_path / "bands.vrt")
    with Scene(path, bands=wanted) as scene:
        return scene.grid, *scene.read(window or scene.grid.window)


def test_the_finest_file_of_each_band_is_found(product: Path) -> None:
    found = find_bands(str(product), ["B8A", "B02", "B09"])
    assert [Path(entry.raster.path).name for entry in found] == [
        f"{TILE}_{name}.tif" for name in ("B8A_20m", "B02_10m", "B09_60m")
    ]


def test_coarse_bands_are_interpolated_onto_the_finest_grid(product: Path, tmp_path: Path) -> None:
    grid, image, valid = read(product, ["B09", "B8A", "B02"], tmp_path)
    assert (grid.pixel_size, grid.height, grid.width) == ((10, 10), 12, 12)
    assert valid.all()
    np.testing.assert_array_equal(image[2], ramp(10))
    np.testing.assert_allclose(image[1, 1:-1, 1:-1], ramp(10)[1:-1, 1:-1] + 1000)
    np.testing.assert_allclose(image[0, 3:-3, 3:-3], ramp(10)[3:-3, 3:-3] + 1000)


def test_the_grid_is_that_of_the_finest_band_needed(product: Path, tmp_path: Path) -> None:
    grid, image, _ = read(product, ["B09", "B8A"], tmp_path)
    assert grid.pixel_size == (20, 20)
    np.testing.assert_array_equal(image[1], ramp(20) + 1000)


def test_any_window_equals_the_cut_of_the_whole(product: Path, tmp_path: Path) -> None:
    _, whole, _ = read(product, ["B09", "B02"], tmp_path)
    for row, col, height, width in ((0, 0, 5, 5), (3, 1, 4, 7), (7, 7, 5, 5), (5, 5, 1, 1)):
        _, part, _ = read(product, ["B09", "B02"], tmp_path, Window(row, col, height, width))
        np.testing.assert_array_equal(part, whole[:, row : row + height, col : col + width])


def test_a_class_raster_is_left_out_unless_wanted(product: Path, tmp_path: Path) -> None:
    assert [entry.name for entry in find_bands(str(product), ["B02", "SCL"])] == ["B02", "SCL"]


@pytest.mark.parametrize("given", ["declared", "said"])
def test_nodata_of_a_coarse_band_does_not_leak(make_scene: MakeScene, tmp_path: Path, given: str) -> None:
    coarse = np.full((6, 6), 5000, np.uint16)
    coarse[:, :3] = 0
    nodata = 0 if given == "declared" else None
    make_scene("p/x_B8A.tif", coarse, pixel=(20, 20), nodata=nodata)
    make_scene("p/x_B02.tif", np.full((12, 12), 7, np.uint16), pixel=(10, 10), nodata=nodata)
    _, image, valid = read(
        tmp_path / "p", ["B02", "B8A"], tmp_path, **({"nodata": 0.0} if given == "said" else {})
    )
    assert set(np.unique(image[1])) == {0, 5000}
    assert not valid[:, :5].any()
    assert valid[:, 6:].all()


def test_masks_and_scales_of_the_files_are_kept(make_scene: MakeScene, tmp_path: Path) -> None:
    paths = [make_scene(f"p/{band}.tif", np.full((4, 4), 9, np.uint8)) for band in ("B1", "B2")]
    for place, path in enumerate(paths):
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(np.indices((4, 4))[place] > 0)
            dataset.scales, dataset.offsets = (2.0 + place,), (1.0,)
    _, image, valid = read(tmp_path / "p", ["B1", "B2"], tmp_path)
    np.testing.assert_array_equal(valid, np.indices((4, 4)).min(axis=0) > 0)
    assert image[:, 3, 3].tolist() == [19, 28]


def test_bands_of_a_file_with_descriptions_and_of_given_files_are_found(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    stack = make_scene("ten.tif", np.stack([ramp(10)] * 2), names=["B02", "B03"])
    other = make_scene("land_b8a.tif", ramp(20), pixel=(20, 20))
    _, image, _ = read([str(stack), str(other)], ["B03", "B8A"], tmp_path)
    np.testing.assert_array_equal(image[0], ramp(10))
    with pytest.raises(BandError, match="'2 files' has no file of the band 'B04' among its 2 rasters"):
        find_bands([str(stack), str(other)], ["B04"])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, BandError, "has two files of the band 'B02': '.*B02_a.tif' and '.*B02_b.tif'"),
        ({"crs": "EPSG:32633", "pixel": (20, 20)}, GridError, "have the CRS EPSG:32632 and EPSG:32633"),
        ({"origin": (500_005, 5_400_000), "pixel": (20, 20)}, GridError, "lie 0.5 columns and 0 rows apart"),
        ({"pixel": (8, 8)}, GridError, "do not cover the same area: the second ends after 9.6 of 12 rows"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    make_scene: MakeScene, tmp_path: Path, options: dict, error: type[EosegError], words: str
) -> None:
    name = "B02_b" if not options else "B8A"
    make_scene("p/B02_a.tif", ramp(10))
    if options.get("pixel") == (8, 8):  # the finest band is the smaller one
        make_scene("p/B02_a.tif", ramp(10), pixel=(8, 8))
        options, values = {"pixel": (9.6, 9.6)}, ramp(10)[:8, :8]
        words = "do not cover the same area: the second ends after 9.6 of 12 rows"
    else:
        values = ramp(options.get("pixel", (10,))[0])
    make_scene(f"p/{name}.tif", values, **options)
    with pytest.raises(error, match=words):
        band_vrt(find_bands(str(tmp_path / "p"), ["B02"] if name == "B02_b" else ["B02", "B8A"]))


def test_a_folder_without_rasters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no raster"):
        find_bands(str(tmp_path), ["B02"])
