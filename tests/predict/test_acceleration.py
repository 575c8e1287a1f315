"""A faster network gives the same logits, or says why it cannot be had."""

import functools

import pytest
import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models import Kind, Network, build_network
from eoseg.models.fold import trial_image
from eoseg.predict.acceleration import (
    accelerate,
    accepts_classes,
    accepts_values,
    has_fast_bfloat16,
    runs,
    uncompiled,
)
from eoseg.recipe import BandStatistics, Statistics

CPU = torch.device("cpu")
BANDS = ("red", "green", "blue")
MEAN = 10_000.0
"""Far from 0: in bfloat16 the next number below it is 9984."""


def make_network(arch: str = "plain_unet", *, kind: Kind = "segmentation", steps: int = 1) -> Network:
    """A small network of three bands whose values lie within 10 of a mean of 10000."""
    torch.manual_seed(0)
    args = {"width": 8, "depth": 2} if arch == "plain_unet" else {}
    network = build_network(arch, bands=BANDS, num_classes=4, kind=kind, args=args, steps=steps, chip_size=20)
    return ready(network)


def ready(network: Network) -> Network:
    entries = tuple(BandStatistics(name, MEAN, 10.0, 0.0, 9980.0, 10020.0, 10040.0) for name in BANDS)
    network.normalize.set_statistics(Statistics(entries, "uint16", 1, 1, (1,)))
    return network.eval()


def images(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = MEAN + 10 * torch.randn(*shape, generator=generator)
    return image, torch.rand(*shape[:-3], *shape[-2:], generator=generator) > 0.1


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest logit."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture
def fast_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with instructions for bfloat16, wherever this runs."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@torch.inference_mode()
def test_float32_gives_the_logits_of_the_network():
    network = make_network()
    inputs = images(2, 3, 16, 24)
    found = accelerate(network, device=CPU)(*inputs)
    assert 0 < difference(found, network(*inputs)) < 1e-4  # folded, so not to the last bit


@torch.inference_mode()
def test_a_series_is_run_with_its_days():
    network = make_network("ltae", kind="series", steps=5)
    image, valid = images(1, 5, 3, 4, 4)
    runner = accelerate(network, device=CPU, steps=5)
    for days in (torch.arange(5.0)[None], 70 * torch.arange(5.0)[None]):
        assert difference(runner(image, valid, days), network(image, valid, days)) < 1e-4


def test_a_model_that_is_fitted_in_one_go_runs_as_it_is():
    network = make_network("random_forest")
    assert accelerate(network, device=CPU) is network


@torch.inference_mode()
def test_bfloat16_changes_logits_a_little_and_the_network_not_at_all(fast_bfloat16):
    network = make_network()
    inputs = images(2, 3, 16, 24)
    expected = network(*inputs)
    found = accelerate(network, precision="bfloat16", device=CPU)(*inputs)
    assert found.dtype == torch.float32
    assert 1e-4 < difference(found, expected) < 0.05  # standardised in bfloat16, it would be 1
    assert torch.equal(network(*inputs), expected)
    assert {value.dtype for value in network.parameters()} == {torch.float32}


@torch.inference_mode()
def test_bfloat16_leaves_the_days_of_a_series_alone(fast_bfloat16):
    network = make_network("ltae", kind="series", steps=5)
    image, valid = images(1, 5, 3, 4, 4)
    days = torch.tensor([[3.0, 91.0, 181.0, 271.0, 365.0]])
    seen = []
    runner = accelerate(network, precision="bfloat16", device=CPU, steps=5)
    runner.body.body.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    runner(image, valid, days)
    assert seen[0].dtype == torch.bfloat16
    assert torch.equal(seen[1], valid)
    assert torch.equal(seen[2], days)


@torch.inference_mode()
def test_bfloat16_is_tried_on_chips_of_the_size_that_a_classifier_takes(fast_bfloat16):
    network = make_network("lenet5", kind="classification")
    inputs = images(2, 3, 20, 20)
    found = accelerate(network, precision="bfloat16", device=CPU)(*inputs)
    assert 0 < difference(found, network(*inputs)) < 0.05


def test_bfloat16_is_refused_where_it_is_slow(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_f": True})
    with pytest.raises(ConfigError, match=r"device 'cpu' has no instructions for bfloat16.*float32"):
        accelerate(make_network(), precision="bfloat16", device=CPU)


class Fourier(nn.Module):
    """A layer that torch does not compute in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(self.conv(image))).real


class Cancelling(nn.Module):
    """A layer that divides by zero in bfloat16, where 1.001 is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image) / ((torch.zeros_like(image[:, :1]) + 1.001) - 1)


@pytest.mark.parametrize("body", [Fourier, Cancelling])
def test_a_layer_that_does_not_run_in_bfloat16_is_found_by_trying(body, fast_bfloat16):
    network = ready(Network(body(), bands=BANDS, output_stride=1))
    assert runs(network, trial_image(network))
    with pytest.raises(ConfigError, match=r"layer of this network does not run in bfloat16"):
        accelerate(network, precision="bfloat16", device=CPU)


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"compiled": True}])
def test_options_of_networks_are_refused_for_other_models(options, fast_bfloat16):
    with pytest.raises(ConfigError, match=r"no neural network.*--precision and --compile"):
        accelerate(make_network("random_forest"), device=CPU, **options)


