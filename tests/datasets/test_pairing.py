import re
from pathlib import Path
from typing import Any

import pytest

from eoseg.datasets.config import SceneSource
from eoseg.datasets.pairing import find_scenes, name_scenes, pair_labels, some_of
from eoseg.datasets.patterns import find_files
from eoseg.errors import ConfigError, DataError, EosegError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def source(folder: Path, images: Any, after: Any = None) -> SceneSource:
    return SceneSource(images, "l.tif", ["a", "b"], after=after, root=str(folder))


def names_of(folder: Path, images: Any, after: Any = None) -> list[list[str]]:
    """The files of each scene, relative to the folder."""
    scenes = find_scenes(source(folder, images, after))
    return [[Path(path).relative_to(folder).as_posix() for path in scene.paths] for scene in scenes]


def test_each_image_is_a_scene_of_its_own(tmp_path: Path):
    touch(tmp_path, "a.tif", "b.tif")
    assert names_of(tmp_path, "*.tif") == [["a.tif"], ["b.tif"]]


def test_earlier_and_later_images_pair_by_what_the_wildcards_match(tmp_path: Path):
    touch(tmp_path, *(f"{site}/{n}_im{date}.png" for site in "xy" for n in (1, 2) for date in (1, 2)))
    assert names_of(tmp_path, "*/*_im1.png", "*/*_im2.png") == [
        [f"{site}/{n}_im1.png", f"{site}/{n}_im2.png"] for site in "xy" for n in (1, 2)
    ]


def test_one_pair_needs_no_like_names(tmp_path: Path):
    touch(tmp_path, "t1.tif", "t2.tif")
    (scene,) = find_scenes(source(tmp_path, "t1.tif", "t2.tif"))
    assert scene.paths == (str(tmp_path / "t1.tif"), str(tmp_path / "t2.tif"))
    assert scene.dates == ()
    assert name_scenes([scene]) == ["t1"]


def test_every_misfit_of_dates_is_named_in_one_message(tmp_path: Path):
    touch(tmp_path, "A/1.tif", "A/2.tif", "B/2.tif", "B/3.tif", "B/2.png")
    with pytest.raises(DataError) as caught:
        find_scenes(source(tmp_path, "A/*.tif", ["B/*.tif", "B/*.png"]))
    message = str(caught.value)
    assert message.startswith("Earlier and later images do not pair up: 2 later images for one earlier image")
    assert re.search(r"1 earlier images without later image: '.*A/1.tif'", message)
    assert re.search(r"1 later images without earlier image: '.*B/3.tif'", message)
    assert "wildcards of 'images' and of 'after' match" in message


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (("s_2020-06-01.tif", "s_2018-06-01.tif"), ("s_2020*.tif", "s_2018*.tif")),
        (("2020-06-01/s.tif", "2018-06-01/s.tif"), ("2020*/s.tif", "2018*/s.tif")),
    ],
)
def test_dates_in_the_wrong_order_are_refused(
    tmp_path: Path, names: tuple[str, str], patterns: tuple[str, str]
):
    touch(tmp_path, *names)
    with pytest.raises(
        DataError, match=r"'.*2018.*' \(2018-06-01\) is earlier than .* Exchange 'images' and"
    ):
        find_scenes(source(tmp_path, *patterns))
    (scene,) = find_scenes(source(tmp_path, *reversed(patterns)))
    assert [str(date) for date in scene.dates] == ["2018-06-01", "2020-06-01"]


def test_names_with_one_date_or_several_say_nothing_of_the_order(tmp_path: Path):
    touch(tmp_path, "a_2020-06-01.tif", "b.tif", "c_2018-01-01_2018-02-01.tif")
    for after in ("b.tif", "c_*.tif"):
        (scene,) = find_scenes(source(tmp_path, "a_*.tif", after))
        assert scene.dates == ()


def test_an_image_is_not_its_own_later_date(tmp_path: Path):
    touch(tmp_path, "a.tif")
    with pytest.raises(ConfigError, match="is found by 'images' and by 'after'"):
        find_scenes(source(tmp_path, "a.tif", "a.tif"))


def test_a_series_is_sorted_by_date_and_named_without_it(tmp_path: Path):
    touch(
        tmp_path, "s_1/S2_20200601.tif", "s_1/S2_2019-12-01.tif", "s_2/S2_20200102.tif", "s_2/S2_20200101.tif"
    )
    scenes = find_scenes(source(tmp_path, "s_*/S2_{date}.tif"))
    assert names_of(tmp_path, "s_*/S2_{date}.tif") == [
        ["s_1/S2_2019-12-01.tif", "s_1/S2_20200601.tif"],
        ["s_2/S2_20200101.tif", "s_2/S2_20200102.tif"],
    ]
    assert name_scenes(scenes) == ["s_1/S2", "s_2/S2"]
    assert [[str(date) for date in scene.dates] for scene in scenes] == [
        ["2019-12-01", "2020-06-01"],
        ["2020-01-01", "2020-01-02"],
    ]


