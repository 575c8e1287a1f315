"""The files of a prediction are brought into order, or refused in one line."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeScene
from predict_factory import BANDS, make_recipe, smooth_noise

from eoseg.errors import BandError, ConfigError, DataError, GridError
from eoseg.geo.scene import Scene
from eoseg.geo.stack import SceneStack
from eoseg.predict import match
from eoseg.predict.dated import find_rasters, match_rasters
from eoseg.predict.options import PredictOptions
from eoseg.recipe import Recipe

IMAGE = smooth_noise(12, 15)
PAIR = make_recipe(time="pair", steps=2)
SERIES = make_recipe(time="series", steps=3)
MARCH, MAY, JULY = "s2_2021-03-05.tif", "s2_2021-05-27.tif", "s2_20210701.tif"


def test_a_single_scene_is_itself() -> None:
    assert find_rasters("a_2020-01-01.tif", "single").paths == ("a_2020-01-01.tif",)
    assert find_rasters(["a.tif"], "single").dates is None


def test_several_scenes_for_one_map_are_refused() -> None:
    with pytest.raises(ConfigError, match="one scene at a time; found 2"):
        find_rasters(["a.tif", "b.tif"], "single")


@pytest.mark.parametrize("scenes", ["a.tif", ["a.tif"], ["a.tif", "b.tif", "c.tif"]])
def test_a_pair_has_two_scenes(scenes: str | list[str]) -> None:
    with pytest.raises(ConfigError, match=r"change between two dates; found [13] scene\(s\)"):
        find_rasters(scenes, "pair")


def test_a_pair_keeps_its_order_and_dates() -> None:
    found = find_rasters([MARCH, JULY], "pair")
    assert found.paths == (MARCH, JULY)
    assert found.dates == (date(2021, 3, 5), date(2021, 7, 1))


@pytest.mark.parametrize("names", [("t1.tif", "t2.tif"), (JULY, "t2.tif"), ("a/" + MAY, "b/" + MAY)])
def test_a_pair_without_two_different_dates_is_taken_as_given(names: tuple[str, str]) -> None:
    found = find_rasters(names, "pair")
    assert (found.paths, found.dates) == (names, None)


def test_a_pair_in_the_wrong_order_is_refused() -> None:
    with pytest.raises(DataError, match=r"'s2_2021-03-05.tif' \(2021-03-05\) is earlier than .* Exchange"):
        find_rasters([JULY, MARCH], "pair")


def test_a_series_is_sorted_by_date() -> None:
    found = find_rasters([JULY, MARCH, MAY], "series")
    assert found.paths == (MARCH, MAY, JULY)
    assert found.dates == (date(2021, 3, 5), date(2021, 5, 27), date(2021, 7, 1))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([MARCH, "mean.tif"], "'mean.tif' has no date in its name"),
        ([MARCH, "x_2021_03_05.tif"], "both of 2021-03-05"),
        (["2020-01-01_2021-01-01.tif"], "expected exactly one"),
    ],
)
def test_names_that_do_not_tell_the_order_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        find_rasters(names, "series")


def test_a_folder_is_its_dated_rasters(tmp_path: Path) -> None:
    for name in (JULY, MARCH, "labels.tif", "notes_2021-01-01.txt"):
        (tmp_path / name).touch()
    found = find_rasters(str(tmp_path), "series")
    assert [Path(path).name for path in found.paths] == [MARCH, JULY]
    (notice,) = found.notices
    assert "also holds labels.tif: no date" in notice


def test_a_folder_without_dated_rasters_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.tif").touch()
    with pytest.raises(DataError, match=r"holds no raster \(.*\) with a date in its name, but 1 without"):
        find_rasters([str(tmp_path)], "series")


def test_a_folder_among_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="among 2 paths. Map one series at a time"):
        find_rasters([MARCH, str(tmp_path)], "series")


def matched(paths: list[Path], recipe: Recipe, **options: object) -> SceneStack | Scene:
    rasters = find_rasters([str(path) for path in paths], recipe.schema.time)
    return match_rasters(rasters, recipe, PredictOptions(**options)).open()


def test_the_files_are_opened_together(make_scene: MakeScene) -> None:
    paths = [make_scene(name, IMAGE // (1 + n), names=BANDS) for n, name in enumerate((MARCH, MAY, JULY))]
    with matched(paths[::-1], SERIES) as scene:
        assert isinstance(scene, SceneStack)
        image, valid = scene.read(scene.grid.window)
        assert scene.days.tolist() == [64, 147, 182]
    np.testing.assert_array_equal(image, [IMAGE, IMAGE // 2, IMAGE // 3])
    assert valid.all()


def test_one_scene_is_opened_alone(make_scene: MakeScene) -> None:
    with matched([make_scene("s.tif", IMAGE, names=BANDS)], make_recipe()) as scene:
        assert isinstance(scene, Scene)


def test_options_hold_for_all_dates(make_scene: MakeScene) -> None:
    values = IMAGE.clip(1)
    values[:, 3] = 9
    paths = [make_scene(name, values) for name in ("a.tif", "b.tif")]
    with matched(paths, PAIR, bands=BANDS[::-1], nodata=9) as scene:
        image, valid = scene.read(scene.grid.window)
    np.testing.assert_array_equal(valid, np.broadcast_to(~(values == 9).any(axis=0), (2, 12, 15)))
    np.testing.assert_array_equal(image[:, :, valid[0]], np.stack([values[::-1, valid[0]]] * 2))


def test_other_grids_are_refused_with_the_command_that_repairs(make_scene: MakeScene) -> None:
    before = make_scene("a.tif", IMAGE, names=BANDS)
    after = make_scene("b.tif", IMAGE, names=BANDS, origin=(500_005.0, 5_400_000.0))
    with pytest.raises(GridError, match=r"rio warp .*b.tif .*b_aligned.tif --like .*a.tif"):
        matched([before, after], PAIR)


def test_a_missing_band_of_any_date_is_refused(make_scene: MakeScene) -> None:
    paths = [make_scene(MARCH, IMAGE, names=BANDS), make_scene(MAY, IMAGE, names=("B02", "B03", "B08"))]
    with pytest.raises(BandError, match=r"2021-05-27.tif' has the bands .* B04 is missing"):
        matched(paths, SERIES)


def test_values_of_another_scale_on_the_last_date_are_refused(make_scene: MakeScene) -> None:
    paths = [make_scene(name, IMAGE, names=BANDS) for name in ("a.tif", "b.tif")]
    paths[1] = make_scene("b.tif", (IMAGE / 255).astype(np.float32), names=BANDS)
    with pytest.raises(BandError, match="times smaller"):
        matched(paths, PAIR)
    with matched(paths, PAIR, allow_range_mismatch=True) as scene:
        assert scene.grid.height == 12


def test_ranges_of_a_long_series_are_looked_at_on_a_few_dates(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(match, "range_misfit", lambda scene, recipe: looked.append(Path(scene.path).name))
    names = [f"d_2021-01-{day:02}.tif" for day in range(1, 12)]
    with matched([make_scene(name, IMAGE, names=BANDS) for name in names], SERIES) as scene:
        assert len(scene) == 11
    assert looked == [names[0], names[5], names[10]]


def test_dates_that_must_be_read_differently_are_refused(make_scene: MakeScene) -> None:
    recipe = make_recipe(time="pair", steps=2, nodata=7.0)
    paths = [make_scene("a.tif", IMAGE, names=BANDS, nodata=0), make_scene("b.tif", IMAGE, names=BANDS)]
    with pytest.raises(DataError, match=r"nodata value of the file itself, '.*b.tif' 7\. .* --nodata"):
        matched(paths, recipe)
    with matched(paths, recipe, nodata=0) as scene:
        assert scene.nodata == 0


def test_notices_of_many_dates_are_told_once(make_scene: MakeScene) -> None:
    recipe = make_recipe(time="series", steps=3, nodata=7.0)
    paths = [str(make_scene(name, IMAGE, names=BANDS)) for name in (MARCH, MAY, JULY)]
    found = match_rasters(find_rasters(paths, "series"), recipe, PredictOptions())
    first, rest = found.notices
    assert "2021-03-05.tif' declares no nodata value: 7 is taken" in first
    assert rest == "The same holds for 2 more of the dates."


def test_the_nodata_policy_holds_for_all_dates(make_scene: MakeScene) -> None:
    gappy = IMAGE.clip(min=1)
    gappy[0, 0, 0] = 0
    paths = [make_scene(name, gappy, names=BANDS, nodata=0) for name in (MARCH, MAY, JULY)]
    rasters = find_rasters([str(path) for path in paths], "series")
    for policy, share in (("any", 179 / 180), ("all", 1)):
        with match_rasters(rasters, SERIES, PredictOptions(nodata_policy=policy)).open() as stack:
            image, valid = stack.read(stack.grid.window)
        assert valid.mean() == pytest.approx(share)
        assert (image[:, 0, 0, 0] == (127.5 if policy == "all" else 0)).all()
