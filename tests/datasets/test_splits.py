import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_scene
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_factory import make_data, make_values, reader_of, striped_labels

from eoseg.datasets.config import SceneSource, SplitConfig
from eoseg.datasets.splits import SPLITS, Split, make_split
from eoseg.datasets.survey import survey_labels
from eoseg.errors import ConfigError, DataError
from eoseg.recipe import IGNORE


def split_of(source: SceneSource, chip_size: int = 16, **options: Any) -> Split:
    reader, config = reader_of(source), SplitConfig(**options)
    survey = survey_labels(reader, chip_size=chip_size, block_size=config.block_size)
    return make_split(reader.index, survey, config, chip_size=chip_size)


def owners(split: Split, scene: str, shape: tuple[int, int]) -> np.ndarray:
    """Split number of each pixel of a scene; -1 where none."""
    owner = np.full(shape, -1)
    for region in split.regions:
        if region.scene_id == scene:
            part = owner[
                region.window.row : region.window.row_stop, region.window.col : region.window.col_stop
            ]
            assert (part == -1).all()
            part[:] = SPLITS.index(region.split)
    return owner


@given(st.integers(0, 99), st.integers(80, 150), st.integers(80, 150), st.sampled_from([None, 16, 40]))
@settings(max_examples=25, deadline=None)
def test_splits_share_no_pixel_and_keep_their_distance(
    tmp_path_factory: pytest.TempPathFactory, seed: int, height: int, width: int, block_size: int | None
):
    folder = tmp_path_factory.getbasetemp() / f"{height}x{width}"
    source = make_data(folder, {"a": (height, width)})
    split = split_of(source, seed=seed, block_size=block_size)
    buffer = int(str(split.parameters["buffer"]))
    owner = owners(split, "a", (height, width))
    assert set(np.unique(owner)) >= {0, 1, 2}
    for number in range(3):
        for row, col in np.argwhere(owner == number)[::7]:
            near = owner[max(0, row - buffer) : row + buffer + 1, max(0, col - buffer) : col + buffer + 1]
            assert set(np.unique(near)) <= {-1, number}


def test_shares_and_classes_are_respected(tmp_path: Path):
    rare = striped_labels(256, 256) % 2
    for number in range(3):
        rare[80 * number : 80 * number + 30, 200 - 60 * number : 230 - 60 * number] = 2
    split = split_of(make_data(tmp_path, {"a": (256, 256)}, labels={"a": rare}), buffer=0)
    owner = owners(split, "a", (256, 256))
    shares = [(owner == number).mean() for number in range(3)]
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.09)
    assert all(((owner == number) & (rare == 2)).any() for number in range(3))


def test_the_default_buffer_is_a_quarter_of_a_chip(tmp_path: Path):
    split = split_of(make_data(tmp_path, {"a": (200, 200)}))
    assert split.parameters["buffer"] == 4
    assert int(str(split.parameters["block_size"])) >= 16


def test_the_same_seed_gives_the_same_hash_and_another_seed_another(tmp_path: Path):
    source = make_data(tmp_path, {"a": (150, 150), "b": (90, 150)})
    assert split_of(source, seed=3).sha256 == split_of(source, seed=3).sha256
    assert split_of(source, seed=3).sha256 != split_of(source, seed=4).sha256


def test_blocks_without_labels_train_and_do_not_count(tmp_path: Path):
    labels = np.full((160, 160), IGNORE, np.uint8)
    labels[:64] = striped_labels(64, 160)
    split = split_of(make_data(tmp_path, {"a": (160, 160)}, labels={"a": labels}), block_size=32, buffer=0)
    owner = owners(split, "a", (160, 160))
    assert (owner[64:] == 0).all()
    np.testing.assert_allclose((owner[:64] == 1).mean(), 0.2, atol=0.01)


def test_scenes_smaller_than_a_chip_are_whole_blocks(tmp_path: Path):
    split = split_of(make_data(tmp_path, dict.fromkeys("abcdef", (10, 12))), chip_size=16)
    assert len(split.regions) == 6
    assert {region.split for region in split.regions} == set(SPLITS)


