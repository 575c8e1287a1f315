import logging
from typing import Any

import numpy as np
import pytest

from eoseg.datasets.grouping import ItemSplitConfig, split_items
from eoseg.datasets.item_split import SPLITS, ItemSplit
from eoseg.errors import ConfigError, DataError

CLASSES = ["a", "b", "c"]


def divided(labels: Any, groups: Any = None, *, files: Any = None, **options: Any) -> ItemSplit:
    values = np.asarray(labels, np.int64)
    ids = [f"i{number}" for number in range(len(values))]
    return split_items(
        values, ItemSplitConfig(**options), ids=ids, files=files or ids, classes=CLASSES, groups=groups
    )


def per_class(split: ItemSplit, labels: np.ndarray) -> list[list[int]]:
    return [np.bincount(labels[split.of(name)], minlength=3).tolist() for name in SPLITS]


def test_a_random_split_gives_each_class_its_share():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    split = divided(labels, val=0.2, test=0.1)
    assert per_class(split, labels) == [[70, 35, 7], [20, 10, 2], [10, 5, 1]]
    assert split.method == "random"


def test_a_class_of_three_is_in_every_split_and_of_one_is_trained():
    labels = np.array([0] * 20 + [1] * 3 + [2])
    held = per_class(divided(labels), labels)
    assert [counts[1] for counts in held] == [1, 1, 1]
    assert [counts[2] for counts in held] == [1, 0, 0]


def test_rounding_does_not_pile_up_over_classes():
    # Of two items per class one trains, and the other must not always go to the same split.
    labels = np.repeat(np.arange(3), 2)
    split = divided(labels, val=0.25, test=0.25)
    sizes = [len(split.of(name)) for name in SPLITS]
    assert sizes[0] == 3
    assert sizes[1] >= 1
    assert sizes[2] >= 1


def test_the_seed_draws_another_split_and_the_same_seed_the_same():
    labels = np.repeat([0, 1, 2], 20)
    one, same, other = (divided(labels, seed=seed) for seed in (0, 0, 1))
    assert one.sha256 == same.sha256 != other.sha256
    assert not np.array_equal(one.numbers, other.numbers)


def test_groups_stay_whole_and_classes_balanced():
    rng = np.random.default_rng(0)
    groups = [f"g{number}" for number in rng.integers(0, 40, 600)]
    labels = rng.integers(0, 3, 600)
    split = divided(labels, groups)
    assert split.method == "groups"
    of_group: dict[str, set[int]] = {}
    for name, number in zip(groups, split.numbers.tolist(), strict=True):
        of_group.setdefault(name, set()).add(number)
    assert all(len(numbers) == 1 for numbers in of_group.values())
    shares = np.array(per_class(split, labels)) / np.bincount(labels)
    np.testing.assert_allclose(shares, np.array([[0.6], [0.2], [0.2]]) * np.ones((3, 3)), atol=0.06)


@pytest.mark.parametrize("groups", [None, "own"])
def test_each_item_is_tested_in_one_fold_and_validated_in_the_one_before(groups: str | None):
    labels = np.tile([0, 1, 2], 20)
    names = None if groups is None else [f"g{number // 3}" for number in range(60)]
    splits = [divided(labels, names, folds=5, fold=fold) for fold in range(5)]
    numbers = np.stack([split.numbers for split in splits])  # (folds, items)
    assert ((numbers == SPLITS.index("test")).sum(axis=0) == 1).all()
    assert ((numbers == SPLITS.index("val")).sum(axis=0) == 1).all()
    for fold in range(5):
        np.testing.assert_array_equal(splits[fold].of("val"), splits[(fold + 1) % 5].of("test"))
        assert np.bincount(labels[splits[fold].of("test")]).tolist() == [4, 4, 4]
    assert splits[2].parameters == {"folds": 5, "fold": 2}


def test_folds_keep_a_rare_class_in_training_where_its_groups_allow():
    # The class 2 lies in three groups of ten: in folds that follow each other some fold would not train it.
    groups = [f"g{number // 4}" for number in range(40)]
    labels = np.tile([0, 1, 0, 1], 10)
    labels[[0, 4, 8]] = 2
    for fold in range(5):
        split = divided(labels, groups, folds=5, fold=fold)
        assert 2 in labels[split.of("train")]


