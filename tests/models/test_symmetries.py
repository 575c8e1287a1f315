"""The symmetries of the square, and mean and deviation over them."""

import numpy as np
import pytest
import torch

from eoseg.models.symmetries import SYMMETRIES, mean_and_deviation


def test_the_eight_symmetries_differ_and_are_undone() -> None:
    image = torch.arange(2 * 3 * 5).view(2, 3, 5)
    turned = [each.apply(image) for each in SYMMETRIES]
    assert len({(tuple(one.shape), tuple(one.flatten().tolist())) for one in turned}) == 8
    for each, one in zip(SYMMETRIES, turned, strict=True):
        assert torch.equal(each.undo(one), image)
        assert one.is_contiguous()
    assert torch.equal(turned[0], image)
    by_hand = [np.rot90(part, turns, axes=(1, 2)) for part in (image, image.mT) for turns in range(4)]
    assert {part.tobytes() for part in by_hand} == {one.numpy().tobytes() for one in turned}


def test_mean_and_deviation_of_results_that_come_one_by_one() -> None:
    results = 300 + torch.randn(8, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    mean, deviation = mean_and_deviation(iter(results), deviation=True)
    np.testing.assert_allclose(mean, results.double().mean(dim=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, results.double().std(dim=0, correction=0), rtol=1e-4)
    assert mean_and_deviation(iter(results), deviation=False)[1] is None


@pytest.mark.parametrize("value", [0.1, 1e6, 290.3])
def test_equal_results_have_exactly_no_deviation(value: float) -> None:
    result = torch.full((2, 2), value)
    mean, deviation = mean_and_deviation([result] * 8, deviation=True)
    assert torch.equal(mean, result)
    assert torch.equal(deviation, torch.zeros(2, 2))


def test_the_results_themselves_stay_as_they_are() -> None:
    first = torch.zeros(2)
    mean_and_deviation([first, torch.ones(2)], deviation=True)
    assert torch.equal(first, torch.zeros(2))
