"""Bands are matched by name, and a mismatch is refused, not guessed."""

from pathlib import Path

import numpy as np
import pytest
from conftest import MakeScene
from predict_factory import BANDS, make_recipe, smooth_noise

from eoseg.errors import BandError, DataError
from eoseg.geo.scene import Scene
from eoseg.predict.match import match_scene, range_misfit

IMAGE = smooth_noise(40, 50)
REFLECTANCE = (0, 200, 4000, 10_000)


def order(path: Path, recipe=None, **options: object) -> list[int]:
    """Which band of `IMAGE` stands at each place of what the network gets."""
    with match_scene(str(path), recipe or make_recipe(), **options).open() as scene:
        image, _ = scene.read(scene.grid.window)
    return [next(n for n, band in enumerate(IMAGE) if (band == plane).all()) for plane in image]


def test_bands_are_matched_by_name_in_any_order(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=["B04", "B02", "B03"])
    assert order(path) == [1, 2, 0]


def test_more_bands_than_needed_are_fine(make_scene: MakeScene) -> None:
    extra = np.concatenate([IMAGE[:1], IMAGE])
    path = make_scene("s.tif", extra, names=["B01", *BANDS], photometric="MINISBLACK")
    assert order(path) == [0, 1, 2]


def test_bands_can_be_named_on_the_way(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE)
    assert order(path, bands=("B03", "B02", "B04")) == [1, 0, 2]


def test_names_on_the_way_go_before_those_of_the_file(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=["B02", "B03", "B04"])
    assert order(path, bands=("B04", "B03", "B02")) == [2, 1, 0]


def test_names_for_another_number_of_bands_are_refused(make_scene: MakeScene) -> None:
    with pytest.raises(BandError, match="has 3 bands; the 2 band names given"):
        match_scene(str(make_scene("s.tif", IMAGE)), make_recipe(), bands=("B02", "B03"))


def test_a_missing_band_is_refused_with_both_lists(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, names=["B02", "B03", "B08"])
    with pytest.raises(BandError, match=r"B02, B03, B08; .* needs B02, B03, B04 and B04 is missing.*--bands"):
        match_scene(str(path), make_recipe())


def test_a_band_missing_from_the_names_given_is_refused(make_scene: MakeScene) -> None:
    with pytest.raises(BandError, match="'B04' is needed"):
        match_scene(str(make_scene("s.tif", IMAGE)), make_recipe(), bands=("B02", "B03", "B8A"))


