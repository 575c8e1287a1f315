"""Two results compared, by hand-made logits; and images like those of a training."""

import math

import pytest
import torch
from predict_factory import make_recipe

from eoseg.predict.parity import Parity, compare_outputs, measure_parity, training_like_image


def test_classes_differ_where_the_likeliest_one_does() -> None:
    reference = torch.zeros(1, 2, 1, 4)
    reference[:, 1] = torch.tensor([1.0, 1.0, -1.0, -1.0])
    other = reference.clone()
    other[0, 1, 0, 2] = math.log(3)  # a probability of 3/4, where it was 1 / (1 + e)
    found = measure_parity(reference, other, kind="classes")
    assert (found.pixels, found.differing, found.share) == (4, 1, 0.25)
    assert found.worst == pytest.approx(0.75 - 1 / (1 + math.e), abs=1e-6)


def test_a_shift_of_all_logits_is_no_difference_of_classes() -> None:
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = measure_parity(logits, logits + 5, kind="classes")
    assert found.differing == 0
    assert found.worst < 1e-6


def test_labels_differ_where_any_of_them_does() -> None:
    reference = torch.tensor([[1.0, -1.0], [2.0, 2.0], [0.5, 0.5]])
    other = torch.tensor([[1.0, 1.0], [2.0, 3.0], [-0.5, -0.5]])
    found = measure_parity(reference, other, kind="labels")
    assert (found.pixels, found.differing) == (3, 2)
    assert found.worst == pytest.approx(math.tanh(0.5), abs=1e-6)  # sigmoid(1) - sigmoid(-1)


def test_values_differ_by_more_than_the_tolerance() -> None:
    reference, other = torch.zeros(1, 1, 1, 3), torch.tensor([0.0, 0.5, -2.0]).view(1, 1, 1, 3)
    assert measure_parity(reference, other, kind="values") == Parity(3, 2, 2.0)
    assert measure_parity(reference, other, kind="values", tolerance=1.0) == Parity(3, 1, 2.0)


@pytest.mark.parametrize("kind", ["classes", "labels", "values"])
def test_what_is_no_number_differs(kind: str) -> None:
    reference = torch.tensor([[3.0, 1.0]])
    found = measure_parity(reference, torch.tensor([[3.0, torch.nan]]), kind=kind)
    assert (found.differing, found.worst) == (1, math.inf)


def test_comparisons_add_up_and_an_empty_one_differs_nowhere() -> None:
    assert Parity(10, 1, 0.5) + Parity(30, 0, 0.7) == Parity(40, 1, 0.7)
    assert Parity(0, 0, 0.0).share == 0.0


def test_other_shapes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"cannot compare \(1, 3\) with \(1, 2\)"):
        compare_outputs(torch.zeros(1, 2), torch.zeros(1, 3), kind="classes")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_have_the_mean_the_deviation_and_the_range_of_the_training(dtype: str) -> None:
    statistics = make_recipe(dtype=dtype, values=(20, 50, 200, 220)).statistics
    image = training_like_image(statistics, (2, 3, 128, 96))
    known = image[image.isfinite()]
    band = statistics.bands[0]
    assert image.shape == (2, 3, 128, 96)
    assert known.mean().item() == pytest.approx(band.mean, abs=0.15 * band.std)
    assert known.std().item() == pytest.approx(band.std, rel=0.25)
    assert known.min() >= 20
    assert known.max() <= 220
    assert bool((known == known.round()).all()) == (dtype == "uint8")


def test_images_have_gaps_that_all_bands_share() -> None:
    image = training_like_image(make_recipe().statistics, (1, 2, 3, 64, 64))
    gaps = image.isnan()
    assert gaps[..., :16, :16].all()
    assert torch.equal(gaps.any(dim=2), gaps.all(dim=2))
    assert 0.01 < gaps[..., 16:, 16:].float().mean().item() < 0.03