def test_files_are_taken_by_their_names():
    files = ["train/a.png", "train/b.png", "val/c.png", "other/d.png"]
    split = divided([0, 1, 2, 0], files=files, method="files", val=["val/*"], test=["other/d.png"])
    assert split.numbers.tolist() == [0, 0, 1, 2]
    assert divided([0, 1, 2, 0], files=files, method="files", val=["val/*"], test=[]).of("test").size == 0


def test_items_without_class_are_in_no_split():
    labels = np.array([0, 1, -1] * 10)
    split = divided(labels)
    assert (split.numbers[labels < 0] == -1).all()
    assert (split.numbers[labels >= 0] >= 0).all()


def test_several_labels_are_balanced_too():
    rng = np.random.default_rng(0)
    labels = (rng.random((500, 3)) < [0.5, 0.2, 0.05]).astype(np.int64)
    split = divided(labels)
    assert (split.numbers >= 0).all()  # an item with none of the labels is an item
    shares = np.stack([labels[split.of(name)].sum(axis=0) for name in SPLITS]) / labels.sum(axis=0)
    np.testing.assert_allclose(shares, np.array([[0.6], [0.2], [0.2]]) * np.ones((3, 3)), atol=0.03)


def test_a_random_split_warns_and_more_so_where_groups_are_known(caplog: pytest.LogCaptureFixture):
    labels = np.tile([0, 1, 2], 10)
    divided(labels, method="random")
    assert "neighbours lie in different splits" in caplog.text
    caplog.clear()
    split = divided(labels, [f"g{number // 3}" for number in range(30)], method="random")
    assert "items of one group lie in different splits" in caplog.text
    assert split.method == "random"
    caplog.clear()
    divided(labels, [f"g{number // 3}" for number in range(30)])
    assert caplog.text == ""


def test_absent_classes_are_named(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        divided(
            [0] * 20 + [1], files=[f"f{number}" for number in range(21)], method="files", val=["f20"], test=[]
        )
    assert "There is no item of c." in caplog.text
    assert "The train split has no item of b." in caplog.text
    assert "The val split has no item of a." in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 1.0}, "split.val is a share of at least 0 and below 1; found 1.0"),
        ({"val": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"val": ["x"]}, "split.val lists files, but split.method is 'auto'"),
        ({"method": "files"}, "needs globs on file names"),
        ({"method": "files", "val": [], "test": [], "seed": 1}, "split.seed has no effect"),
        ({"method": "files", "val": [], "test": [], "folds": 3}, "split.folds has no effect"),
        ({"fold": 1}, "split.fold 1 has no effect without split.folds"),
        ({"folds": 2}, "split.folds must be at least 3"),
        ({"folds": 5, "fold": 5}, "a number from 0 to 4"),
        ({"folds": 5, "fold": -1}, "a number from 0 to 4"),
        ({"folds": 5, "val": 0.3}, "split.val has no effect: the folds say it"),
        ({"folds": 5, "test": 0.0}, "split.test has no effect"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        ItemSplitConfig(**options)
    assert "\n" not in str(caught.value)


def test_a_split_that_cannot_be_made_is_refused():
    labels = [0, 1, 2] * 4
    with pytest.raises(ConfigError, match="'groups' needs groups"):
        divided(labels, method="groups")
    with pytest.raises(DataError, match="There are 2 groups, but 3 splits need"):
        divided(labels, ["x", "y"] * 6)
    with pytest.raises(DataError, match="no file matches 'q/\\*'; there are 12, such as 'i0'"):
        divided(labels, method="files", val=["q/*"], test=[])
    with pytest.raises(DataError, match="'i1' is in split.val and in split.test"):
        divided(labels, method="files", val=["i1"], test=["i1"])
    with pytest.raises(DataError, match="The train split is empty"):
        divided(labels, method="files", val=["*"], test=[])
    with pytest.raises(DataError, match="The test split is empty"):
        divided([0, 1])