def test_unnamed_bands_are_refused_where_training_had_names(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", IMAGE, photometric="MINISBLACK")
    with pytest.raises(BandError, match=r"3 bands without names .*--bands B02,B03,B04"):
        match_scene(str(path), make_recipe())


def test_unnamed_bands_are_taken_in_order_where_training_had_none(make_scene: MakeScene) -> None:
    recipe = make_recipe(("B04", "B02"), file_bands=BANDS, bands_named_by_config=True)
    path = make_scene("s.tif", IMAGE)  # red, green and blue by GDAL's default
    assert order(path, recipe) == [2, 0]
    (notice,) = match_scene(str(path), recipe).notices
    assert "taken in the order of the training files, B02, B03, B04" in notice


def test_another_number_of_unnamed_bands_is_refused(make_scene: MakeScene) -> None:
    recipe = make_recipe(file_bands=(*BANDS, "B08"), bands_named_by_config=True)
    with pytest.raises(BandError, match=r"3 bands without names; .* files of 4 bands .*--bands"):
        match_scene(str(make_scene("s.tif", IMAGE)), recipe)


def test_placeholder_names_count_as_no_names(make_scene: MakeScene) -> None:
    names = ("band_1", "band_2", "band_3")
    path = make_scene("s.tif", IMAGE, photometric="MINISBLACK")
    assert order(path, make_recipe(names, file_bands=names)) == [0, 1, 2]
    with pytest.raises(BandError, match=r"3 bands without names; .* files of 4 bands"):
        match_scene(str(path), make_recipe(names, file_bands=(*names, "band_4")))


def test_a_missing_scene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        match_scene(str(tmp_path / "s.tif"), make_recipe())


def valid_share(path: Path, recipe, **options: object) -> float:
    with match_scene(str(path), recipe, **options).open() as scene:
        return float(scene.read(scene.grid.window)[1].mean())


def test_nodata_comes_from_the_option_then_the_file_then_training(make_scene: MakeScene) -> None:
    values = np.full((3, 10, 10), 100, np.uint8)
    values[:, :5] = 7
    values[:, :1] = 9
    declared = make_scene("a.tif", values, names=BANDS, nodata=9)
    plain = make_scene("b.tif", values, names=BANDS)
    trained = make_recipe(nodata=7.0)
    assert valid_share(declared, trained, nodata=100) == 0.5
    assert valid_share(declared, trained) == 0.9
    assert valid_share(plain, trained) == pytest.approx(0.6)
    assert valid_share(plain, make_recipe()) == 1
    assert "no nodata value: 7 is taken, as in training" in match_scene(str(plain), trained).notices[0]
    assert match_scene(str(declared), trained).notices == ()


def misfit(make_scene: MakeScene, values: np.ndarray, recipe=None) -> str | None:
    chosen = recipe or make_recipe(dtype="uint16", values=REFLECTANCE)
    with Scene(make_scene("s.tif", values, names=BANDS)) as scene:
        return range_misfit(scene, chosen)


@pytest.mark.parametrize("factor", [16, 1, 0.5])
def test_scenes_of_the_same_scale_pass(make_scene: MakeScene, factor: float) -> None:
    assert misfit(make_scene, (IMAGE * factor).astype(np.uint16)) is None


def test_a_dark_scene_passes(make_scene: MakeScene) -> None:
    water = np.random.default_rng(0).integers(80, 200, (3, 40, 40)).astype(np.uint16)
    assert misfit(make_scene, water) is None


@pytest.mark.parametrize("value", [0, 1, 9999])
def test_a_constant_scene_inside_the_range_passes(make_scene: MakeScene, value: int) -> None:
    assert misfit(make_scene, np.full((3, 20, 20), value, np.uint16)) is None


def test_a_scene_without_values_passes_here(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", np.zeros((3, 9, 9), np.uint8), names=BANDS, nodata=0)
    assert match_scene(str(path), make_recipe()).notices == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((IMAGE / 255).astype(np.float32), r"\(float32\) .* times smaller than .* \(uint16\)"),
        (IMAGE.astype(np.uint8), r"\(uint8\) .* times smaller"),
        ((IMAGE * 250.0).astype(np.float32) + 30_000, "far outside the training values"),
        (IMAGE.astype(np.int16) - 20_000, "far outside the training values"),
    ],
)
def test_values_of_another_scale_are_refused(make_scene: MakeScene, values: np.ndarray, words: str) -> None:
    values[:, 0, 0] = values[:, 0, 0] + 1  # not constant
    found = misfit(make_scene, values)
    assert found is not None
    path, trained = make_scene("s.tif", values, names=BANDS), make_recipe(dtype="uint16", values=REFLECTANCE)
    with pytest.raises(BandError, match=words):
        match_scene(str(path), trained)


def test_reflectance_against_scaled_reflectance_is_refused_both_ways(make_scene: MakeScene) -> None:
    trained = make_recipe(dtype="float32", values=(0.0, 0.02, 0.4, 1.0))
    found = misfit(make_scene, IMAGE.astype(np.uint16) * 16, trained)
    assert found is not None
    assert "values" in found


def test_decibels_may_be_negative(make_scene: MakeScene) -> None:
    trained = make_recipe(dtype="float32", values=(-40, -25, -5, 5))
    assert misfit(make_scene, (IMAGE / 255 * 20 - 25).astype(np.float32), trained) is None
    linear = (IMAGE / 255 / 5).astype(np.float32)
    assert "times smaller" in str(misfit(make_scene, linear, trained))


def test_a_mismatch_can_be_allowed(make_scene: MakeScene) -> None:
    path = make_scene("s.tif", (IMAGE / 255).astype(np.float32), names=BANDS)
    recipe = make_recipe(dtype="uint16", values=REFLECTANCE)
    with pytest.raises(BandError, match="--allow-range-mismatch"):
        match_scene(str(path), recipe)
    (notice,) = match_scene(str(path), recipe, allow_range_mismatch=True).notices
    assert "because a mismatch is allowed" in notice


def test_what_is_missing_in_a_valid_pixel_is_the_training_mean(make_scene: MakeScene) -> None:
    values = np.full((3, 2, 2), 100, np.uint8)
    values[1, 0, 0] = 0
    path = make_scene("s.tif", values, names=BANDS, nodata=0)
    recipe = make_recipe(("B03", "B02"))
    with match_scene(str(path), recipe, nodata_policy="all").open() as scene:
        image, valid = scene.read(scene.grid.window)
    assert valid.all()
    np.testing.assert_array_equal(image[:, 0, 0], [127.5, 100])
    assert valid_share(path, recipe) == 0.75
