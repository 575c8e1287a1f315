"""Accuracy against coverage: by hand, and against all answers in order."""

import numpy as np
import pytest

from eoseg.selective import STEPS, Kept, SelectiveCurve, step_of


def curve_of(confidence: np.ndarray, right: np.ndarray) -> SelectiveCurve:
    steps = step_of(confidence.astype(np.float32))
    return SelectiveCurve(np.bincount(steps, minlength=STEPS), np.bincount(steps[right], minlength=STEPS))


def slow_curve(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """Accuracy of the surest 1, 2 ... N answers, all of them in order, and the mean of their risks."""
    order = np.argsort(-confidence, kind="stable")
    accuracy = right[order].cumsum() / np.arange(1, len(order) + 1)
    return accuracy, float((1 - accuracy).mean())


def world(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Answers that are right as often as they say."""
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 1, count)
    return confidence, rng.random(count) < confidence


def test_five_answers_by_hand() -> None:
    curve = curve_of(np.array([0.95, 0.8, 0.7, 0.6, 0.55]), np.array([True, True, False, True, False]))
    assert [curve.accuracy(share) for share in (0.2, 0.4, 0.6, 0.8, 1)] == pytest.approx(
        [1, 1, 2 / 3, 3 / 4, 3 / 5]
    )
    assert curve.aurc == pytest.approx((0 + 0 + 1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert curve.mask_for(0.7) == Kept(0.6, 0.8, 0.75)
    assert curve.mask_for(1.0) == Kept(0.8, 0.4, 1.0)
    assert [curve.confidence(share) for share in (0.2, 0.4, 0.41, 1)] == [0.95, 0.8, 0.7, 0.55]


def test_answers_that_are_alike_count_with_the_mean_over_their_orders() -> None:
    curve = curve_of(np.full(3, 0.9), np.array([True, True, False]))
    # The wrong one is first, second or last: risks (1, 1/2, 1/3), (0, 1/2, 1/3), (0, 0, 1/3).
    assert curve.aurc == pytest.approx((1 + 2 * 1 / 2 + 3 * 1 / 3) / 3 / 3)
    assert curve.accuracy(0.5) == pytest.approx(2 / 3)


def test_the_curve_is_that_of_all_answers_in_order_up_to_the_width_of_a_step() -> None:
    confidence, right = world()
    curve, (accuracy, aurc) = curve_of(confidence, right), slow_curve(confidence, right)
    assert curve.aurc == pytest.approx(aurc, abs=2e-4)
    ends = np.rint(curve.points()[:, 0] * len(right)).astype(int)
    np.testing.assert_allclose(curve.points()[:, 1], accuracy[ends - 1], rtol=1e-12)  # exact between steps
    for share in np.linspace(0.01, 1, 100):
        kept = round(share * len(right))
        inside = int(curve.count.max()) / kept
        assert abs(curve.accuracy(share) - accuracy[kept - 1]) <= inside  # type: ignore[operator]


@pytest.mark.parametrize("wanted", [0.8, 0.9, 0.95])
def test_what_is_masked_leaves_the_accuracy_and_no_more_could_be_left(wanted: float) -> None:
    confidence, right = world()
    mask = curve_of(confidence, right).mask_for(wanted)
    assert mask is not None
    left = step_of(confidence.astype(np.float32)) >= round(mask.confidence * STEPS)
    assert right[left].mean() == pytest.approx(mask.accuracy)
    assert mask.accuracy >= wanted
    assert left.mean() == pytest.approx(mask.coverage)
    assert mask.confidence == pytest.approx(2 * wanted - 1, abs=0.03)  # the mean of what is above it
    for lower in np.arange(0.5, mask.confidence, 0.001):
        assert right[confidence >= lower].mean() < wanted + 1e-3


def test_sums_of_parts_give_the_curve_of_all() -> None:
    confidence, right = world()
    parts = [curve_of(confidence[place::3], right[place::3]) for place in range(3)]
    whole = SelectiveCurve(sum(part.count for part in parts), sum(part.right for part in parts))  # type: ignore[arg-type]
    assert whole.to_dict() == curve_of(confidence, right).to_dict()


def test_the_area_of_many_answers_is_added_up_without_loss() -> None:
    many = SelectiveCurve(np.zeros(STEPS, np.int64), np.zeros(STEPS, np.int64))
    many.count[[700, 900]] = 10**6
    many.right[[700, 900]] = 5 * 10**5, 10**6
    errors = np.concatenate([np.zeros(10**6), np.arange(1, 10**6 + 1) / 2])
    assert many.aurc == pytest.approx((errors / np.arange(1, 2 * 10**6 + 1)).mean(), rel=1e-11)


def test_without_answers_nothing_is_defined() -> None:
    none = SelectiveCurve(np.zeros(STEPS, np.int64), np.zeros(STEPS, np.int64))
    assert (none.aurc, none.accuracy(0.5), none.confidence(0.5), none.mask_for(0.9)) == (None,) * 4
    assert none.points().shape == (0, 2)
    assert none.to_dict()["curve"]["accuracy"] == [None] * 20


def test_an_accuracy_that_no_share_has_gives_no_mask() -> None:
    assert curve_of(np.array([0.9, 0.8]), np.array([False, True])).mask_for(0.9) is None


def test_a_confidence_of_one_is_in_the_last_step() -> None:
    assert step_of(np.array([0.0, 0.5, 0.9999, 1.0], np.float32)).tolist() == [0, 500, 999, 999]
