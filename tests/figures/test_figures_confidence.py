import numpy as np
import pytest

from eoseg.figures.confidence import calibration_error, reliability_image, reliability_steps


def counts(**answers: tuple[int, int]) -> np.ndarray:
    """Wrong and right answers by the thousandth of their confidence, such as p900=(1, 9)."""
    table = np.zeros((2, 1000), np.int64)
    for name, pair in answers.items():
        table[:, int(name[1:])] = pair
    return table


def test_a_step_has_its_mean_confidence_and_its_share_of_right_answers() -> None:
    (low, high) = reliability_steps(counts(p500=(6, 4), p510=(0, 10), p999=(0, 5)))
    assert (low.right, low.count) == (14 / 20, 20)
    assert low.confidence == pytest.approx((0.5005 + 0.5105) / 2)
    assert (high.right, high.count) == (1.0, 5)


def test_the_error_is_the_mean_distance_from_the_diagonal() -> None:
    assert calibration_error(counts(p800=(2, 8))) == pytest.approx(0.0005)  # right as often as it is sure
    assert calibration_error(counts(p900=(5, 5), p600=(0, 30))) == pytest.approx(
        (10 * 0.4005 + 30 * 0.3995) / 40
    )


def test_the_diagram_of_a_sure_and_wrong_network_differs_from_that_of_a_right_one() -> None:
    right, wrong = reliability_image(counts(p900=(1, 9))), reliability_image(counts(p900=(9, 1)))
    assert right.dtype == np.uint8
    assert right.shape == wrong.shape
    assert (right != wrong).any()
