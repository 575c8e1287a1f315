import numpy as np

from eoseg.figures import selective_image
from eoseg.selective import STEPS, SelectiveCurve

DOT = (0xD5, 0x5E, 0x00)


def curve(share: float) -> SelectiveCurve:
    """As many answers in each step above one half; 1 for as many wrong ones as they say."""
    count = np.zeros(STEPS, np.int64)
    count[STEPS // 2 :] = 1000
    wrong = np.rint(share * (STEPS - np.arange(STEPS))).astype(np.int64)
    return SelectiveCurve(count, np.maximum(count - wrong, 0))


def dots(curve: SelectiveCurve) -> int:
    return int((selective_image({"test": curve}) == DOT).all(axis=-1).sum())


def test_an_accuracy_that_can_be_had_is_a_dot() -> None:
    # Three dots; two, where all answers together have the first two accuracies.
    assert dots(curve(1.0)) > 1.3 * dots(curve(0.1)) > 0
    none = np.zeros(STEPS, np.int64)
    none[700] = 100
    assert dots(SelectiveCurve(none, none // 2)) == 0


def test_two_curves_are_beside_each_other_and_none_is_a_picture_too() -> None:
    none = SelectiveCurve(np.zeros(STEPS, np.int64), np.zeros(STEPS, np.int64))
    one = selective_image({"val": none})
    assert selective_image({"a": curve(0.5), "b": none}).shape[1] > 1.5 * one.shape[1]
