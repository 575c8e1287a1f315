from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeScene

from eoseg.errors import BandError, DataError, GridError
from eoseg.geo.scene import Scene
from eoseg.geo.stack import SceneStack, usable_pixels
from eoseg.geo.window import Window

DATES = (date(2020, 3, 1), date(2020, 6, 1), date(2021, 1, 1))


def values(step: int) -> np.ndarray:
    """Two bands that hold the date, the row and the column of each pixel; one pixel is nodata (0)."""
    rows, cols = np.indices((5, 7))
    held = np.stack([rows, cols]).astype(np.uint16) + 100 * (step + 1)
    held[:, step, step] = 0
    return held


@pytest.fixture
def paths(make_scene: MakeScene) -> list[Path]:
    return [
        make_scene(f"s_{day}.tif", values(n), names=["B1", "B2"], nodata=0) for n, day in enumerate(DATES)
    ]


@pytest.mark.parametrize("open_files", [1, 2, 96])
@pytest.mark.parametrize("window", [Window(0, 0, 5, 7), Window(-2, 3, 4, 9)])
def test_each_date_is_what_its_own_file_gives(paths: list[Path], window: Window, open_files: int):
    with SceneStack(paths, open_files=open_files) as stack:
        for _ in range(2):
            image, valid = stack.read(window)
            assert len(stack._open) <= open_files
    assert (image.shape, valid.shape) == (
        (3, 2, window.height, window.width),
        (3, window.height, window.width),
    )
    assert (image.dtype, valid.dtype) == (np.float32, np.bool_)
    for step, path in enumerate(paths):
        with Scene(path) as scene:
            own_image, own_valid = scene.read(window)
        np.testing.assert_array_equal(image[step], own_image)
        np.testing.assert_array_equal(valid[step], own_valid)


def test_a_stack_says_what_a_scene_says(paths: list[Path]):
    with SceneStack(paths, dates=DATES, bands=["B2"]) as stack, Scene(paths[0], bands=["B2"]) as scene:
        for name in (
            *("grid", "bands", "all_bands", "has_band_names", "nodata", "dtype", "block_shape", "path"),
        ):
            assert getattr(stack, name) == getattr(scene, name)
        assert stack.dates == DATES
        np.testing.assert_array_equal(stack.days, [61, 153, 1])
        assert stack.days.dtype == np.float32
        np.testing.assert_array_equal(stack.read_date(1, Window(2, 2, 1, 1))[0], [[[202]]])


def test_names_and_nodata_of_the_caller_hold_for_all_dates(make_scene: MakeScene):
    paths = [make_scene(f"{n}.tif", values(n)) for n in range(2)]
    with SceneStack(paths, band_names=["x", "y"], bands=["y"], nodata=203) as stack:
        image, valid = stack.read(stack.grid.window)
    assert image.shape[1] == 1
    assert valid[0].all()
    np.testing.assert_array_equal(valid[1], values(1)[1] != 203)


def test_the_type_holds_the_values_of_all_dates(make_scene: MakeScene):
    paths = [make_scene(f"{n}.tif", values(n).astype(kind)) for n, kind in enumerate((np.uint8, np.uint16))]
    with SceneStack(paths) as stack:
        assert stack.dtype == "uint16"


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((5, 8), {}, "size 8 x 5 px instead of 7 x 5 px.*rio warp .*b.tif"),
        (
            (5, 7),
            {"origin": (500_030, 5_400_000)},
            "corners up to 3 px away.*rio warp .*b.tif .*--like .*a.tif",
        ),
    ],
)
def test_dates_on_different_grids_are_refused_with_the_command(
    make_scene: MakeScene, size: tuple[int, int], options: dict[str, Any], message: str
):
    first = make_scene("a.tif", np.ones((5, 7), np.uint8))
    other = make_scene("b.tif", np.ones(size, np.uint8), **options)
    with pytest.raises(GridError, match=message):
        SceneStack([first, other])


def test_dates_with_different_bands_are_refused(make_scene: MakeScene):
    first = make_scene("a.tif", values(0), names=["B1", "B2"])
    other = make_scene("b.tif", values(0), names=["B1", "B3"])
    with pytest.raises(BandError, match=r"the same bands: '.*a.tif' has B1, B2, '.*b.tif' has B1, B3"):
        SceneStack([first, other])


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (DATES[:2], "found 2 dates for 3 files"),
        ((DATES[1], DATES[0], DATES[2]), r"s_2020-06-01.tif' \(2020-03-01\) comes after .* is not later"),
        ((DATES[0], DATES[0], DATES[2]), "is not later"),
    ],
)
def test_dates_that_are_out_of_order_are_refused(paths: list[Path], dates: tuple[date, ...], message: str):
    with pytest.raises(DataError, match=message):
        SceneStack(paths, dates=dates)


def test_a_stack_of_nothing_and_days_of_unknown_dates_are_refused(paths: list[Path]):
    with pytest.raises(DataError, match="at least one file"):
        SceneStack([])
    with (
        SceneStack(paths) as stack,
        pytest.raises(DataError, match=r"dates of the stack of '.*' are not known"),
    ):
        _ = stack.days


def test_a_pair_needs_both_dates_and_a_series_one():
    valid = np.array([[[True, True, False, False]], [[True, False, True, False]]])
    np.testing.assert_array_equal(usable_pixels(valid, "pair"), [[True, False, False, False]])
    np.testing.assert_array_equal(usable_pixels(valid, "series"), [[True, True, True, False]])
    np.testing.assert_array_equal(usable_pixels(valid[0], "single"), valid[0])


def test_the_nodata_policy_and_the_fill_hold_for_all_dates(make_scene: MakeScene):
    held = [values(step) for step in range(2)]
    held[1][0, 4, 4] = 0  # beside the pixel that lacks both bands
    paths = [make_scene(f"{n}.tif", values, nodata=0) for n, values in enumerate(held)]
    with SceneStack(paths, nodata_policy="all", fill=[8, 9]) as stack:
        image, valid = stack.read(Window(4, 4, 1, 1))
    assert valid.all()
    np.testing.assert_array_equal(image[:, :, 0, 0], [[104, 104], [8, 204]])
    with SceneStack(paths) as stack:
        assert stack.read(Window(4, 4, 1, 1))[1].ravel().tolist() == [True, False]
