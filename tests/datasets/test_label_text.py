import numpy as np
import pytest

from eoseg.datasets.label_text import class_codes, encode, encode_several
from eoseg.errors import ConfigError, DataError
from eoseg.recipe import IGNORE, parse_classes


def test_a_class_without_value_is_meant_by_its_name():
    codes = class_codes(["lake", "crop"], parse_classes(["crop", "lake"]), where="'x.csv'")
    assert codes == {"crop": 0, "lake": 1}


def test_a_class_with_values_is_meant_by_them_and_not_by_its_name():
    classes = parse_classes({"red soil": 1, "cotton": [2, "C"]})
    assert class_codes(["1", "2", "C"], classes, where="'x.csv'") == {"1": 0, "2": 1, "C": 1}
    with pytest.raises(DataError, match="'x.csv' has 1 labels that are no class: 'cotton'"):
        class_codes(["cotton", "1"], classes, where="'x.csv'")


def test_numbers_are_places_where_no_name_says_so():
    classes = parse_classes(["crop", "lake"])
    assert encode(["1", "0", "1"], classes, where="'x.csv'").tolist() == [1, 0, 1]


def test_names_that_are_numbers_are_names():
    classes = parse_classes(["1", "2", "3"])
    assert encode(["1", "2", "3"], classes, where="'x.csv'").tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="no class: '0'"):  # as a place it would be the class "1"
        encode(["0", "1", "3"], classes, where="'x.csv'")


def test_ignored_labels_are_no_class():
    labels = encode(["0", "7", "2"], parse_classes({"a": 7, "b": 2}), ignore=[0], where="'x.csv'")
    np.testing.assert_array_equal(labels, [IGNORE, 0, 1])


def test_an_unknown_label_is_named_with_the_nearest_class():
    with pytest.raises(DataError, match="'Forrest'.*Did you mean 'Forest'") as caught:
        encode(["Forrest", "Lake"], parse_classes(["Forest", "Lake"]), where="'labels.csv'")
    assert "\n" not in str(caught.value)


def test_contradictions_are_refused():
    with pytest.raises(ConfigError, match="'lake' is a class and in 'ignore'"):
        encode(["crop"], parse_classes(["crop", "lake"]), ignore=["lake"], where="'x.csv'")
    with pytest.raises(ConfigError, match="'5' stands for two classes, 'a' and '5'"):
        encode(["5"], parse_classes({"a": 5, "5": None}), where="'x.csv'")


def test_several_labels_become_zeros_and_ones():
    classes = parse_classes(["crop", "lake", "town"])
    found = encode_several([["lake", "crop"], [], ["town"]], classes, where="'x.csv'")
    np.testing.assert_array_equal(found, [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    with pytest.raises(DataError, match="'sea'"):
        encode_several([["lake", "sea"]], classes, where="'x.csv'")
