"""Mean and deviation of results that come one by one."""

import numpy as np
import pytest
import torch

from eoseg.predict.running_mean import RunningMean


def mean_of(results: torch.Tensor | list[torch.Tensor], *, deviation: bool = True) -> RunningMean:
    running = RunningMean(deviation=deviation)
    for result in results:
        running.add(result)
    return running


def test_they_are_those_of_all_results_together() -> None:
    results = 300 + torch.randn(8, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    found = mean_of(results)
    np.testing.assert_allclose(found.mean, results.double().mean(dim=0), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, results.double().std(dim=0, correction=0), rtol=1e-4)
    assert found.count == 8
    assert mean_of(results, deviation=False).deviation is None


@pytest.mark.parametrize("value", [0.1, 1e6, 290.3])
def test_equal_results_have_exactly_no_deviation(value: float) -> None:
    result = torch.full((2, 2), value)
    found = mean_of([result] * 8)
    assert torch.equal(found.mean, result)
    assert torch.equal(found.deviation, torch.zeros(2, 2))


def test_the_results_themselves_stay_as_they_are() -> None:
    first = torch.zeros(2)
    mean_of([first, torch.ones(2)])
    assert torch.equal(first, torch.zeros(2))
