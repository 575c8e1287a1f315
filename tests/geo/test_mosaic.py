"""Several files are one scene: every pixel comes from the right file, and gaps are invalid."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from conftest import MakeScene
from rasterio.enums import ColorInterp
from rasterio.rio.main import main_group

from eoseg.errors import BandError, DataError, GridError
from eoseg.geo.mosaic import mosaic_vrt
from eoseg.geo.scene import Scene
from eoseg.geo.vrt import write_vrt
from eoseg.geo.window import Window

LEFT, TOP = 500_000.0, 5_400_000.0
NAMES = ["B02", "B03"]


def piece(value: int, rows: int = 4, cols: int = 5, dtype: str = "uint16") -> np.ndarray:
    """Two bands: 100 times the value plus row and column, in the second band 1000 more."""
    row, col = np.indices((rows, cols))
    one = 100 * value + 10 * row + col
    return np.stack([one, one + 1000]).astype(dtype)


def read(tmp_path: Path, *paths: Path, window: Window | None = None, **options: float):
    path = write_vrt(mosaic_vrt([str(path) for path in paths], **options), tmp_path / "m.vrt")
    with Scene(path) as scene:
        return scene.grid, *scene.read(window or scene.grid.window)


def two(make_scene: MakeScene, one: np.ndarray, other: np.ndarray, **options) -> tuple[Path, Path]:
    """The second lies 3 px to the right and 2 px down."""
    first = make_scene("a.tif", one, names=NAMES, **options)
    second = make_scene("b.tif", other, names=NAMES, origin=(LEFT + 30, TOP - 20), **options)
    return first, second


def expected(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    whole = np.zeros((2, 6, 8))
    whole[:, :4, :5] = one
    whole[:, 2:, 3:] = other
    return whole


@pytest.mark.parametrize("options", [{"nodata": 0}, {}])
def test_later_files_lie_over_earlier_ones_and_gaps_are_invalid(
    make_scene: MakeScene, tmp_path: Path, options: dict[str, float]
) -> None:
    one, other = piece(1), piece(2)
    grid, image, valid = read(tmp_path, *two(make_scene, one, other, **options))
    assert (grid.bounds, grid.height, grid.width) == ((LEFT, TOP - 60, LEFT + 80, TOP), 6, 8)
    np.testing.assert_array_equal(image, expected(one, other))
    np.testing.assert_array_equal(valid, expected(one, other)[0] > 0)


def test_the_order_decides_and_the_grid_does_not_depend_on_it(make_scene: MakeScene, tmp_path: Path) -> None:
    one, other = piece(1), piece(2)
    first, second = two(make_scene, one, other)
    grid, image, _ = read(tmp_path, second, first)
    assert grid.bounds == (LEFT, TOP - 60, LEFT + 80, TOP)
    np.testing.assert_array_equal(image[:, :4, :5], one)
    np.testing.assert_array_equal(image[:, 4:, 3:], other[:, 2:])


@pytest.mark.parametrize("kind", ["nodata", "nan", "mask", "alpha", "given"])
def test_what_is_invalid_in_a_later_file_shows_the_earlier(
    make_scene: MakeScene, tmp_path: Path, kind: str
) -> None:
    one, other = (
        piece(1, dtype="float32" if kind == "nan" else "uint16"),
        piece(2, dtype="float32" if kind == "nan" else "uint16"),
    )
    whole = expected(one, other)
    whole[:, 2, 3], whole[:, 5, 7] = one[:, 2, 3], 0  # two holes in the later file, one over the earlier
    options: dict = {}
    if kind in ("nodata", "given", "nan"):
        other[:, 0, 0] = other[:, 3, 4] = np.nan if kind == "nan" else 7
        options = {"nodata": 7} if kind == "nodata" else {}
    if kind == "alpha":
        one, other = (np.concatenate([piece, np.full((1, 4, 5), 65535, "uint16")]) for piece in (one, other))
        other[2, 0, 0] = other[2, 3, 4] = 0
    first, second = two(make_scene, one, other.astype(one.dtype), **options)
    for path in (first, second) if kind == "alpha" else ():
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = (ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha)
    if kind == "mask":
        hole = np.ones((4, 5), bool)
        hole[0, 0] = hole[3, 4] = False
        with rasterio.open(second, "r+") as dataset:
            dataset.write_mask(hole)
    _, image, valid = read(tmp_path, first, second, **({"nodata": 7.0} if kind == "given" else {}))
    np.testing.assert_array_equal(image, whole)
    np.testing.assert_array_equal(valid, whole[0] > 0)


def test_any_window_equals_the_cut_of_the_whole(make_scene: MakeScene, tmp_path: Path) -> None:
    paths = two(make_scene, piece(1), piece(2))
    _, image, _ = read(tmp_path, *paths, window=Window(-1, 2, 5, 9))
    padded = np.pad(expected(piece(1), piece(2)), ((0, 0), (1, 0), (0, 3)))
    np.testing.assert_array_equal(image, padded[:, :5, 2:])


def test_names_scale_offset_and_type_are_kept(make_scene: MakeScene, tmp_path: Path) -> None:
    paths = two(make_scene, piece(1), piece(2))
    for path in paths:
        with rasterio.open(path, "r+") as dataset:
            dataset.scales, dataset.offsets = (0.5, 0.25), (-1.0, 3.0)
    vrt = write_vrt(mosaic_vrt([str(path) for path in paths]), tmp_path / "m.vrt")
    with Scene(vrt, bands=["B03"]) as scene:
        assert (scene.all_bands, scene.dtype) == (NAMES, "uint16")
        np.testing.assert_array_equal(scene.read(Window(0, 0, 4, 3))[0][0], piece(1)[1, :, :3] * 0.25 + 3)


@pytest.mark.parametrize("matrix", [(6, 8, -8, 6), (10, 0, 0, 10)], ids=["turned", "south-up"])
def test_turned_and_south_up_files_are_laid_side_by_side(
    make_scene: MakeScene, tmp_path: Path, matrix: tuple[float, ...]
) -> None:
    a, d, b, e = matrix
    place = Affine(a, b, LEFT, d, e, TOP)
    first = make_scene("a.tif", piece(1), transform=place, names=NAMES)
    second = make_scene("b.tif", piece(2), transform=place @ Affine.translation(3, 2), names=NAMES)
    grid, image, _ = read(tmp_path, first, second)
    assert grid.transform.almost_equals(place)
    np.testing.assert_array_equal(image, expected(piece(1), piece(2)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"origin": (LEFT + 34, TOP)}, "pixels shifted by 0.4 columns and 0 rows"),
        ({"pixel": (20.0, 20.0)}, "pixels of 20 x 20 instead of 10 x 10"),
        ({"crs": "EPSG:32633", "origin": (59_000.0, TOP)}, "CRS EPSG:32633 instead of EPSG:32632"),
        ({"transform": Affine(6, -8, LEFT, 8, 6, TOP)}, "pixels of 10 x 10 instead of 10 x 10, or turned"),
    ],
)
def test_a_file_on_other_pixels_is_refused_with_a_command_that_repairs_it(
    make_scene: MakeScene, tmp_path: Path, options: dict, words: str
) -> None:
    first = make_scene("a.tif", piece(1), names=NAMES, nodata=0)
    other = make_scene("b.tif", piece(2), names=NAMES, nodata=0, **options)
    with pytest.raises(GridError, match=f"b.tif' does not lie on the pixels of '.*a.tif': {words}") as raised:
        mosaic_vrt([str(first), str(other)])
    command = shlex.split(str(raised.value).partition("To repair: rio ")[2])
    done = CliRunner().invoke(main_group, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    mosaic_vrt([str(first), str(tmp_path / "b_aligned.tif")])


@pytest.mark.parametrize(
    ("names", "dtype", "nodata", "error", "words"),
    [
        (["B02", "B04"], "uint16", None, BandError, "'.*a.tif' has B02, B03, '.*b.tif' has B02, B04"),
        (["B02"], "uint16", None, BandError, "'.*a.tif' has B02, B03, '.*b.tif' has B02. Write"),
        (NAMES, "int16", None, DataError, "has the type uint16 in '.*a.tif' and int16 in '.*b.tif'"),
        (
            NAMES,
            "uint16",
            7,
            DataError,
            "has the nodata value None in .* and 7.0 in .*Give one with --nodata",
        ),
    ],
)
def test_files_that_are_not_alike_are_refused(
    make_scene: MakeScene, names: list[str], dtype: str, nodata: float | None, error: type, words: str
) -> None:
    first = make_scene("a.tif", piece(1), names=NAMES)
    other = make_scene("b.tif", piece(2, dtype=dtype)[: len(names)], names=names, nodata=nodata)
    with pytest.raises(error, match=words):
        mosaic_vrt([str(first), str(other)])


def test_a_mosaic_of_nothing_and_one_without_places_are_refused(make_scene: MakeScene) -> None:
    with pytest.raises(DataError, match="at least one file"):
        mosaic_vrt([])
    path = str(make_scene("a.tif", piece(1), crs=None))
    with pytest.raises(GridError, match="has no CRS, so its place in a mosaic is not known"):
        mosaic_vrt([path, path])