def test_text_that_differs_from_date_to_date_does_not_divide_a_series(tmp_path: Path):
    touch(tmp_path, "CB_2018-08-29_2018-09-13_EVI.tif", "CB_2018-09-14_2018-09-29_EVI.tif")
    (scene,) = find_scenes(source(tmp_path, "CB_{date}_{any}_EVI.tif"))
    assert [str(date) for date in scene.dates] == ["2018-08-29", "2018-09-14"]
    assert name_scenes([scene]) == ["CB_EVI"]


def test_patterns_make_series_of_their_own(tmp_path: Path):
    touch(tmp_path, *(f"{part}/S2_{day}.tif" for part in ("train", "test") for day in (20200101, 20200102)))
    scenes = find_scenes(source(tmp_path, ["train/S2_{date}.tif", "test/S2_{date}.tif"]))
    assert name_scenes(scenes) == ["train/S2", "test/S2"]
    touch(tmp_path, "train.tif", "test.tif", "labels/train/S2.tif", "labels/test/S2.tif")
    labels = find_files(["labels/train/*.tif", "labels/test/*.tif"], str(tmp_path), option="labels")
    scenes = find_scenes(source(tmp_path, ["train/*_{date}.tif", "test/*_{date}.tif"]))
    for scene, label in pair_labels(scenes, labels):
        assert Path(scene.paths[0]).parent.name == Path(label.path).parent.name


def test_a_series_of_bare_dates_is_named_by_its_folder(tmp_path: Path):
    touch(tmp_path, "site/2020-01-01.tif", "site/2020-01-02.tif")
    assert name_scenes(find_scenes(source(tmp_path / "site", "{date}.tif"))) == ["site"]


ONE, TWO = (
    ("s_1/20200101.tif", "s_1/20200201.tif", "s_1/20200301.tif"),
    ("s_2/20200101.tif", "s_2/20200301.tif"),
)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ((*ONE, *TWO), DataError, r"that of '.*s_2/20200101.tif' has 2, .* has 3: missing 2020-02-01. Add"),
        (
            (*ONE, *TWO, "s_3/20200101.tif"),
            DataError,
            r"'.*s_2/20200101.tif' has 2, .* has 3: missing 2020-02-01. 1 more series are short too.",
        ),
        # the others' dates differ, so none can be called missing
        (
            (*ONE, *(f"s_3/2020010{n}.tif" for n in (1, 2, 3)), *TWO),
            DataError,
            r"has 2, that of .* has 3. Add",
        ),
        ((*ONE, "s_2/20200105.tif"), DataError, r"has 1, that of .* has 3. Add"),
        ((*ONE, "s_1/2020-01-01.tif"), DataError, r"of one series and both of 2020-01-01. Remove one"),
        (("s_1/20200101.tif",), DataError, "is the only date of its series"),
        ((*ONE, "s_1/20201301.tif"), DataError, r"20201301.tif' has no date where"),
        (("s_1/a.tif",), DataError, r"nothing matches .*\{date\} stands for YYYY-MM-DD"),
    ],
)
def test_a_series_that_is_not_complete_is_refused(
    tmp_path: Path, names: tuple[str, ...], error: type[EosegError], message: str
):
    touch(tmp_path, *names)
    with pytest.raises(error, match=message) as caught:
        find_scenes(source(tmp_path, "s_*/{date}.tif"))
    assert "\n" not in str(caught.value)


def test_series_of_one_length_may_have_other_dates(tmp_path: Path):
    touch(tmp_path, *ONE, *(f"s_2/2021010{n}.tif" for n in (1, 2, 3)))
    assert [len(names) for names in names_of(tmp_path, "s_*/{date}.tif")] == [3, 3]


def test_a_label_goes_with_its_series(tmp_path: Path):
    touch(tmp_path, *ONE, *(f"s_2/2021010{n}.tif" for n in (1, 2, 3)), "s_1/label.tif", "s_2/label.tif")
    scenes = find_scenes(source(tmp_path, "s_*/{date}.tif"))
    labels = find_files(["s_*/label.tif"], str(tmp_path), option="labels")
    pairs = pair_labels(scenes, labels)
    assert [(scene.match.key, label.key) for scene, label in pairs] == [(("1",), ("1",)), (("2",), ("2",))]
    with pytest.raises(DataError, match=r"Images and labels do not pair up: 1 images without label: '.*s_2/"):
        pair_labels(scenes, labels[:1])


def test_long_lists_are_shortened():
    assert some_of(["a", "b"]) == "'a', 'b'"
    assert some_of(list("abcdef")) == "'a', 'b', 'c', 'd' and 2 more"
