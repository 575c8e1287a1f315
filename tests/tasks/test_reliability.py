"""Streaming sums of reliability, and a sample of logits, against all pixels at once."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from eoseg.batch import IGNORE
from eoseg.calibration import BINS, Reliability, measure_reliability
from eoseg.selective import STEPS, SelectiveCurve, step_of
from eoseg.tasks.reliability import ConfidenceSums, LogitSample, ReliabilitySums, hash_places

NAMES = ["a", "b", "c", "d"]


def batches(count: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    found = []
    for _ in range(count):
        logits = 2 * torch.randn(2, 4, 16, 16)
        target = (logits + 3 * torch.randn_like(logits)).argmax(dim=1)
        target[torch.rand(target.shape) < 0.1] = IGNORE
        found.append((logits, target))
    return found


type Counted = tuple[ConfidenceSums, ReliabilitySums]


def streamed(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> Counted:
    sure, sums = ConfidenceSums(), ReliabilitySums(4)
    for part in parts:
        logits, target = flat([part])
        best = logits.softmax(dim=1).max(dim=1)
        sure.update(best.values, best.indices == target)
        sums.update(logits.softmax(dim=1), target)
    return sure, sums


def told(counted: Counted) -> Reliability:
    return counted[1].reliability(NAMES, counted[0].bins())


def flat(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.cat([entry.movedim(1, -1).flatten(0, 2) for entry, _ in parts])
    target = torch.cat([entry.flatten() for _, entry in parts])
    return logits[target != IGNORE], target[target != IGNORE]


def require_same(found: Reliability, expected: Reliability) -> None:
    for name in ("likeliest", "each"):
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(one.count, other.count)
        np.testing.assert_array_equal(one.right, other.right)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=1e-10)
    assert found.squared == pytest.approx(expected.squared, rel=1e-10)
    assert found.surprise == pytest.approx(expected.surprise, rel=1e-6)


def test_batches_add_up_to_what_all_pixels_give_at_once() -> None:
    logits, target = flat(batches())
    expected = measure_reliability(logits.softmax(dim=1).numpy(), target.numpy(), NAMES)
    require_same(told(streamed(batches())), expected)


def test_the_error_is_that_of_torchmetrics() -> None:
    logits, target = flat(batches())
    found = told(streamed(batches()))
    theirs = multiclass_calibration_error(logits.softmax(dim=1), target, num_classes=4, n_bins=BINS)
    assert found.ece == pytest.approx(float(theirs), abs=1e-6)
    assert found.ece > 0.05  # the labels are noisy: there is an error to find


def test_the_figures_do_not_depend_on_how_pixels_are_divided() -> None:
    parts = batches()
    halves = [streamed(parts[::2]), streamed(parts[1::2])]
    for mine, others in zip(*halves, strict=True):
        for ours, theirs in zip(mine.buffers(), others.buffers(), strict=True):
            ours += theirs  # what adding over processes does
    require_same(told(halves[0]), told(streamed(parts)))
    one, other = halves[0][0].curve(), streamed(parts)[0].curve()
    np.testing.assert_array_equal(one.count, other.count)
    assert one.to_dict() == other.to_dict()  # to the last bit: whole numbers


def test_the_curve_is_that_of_all_pixels_at_once() -> None:
    logits, target = flat(batches())
    best = logits.softmax(dim=1).max(dim=1)
    steps, right = step_of(best.values.numpy()), (best.indices == target).numpy()
    expected = SelectiveCurve(np.bincount(steps, minlength=STEPS), np.bincount(steps[right], minlength=STEPS))
    assert streamed(batches())[0].curve().to_dict() == expected.to_dict()
    assert expected.accuracy(1) == pytest.approx(right.mean())
    assert expected.accuracy(0.2) > right.mean() + 0.1  # the labels are noisier where it is less sure


def test_what_is_mapped_may_be_another_class_than_the_likeliest() -> None:
    sums = ConfidenceSums()
    sums.add_likeliest(torch.tensor([0.7]), torch.tensor([True]))
    sums.add_mapped(torch.tensor([0.3]), torch.tensor([False]))
    assert (sums.bins().right.sum(), sums.curve().right.sum()) == (1, 0)
    assert np.flatnonzero(sums.curve().count).tolist() == [300]


def test_a_reset_forgets_and_what_was_given_stays() -> None:
    sure, sums = ConfidenceSums(), ReliabilitySums(2)
    sure.update(torch.tensor([0.5]), torch.tensor([False]))
    sums.update(torch.tensor([[0.5, 0.5]]), torch.tensor([1]))
    found, curve = sums.reliability("ab", sure.bins()), sure.curve()
    assert (found.total, found.brier) == (1, pytest.approx(0.5))
    assert found.nll == pytest.approx(np.log(2))
    sure.reset()
    sums.reset()
    assert sums.reliability("ab", sure.bins()).to_dict()["brier"] is None
    assert (sure.bins().total, sure.curve().total) == (0, 0)
    assert (found.total, curve.total) == (1, 1)


def ids(number: int) -> list[str]:
    return [f"scene@{number},0", f"scene@{number},16"]


def sample_of(numbers: list[int], size: int) -> LogitSample:
    sample, parts = LogitSample(4, size=size), batches()
    for number in numbers:
        sample.add(*parts[number], ids(number))
    return sample


def test_a_sample_is_the_same_in_any_order_and_divided_over_processes() -> None:
    logits, classes = sample_of([0, 1, 2, 3, 4, 5], 300).sample()
    assert logits.shape == (300, 4)
    for numbers in ([5, 3, 1, 0, 2, 4],):
        again = sample_of(numbers, 300).sample()
        torch.testing.assert_close(again[0], logits)
        assert torch.equal(again[1], classes)
    first, second = sample_of([0, 2, 4], 300), sample_of([1, 3, 5], 300)
    first._merge(second.numbers, second.logits, second.classes)
    torch.testing.assert_close(first.sample()[0], logits)


def test_a_sample_holds_labelled_pixels_with_their_own_class_from_all_chips() -> None:
    logits, target = flat(batches())
    classes_of = {tuple(row): int(label) for row, label in zip(logits.tolist(), target, strict=True)}
    held, classes = sample_of(list(range(6)), 300).sample()
    assert [classes_of[tuple(row)] for row in held.tolist()] == classes.tolist()
    share = np.bincount(classes.numpy(), minlength=4) / 300
    np.testing.assert_allclose(share, np.bincount(target.numpy(), minlength=4) / len(target), atol=0.1)


def test_a_sample_larger_than_the_data_holds_all_of_them() -> None:
    sample = sample_of([0, 1], 5000)
    assert len(sample.sample()[0]) == sum(int((target != IGNORE).sum()) for _, target in batches()[:2])
    sample.reset()
    assert len(sample.sample()[0]) == 0


def test_numbers_of_places_are_spread_evenly_and_differ_from_chip_to_chip() -> None:
    numbers = hash_places("a@0,0", 40_000)
    assert (numbers >= 0).all()
    assert len(np.unique(numbers)) == 40_000
    counts = np.bincount((numbers >> 60).astype(int), minlength=8)
    assert np.abs(counts / 5000 - 1).max() < 0.05
    assert not np.intersect1d(numbers, hash_places("a@0,1", 40_000)).size
