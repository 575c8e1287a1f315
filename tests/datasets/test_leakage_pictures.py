import numpy as np

from eoseg.datasets.item_split import ItemSplit
from eoseg.datasets.leakage_pictures import check_groups, duplicate_check

PAIRS = [
    ("a", "b", 0.99, ("train", "test")),
    ("a", "c", 0.95, ("train", "test")),
    ("d", "b", 0.91, ("val", "test")),
]


def test_pictures_in_two_splits_are_counted_by_their_splits():
    check = duplicate_check(PAIRS, compared=9, is_benchmark=False)  # type: ignore[arg-type]
    assert check.level == "error"
    assert "3 pairs of chips" in check.text
    assert "2 in train and test, 1 in val and test (first: 'a' and 'b', correlation 0.99)" in check.text
    assert check.numbers == {"train-test": 2, "train-val": 0, "val-test": 1, "compared": 9}
    assert check.examples == ("a and b", "a and c", "d and b")


def test_of_a_benchmark_they_are_a_warning_and_none_is_clean():
    assert duplicate_check(PAIRS, compared=9, is_benchmark=True).level == "warning"  # type: ignore[arg-type]
    assert duplicate_check([], compared=9, is_benchmark=False).level == "clean"


def test_groups_on_both_sides_are_a_warning():
    split = ItemSplit("random", 0, {}, tuple("abcde"), np.array([0, 0, 2, 2, 1]))
    check = check_groups(split, ["x", "y", "y", "z", "x"])
    assert (check.level, check.examples) == ("warning", ("y",))
    assert check.text.startswith("1 of 2 groups of the test split are in train too")
    assert check_groups(split, ["x", "y", "w", "z", "x"]).level == "clean"
    assert check_groups(split, None).level == "unknown"
