"""Calibration: a known distortion is found, and networks give the probabilities that their recipe says."""

import pytest
import torch
from torch import nn

from eoseg.calibration import measure_reliability
from eoseg.errors import CheckpointError, DataError
from eoseg.models.network import Network
from eoseg.models.scaling import LEAST_LABELS, ScaleLogits, fit_scaling
from eoseg.recipe import Scaling

NAMES = ["a", "b", "c"]


def world(count: int = 60_000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose softmax is the probability by which the classes are drawn."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, 3, generator=generator) + torch.tensor([0.5, 0.0, -1.0])
    return logits, torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)


def ece(logits: torch.Tensor, classes: torch.Tensor) -> float:
    found = measure_reliability(logits.softmax(dim=1).numpy(), classes.numpy(), NAMES).ece
    assert found is not None
    return found


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_found_within_two_percent(temperature: float) -> None:
    logits, classes = world()
    found = fit_scaling(logits * temperature, classes, method="temperature", names=NAMES)
    assert found.bias == (0.0, 0.0, 0.0)
    assert [1 / value for value in found.scale] == pytest.approx([temperature] * 3, rel=0.02)


def test_the_error_of_distorted_logits_goes_away_on_other_pixels() -> None:
    logits, classes = world()
    scaling = fit_scaling(3 * logits, classes, method="temperature", names=NAMES)
    other, truth = world(seed=1)
    scaled = ScaleLogits(scaling)(3 * other)
    assert ece(3 * other, truth) > 0.1
    assert ece(scaled, truth) < 0.01
    assert torch.equal(scaled.argmax(dim=1), other.argmax(dim=1))


def test_a_known_scale_and_shift_of_each_class_are_found() -> None:
    logits, classes = world()
    scale, bias = torch.tensor([0.5, 1.5, 0.8]), torch.tensor([1.0, -0.5, -0.5])
    distorted = (logits - bias) / scale
    found = fit_scaling(distorted, classes, method="vector", names=NAMES)
    assert found.scale == pytest.approx(scale.tolist(), rel=0.03)
    assert found.bias == pytest.approx(bias.tolist(), abs=0.03)
    plain = fit_scaling(distorted, classes, method="temperature", names=NAMES)
    assert ece(ScaleLogits(found)(distorted), classes) < ece(ScaleLogits(plain)(distorted), classes) / 2


def test_a_split_that_is_too_small_is_refused() -> None:
    logits, classes = world(LEAST_LABELS - 1)
    with pytest.raises(DataError, match=r"too small to calibrate: it holds 99 .* 100 are needed"):
        fit_scaling(logits, classes, method="temperature", names=NAMES)


def test_vector_scaling_needs_labels_of_each_class() -> None:
    logits, classes = world(5000)
    rare = (classes != 2) | (torch.arange(5000) < 300)
    rare &= (classes != 2) | (torch.rand(5000, generator=torch.Generator().manual_seed(0)) < 0.5)
    held = int((classes[rare] == 2).sum())
    assert held < LEAST_LABELS
    with pytest.raises(DataError, match=f"vector scaling: {held} .* are 'c'.*--method temperature"):
        fit_scaling(logits[rare], classes[rare], method="vector", names=NAMES)
    fit_scaling(logits[rare], classes[rare], method="temperature", names=NAMES)


@pytest.mark.parametrize("right", [True, False])
def test_a_network_without_or_of_nothing_but_errors_has_no_temperature(right: bool) -> None:
    logits, _ = world(1000)
    classes = logits.argmax(dim=1) if right else logits.argmin(dim=1)
    with pytest.raises(DataError, match="do not determine a temperature"):
        fit_scaling(logits, classes, method="temperature", names=NAMES)


def make_network() -> Network:
    torch.manual_seed(0)
    network = Network(nn.Conv2d(2, 3, 1), bands=("x", "y"), output_stride=1).eval()
    network.normalize.is_set.fill_(True)
    return network


def test_a_network_scales_its_logits_and_its_state_stays_as_it_is() -> None:
    network, image = make_network(), torch.randn(1, 2, 4, 4)
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    plain, state = network(image, valid), set(network.state_dict())
    scaling = Scaling("vector", (0.5, 1.0, 2.0), (0.0, 1.0, -1.0))
    network.calibrate(scaling, 3)
    expected = plain * torch.tensor(scaling.scale).view(1, 3, 1, 1) + torch.tensor(scaling.bias).view(
        1, 3, 1, 1
    )
    torch.testing.assert_close(network(image, valid), expected)
    assert set(network.state_dict()) == state
    network.calibrate(None, 3)
    torch.testing.assert_close(network(image, valid), plain)


def test_logits_of_chips_are_scaled_too() -> None:
    layer = ScaleLogits(Scaling("temperature", (0.5, 0.5), (0.0, 0.0)))
    assert layer(torch.tensor([[2.0, 4.0]])).tolist() == [[1.0, 2.0]]


def test_a_calibration_for_another_number_of_classes_is_refused() -> None:
    with pytest.raises(CheckpointError, match="calibration is for 2 classes, the network has 3"):
        make_network().calibrate(Scaling("temperature", (0.5, 0.5), (0.0, 0.0)), 3)
