import re
from typing import Any

import pytest

from eoseg.datasets.config import AugmentConfig, SceneSource, SplitConfig, as_list, check_chip_size
from eoseg.errors import ConfigError
from eoseg.recipe import Quantity, Time

GIVEN: dict[str, Any] = {"images": "i/*.tif", "labels": "l/*.tif", "classes": ["a", "b"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ""}, "'images' names no file"),
        ({"labels": []}, "'labels' names no file"),
        ({"bands": []}, "'bands' must name bands once each"),
        ({"bands": ["B1", "B1"]}, "'bands' must name bands once each; found B1, B1"),
        ({"band_names": ["x", "x"]}, "'band_names' must name bands once each"),
        ({"classes": ["only"]}, "at least two classes"),
        ({"classes": {"a": "#12", "b": 1}}, "A colour is written '#RRGGBB'"),
        ({"after": []}, "'after' names no file"),
        ({"labels": "l_{date}.tif"}, "'labels' holds {date}, which makes series of 'images'"),
        ({"after": "b_{date}.tif"}, "'after' holds {date}, which makes series of 'images'"),
        ({"images": "i_{date}.tif", "after": "b.tif"}, "so scenes are series, but 'after' makes them pairs"),
        ({"images": ["i_{date}.tif", "b.tif"]}, "mixes series ('i_{date}.tif') and single dates ('b.tif')"),
        ({"images": "{date}/i_{date}.tif"}, "'{date}/i_{date}.tif' holds {date} twice"),
        ({"classes": None}, "Labels are classes or a quantity; found neither"),
        ({"quantity": "height"}, "Labels are classes or a quantity; found both"),
        ({"unit": "m"}, "unit: m is for a quantity, but the labels are classes"),
        ({"classes": None, "quantity": " "}, "'quantity' is empty"),
        (
            {"classes": None, "quantity": "height", "label_encoding": "colors"},
            "label_encoding: colors is for classes, but the labels are a quantity",
        ),
        (
            {"classes": None, "quantity": "height", "attribute": "kind"},
            "attribute: kind is for classes, but the labels are a quantity",
        ),
    ],
)
def test_a_source_that_cannot_work_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        SceneSource(**{**GIVEN, **changes})
    assert "\n" not in str(caught.value)


def test_classes_keep_the_order_of_the_configuration():
    source = SceneSource(**{**GIVEN, "classes": {"z": 4, "a": [1, 2]}})
    assert [entry.name for entry in source.map_classes] == ["z", "a"]
    assert source.map_classes[1].values == (1, 2)


def test_files_say_how_many_dates_a_scene_has():
    assert SceneSource(**GIVEN).time == "single"
    assert SceneSource(**GIVEN, after="j/*.tif").time == "pair"
    assert SceneSource(**{**GIVEN, "images": ["i/*_{date}.tif"]}).time == "series"
    assert SceneSource(**{**GIVEN, "images": "i/*_{any}.tif"}).time == "single"


def test_a_quantity_takes_the_place_of_classes():
    source = SceneSource(**{**GIVEN, "classes": None}, quantity="yield", unit="t/ha")
    assert source.map_classes == ()
    assert source.label_quantity == Quantity("yield", "t/ha")
    assert SceneSource(**GIVEN).label_quantity is None


@pytest.mark.parametrize(("time", "found"), [("single", "single dates"), ("series", "series")])
def test_only_pairs_have_dates_to_swap(time: Time, found: str):
    AugmentConfig(swap_dates=True).check_time("pair")
    AugmentConfig().check_time(time)
    with pytest.raises(ConfigError, match=f"augment.swap_dates exchanges .* but the data are {found}"):
        AugmentConfig(swap_dates=True).check_time(time)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 1.0}, "split.val is a share"),
        ({"test": -0.1}, "split.test is a share"),
        ({"val": 0.5, "test": 0.5}, "leave no training pixels"),
        ({"val": ["a"]}, "split.val lists files, but split.method is 'blocks'"),
        ({"block_size": 0}, "split.block_size must be at least 1"),
        ({"buffer": -1}, "split.buffer must not be negative"),
        ({"method": "files"}, "needs globs on scene ids"),
        ({"method": "files", "val": ["a"], "test": 0.1}, "needs globs on scene ids"),
        ({"method": "files", "val": ["a"], "test": [], "buffer": 5}, "so split.buffer has no effect"),
        ({"method": "files", "val": ["a"], "test": [], "seed": 5}, "so split.seed has no effect"),
        ({"method": "random", "block_size": 64}, "so split.block_size has no effect"),
        ({"method": "random", "buffer": 0}, "so split.buffer has no effect"),
    ],
)
def test_split_options_that_cannot_work_or_have_no_effect_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        SplitConfig(**options)


def test_shares_sum_to_one():
    assert SplitConfig(val=0.3, test=0.1).shares == pytest.approx((0.6, 0.3, 0.1))


def test_the_chosen_options_are_those_that_differ_from_the_defaults():
    assert SplitConfig(val=0.3, seed=0, path="split.json").chosen == {"val": 0.3}


def test_one_pattern_is_a_list_of_one():
    assert as_list("a") == ["a"]
    assert as_list(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("size", [-1, 0, 7])
def test_an_impossible_chip_size_is_refused(size: int):
    with pytest.raises(ConfigError, match="chip_size must be at least 8"):
        check_chip_size(size)


def test_scenes_may_come_without_labels():
    source = SceneSource("images/*.tif")
    assert (source.labels, source.map_classes, source.label_quantity) == (None, (), None)
    assert source.time == "single"
    assert SceneSource("a/*.tif", after="b/*.tif").time == "pair"
    assert SceneSource("a/{date}.tif").time == "series"


@pytest.mark.parametrize(
    "options",
    [
        {"classes": ["a", "b"]},
        {"quantity": "height"},
        {"unit": "m"},
        {"label_encoding": "colors"},
        {"ignore": [0]},
        {"attribute": "kind"},
    ],
)
def test_what_says_something_of_labels_needs_labels(options: dict[str, Any]):
    with pytest.raises(ConfigError, match=f"'{next(iter(options))}' says what labels mean, but there is no"):
        SceneSource("images/*.tif", **options)