@pytest.mark.parametrize(
    ("features", "is_fast"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"bf16": True}, True),
        ({"avx512_bf16": False, "avx512_f": True}, False),
        ({}, False),
    ],
)
def test_a_processor_is_fast_in_bfloat16_where_it_has_instructions(features, is_fast, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert has_fast_bfloat16(CPU) == is_fast


def test_a_device_that_computes_nothing_is_not_fast():
    assert not has_fast_bfloat16(torch.device("meta"))


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Compile to nothing but the network itself, at once; counts the compilations."""
    seen: list[int] = []

    def backend(graph: nn.Module, inputs: list[Tensor]) -> nn.Module:
        seen.append(len(inputs))
        return graph

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    return seen


@torch.inference_mode()
def test_one_shape_is_compiled_and_all_shapes_are_run(compilations):
    network = make_network()
    runner = accelerate(network, compiled=True, device=CPU)
    for batch in (2, 2, 1, 2):
        inputs = images(batch, 3, 16, 24)
        assert difference(runner(*inputs), network(*inputs)) < 1e-4
    assert len(compilations) == 1


@torch.inference_mode()
def test_what_the_network_refuses_is_refused_before_it_is_compiled(compilations):
    runner = accelerate(make_network(), compiled=True, device=CPU)
    with pytest.raises(ConfigError, match=r"multiples of 4 pixels, found height 18"):
        runner(*images(1, 3, 18, 24))
    assert compilations == []


@torch.inference_mode()
def test_a_failed_compilation_is_one_line(monkeypatch):
    def backend(graph: nn.Module, inputs: list[Tensor]) -> nn.Module:
        raise RuntimeError("no compiler\nwas found")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    runner = accelerate(make_network(), compiled=True, device=CPU)
    with pytest.raises(ConfigError, match=r"cannot be compiled here.*C\+\+ compiler.*--compile") as caught:
        runner(*images(1, 3, 16, 24))
    assert "\n" not in str(caught.value)


def test_half_a_percent_of_other_classes_is_accepted():
    assert accepts_classes(0.0)
    assert accepts_classes(0.005)
    assert not accepts_classes(0.0051)
    assert not accepts_classes(float("nan"))


def test_a_hundredth_of_the_spread_of_a_quantity_is_accepted():
    assert accepts_values(0.2, std=20.0)
    assert not accepts_values(0.21, std=20.0)
    assert not accepts_values(float("nan"), std=20.0)


def test_a_compiled_network_can_be_tried_at_any_size_as_it_was() -> None:
    network = make_network()
    run = accelerate(network, compiled=True, device=torch.device("cpu"))
    before = uncompiled(run)
    assert before is not run
    assert isinstance(before, nn.Module)
    assert uncompiled(before) is before