def test_one_small_scene_is_cut_into_blocks_smaller_than_a_chip(tmp_path: Path):
    split = split_of(make_data(tmp_path, {"a": (32, 40)}), chip_size=32)
    assert int(str(split.parameters["block_size"])) < 32
    assert {region.split for region in split.regions} == set(SPLITS)


def test_too_few_blocks_are_refused(tmp_path: Path):
    source = make_data(tmp_path, {"a": (20, 20), "b": (20, 20)})
    with pytest.raises(DataError, match="Only 2 blocks hold labels, but 3 splits need at least one each"):
        split_of(source, block_size=20)
    assert len(split_of(source, block_size=20, test=0.0).regions) == 2


def test_a_buffer_too_wide_for_the_blocks_is_refused(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"split.buffer 16 needs blocks of more than 32 px; they have 32 px"
    ):
        split_of(make_data(tmp_path, {"a": (160, 160)}), block_size=32, buffer=16)


def test_an_absent_class_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    labels = np.zeros((160, 160), np.uint8)
    labels[:16, :16] = 1
    with caplog.at_level(logging.WARNING):
        split_of(make_data(tmp_path, {"a": (160, 160)}, labels={"a": labels}), block_size=32)
    assert "The val split has no labelled pixel of land" in caplog.text
    assert "The train split" not in caplog.text


def test_a_split_without_any_value_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    source = make_values(tmp_path, {"a": (40, 40), "b": (40, 40)})
    nothing = np.full((40, 40), -9999, np.float32)
    write_scene(tmp_path / "labels" / "b.tif", nothing, origin=(600_000.0, 5_400_000.0), nodata=-9999)
    with caplog.at_level(logging.WARNING):
        split_of(source, method="files", val=[], test=["b"])
    assert "The test split has no labelled pixel of canopy height" in caplog.text


def test_files_are_divided_by_globs_on_scene_ids(tmp_path: Path):
    source = make_data(tmp_path, {"n1": (20, 20), "n2": (20, 20), "s1": (20, 20), "s2": (20, 20)})
    split = split_of(source, method="files", val=["s1"], test=["n*"])
    assert {region.scene_id: region.split for region in split.regions} == {
        "n1": "test",
        "n2": "test",
        "s1": "val",
        "s2": "train",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": ["x*"], "test": []}, r"split.val: There is no scene 'x\*'"),
        ({"val": ["a"], "test": ["*"]}, "'a' is in split.val and in split.test"),
        ({"val": ["*"], "test": []}, "The train split is empty"),
    ],
)
def test_file_splits_that_cannot_work_are_refused(tmp_path: Path, options: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        split_of(make_data(tmp_path, {"a": (20, 20), "b": (20, 20)}), method="files", **options)


def test_random_chips_are_divided_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        split = split_of(make_data(tmp_path, {"a": (160, 160)}), method="random")
    assert "Random chips: neighbours lie in different splits" in caplog.text
    owner = owners(split, "a", (160, 160))
    np.testing.assert_allclose([(owner == n).mean() for n in range(3)], [0.6, 0.2, 0.2], atol=0.01)
    assert (owner.reshape(10, 16, 10, 16) == owner[::16, ::16][:, None, :, None]).all()  # whole chips


def test_a_split_is_read_back_as_it_was_written(tmp_path: Path):
    source = make_data(tmp_path, {"a": (150, 150)})
    split = split_of(source, val=0.3)
    path = tmp_path / "split.json"
    path.write_text(split.to_json())
    again = split_of(source, path=str(path))
    assert again == split
    assert json.loads(path.read_text())["sha256"] == split.sha256
    assert split_of(source, path=str(path), val=0.3) == split  # a resolved configuration repeats its options


def test_options_that_contradict_the_file_are_refused(tmp_path: Path):
    source = make_data(tmp_path, {"a": (150, 150)})
    (tmp_path / "split.json").write_text(split_of(source).to_json())
    with pytest.raises(ConfigError, match=r"split.val is 0.3, but '.*split.json' was made with 0.2"):
        split_of(source, path=str(tmp_path / "split.json"), val=0.3)


def test_folds_test_every_labelled_block_once(tmp_path: Path):
    source = make_data(tmp_path, {"a": (160, 160)})
    owners_of = [
        owners(split_of(source, folds=4, fold=fold, block_size=32, buffer=0), "a", (160, 160))
        for fold in range(4)
    ]
    tested = np.sum([owner == 2 for owner in owners_of], axis=0)
    assert (tested == 1).all()
    for fold in range(4):  # what the next fold tests, this one validates
        np.testing.assert_array_equal(owners_of[fold] == 1, owners_of[(fold + 1) % 4] == 2)
    np.testing.assert_allclose([(owner == 2).mean() for owner in owners_of], 0.25, atol=0.06)


def test_folds_of_blocks_keep_their_distance(tmp_path: Path):
    source = make_data(tmp_path, {"a": (160, 160)})
    owner = owners(split_of(source, folds=4, fold=1, block_size=40, buffer=8), "a", (160, 160))
    for number in range(3):
        others = (owner >= 0) & (owner != number)
        near = np.zeros_like(others)
        for row, col in np.argwhere(owner == number):
            near[max(row - 8, 0) : row + 9, max(col - 8, 0) : col + 9] = True
        assert not (near & others).any()


def test_folds_of_scenes_leave_one_out(tmp_path: Path):
    names = ["a", "b", "c", "d"]
    source = make_data(tmp_path, dict.fromkeys(names, (32, 32)))
    tested = [
        {region.scene_id for region in split_of(source, method="files", folds=4, fold=fold).of("test")}
        for fold in range(4)
    ]
    assert sorted(name for one in tested for name in one) == names
    with pytest.raises(DataError, match="5 folds of scenes need as many; found 4"):
        split_of(source, method="files", folds=5)


def test_folds_keep_groups_of_scenes_together(tmp_path: Path):
    names = ["east 1", "east 2", "north 1", "north 2", "north 3", "west 1"]
    source = make_data(tmp_path, dict.fromkeys(names, (32, 32)))
    splits = [split_of(source, method="files", folds=3, fold=fold, groups=r"^(\w+) ") for fold in range(3)]
    tested = [sorted(region.scene_id for region in split.of("test")) for split in splits]
    assert sorted(tested) == [names[:2], names[2:5], names[5:]]
    assert splits[0].parameters["groups"] == r"^(\w+) "
    with pytest.raises(DataError, match="4 folds of groups .* need as many; found 3"):
        split_of(source, method="files", folds=4, groups=r"^\w+")
    with pytest.raises(DataError, match="does not match the scene 'north 3'"):
        split_of(source, method="files", folds=3, groups="[12]$")


def test_random_folds_are_of_one_size(tmp_path: Path):
    source = make_data(tmp_path, {"a": (160, 160)})
    owner = owners(split_of(source, method="random", folds=5, fold=4), "a", (160, 160))
    np.testing.assert_allclose([(owner == n).mean() for n in range(3)], [0.6, 0.2, 0.2], atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 2}, "at least 3"),
        ({"folds": 4, "fold": 4}, "one of 0 to 3; found 4"),
        ({"fold": 1}, "split.folds is not set"),
        ({"folds": 4, "val": 0.3}, "split.val has no effect"),
        ({"folds": 4, "method": "random", "block_size": 64}, "split.block_size has no effect"),
        ({"folds": 4, "groups": "a"}, "split.groups has no effect"),
        ({"method": "files", "val": ["a"], "test": ["b"], "groups": "a"}, "split.folds is not set"),
        ({"method": "files", "folds": 4, "groups": "("}, "no regular expression"),
    ],
)
def test_folds_that_make_no_sense_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        SplitConfig(**options)


@pytest.mark.real
def test_a_real_polygon_that_a_block_border_cuts_keeps_training_pixels(real_data: Path):
    source = SceneSource(
        root=str(real_data / "rachel_carson_s2"),
        images="*.tif",
        labels="*.shp",
        attribute="Classname",
        nodata=255,
        classes=["Herbaceous", "Forested Wetland", "Sand", "Emergent Wetland", "WetSand", "Subtidal Haline"],
    )
    reader = reader_of(source)
    survey = survey_labels(reader, chip_size=64)
    split = make_split(reader.index, survey, SplitConfig(), chip_size=64)
    counts = np.zeros(256, int)
    for region in split.of("train"):
        counts += np.bincount(reader.read_labels(region.scene_id, region.window).ravel(), minlength=256)
    assert (counts[:6] > 0).all()
