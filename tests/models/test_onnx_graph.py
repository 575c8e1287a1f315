"""Gaps and probabilities inside the graph, and what has no graph; whole files are tested with `onnx_file`."""

import sys

import pytest
import torch
from network_factory import BANDS, make_image, make_statistics
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models import Kind, Network, build_network
from eoseg.models.onnx_graph import RawGraph, decode, require_graph, require_packages, to_onnx


def make_network(body: nn.Module) -> Network:
    network = Network(body, bands=BANDS[3], output_stride=1).eval()
    network.normalize.set_statistics(make_statistics(BANDS[3]))
    return network


class Asks(nn.Module):
    """Goes another way for bright images, which no graph can."""

    def forward(self, image: Tensor) -> Tensor:
        return image + 1 if image.sum() > 0 else image


def test_probabilities_are_those_of_classes_labels_and_values() -> None:
    logits = torch.tensor([[0.0, 0.0, torch.tensor(2.0).log()]])
    torch.testing.assert_close(decode(logits, "classes"), torch.tensor([[0.25, 0.25, 0.5]]))
    torch.testing.assert_close(decode(logits, "labels"), torch.tensor([[0.5, 0.5, 2 / 3]]))
    torch.testing.assert_close(decode(logits, "values"), logits)


@pytest.mark.parametrize("gap", [float("nan"), float("inf")])
def test_a_pixel_without_a_number_in_one_band_has_no_value(gap: float) -> None:
    network = make_network(nn.Conv2d(3, 4, 3, padding=1))
    image, _ = make_image(3, 8, 8)
    image = image.nan_to_num(100.0)
    valid = torch.ones(2, 8, 8, dtype=torch.bool)
    image[0, 1, 2, 3], valid[0, 2, 3] = gap, False
    result = RawGraph(network, output="values")(image)
    torch.testing.assert_close(result, network(image, valid))
    assert result.isfinite().all()


@pytest.mark.parametrize("nodata", [0.0, 65535.0, -9999.0])
def test_nodata_means_no_value_even_after_a_division_by_255_and_back(nodata: float) -> None:
    network = make_network(nn.Conv2d(3, 4, 3, padding=1))
    image = make_image(3, 8, 8)[0].nan_to_num(100.0)
    valid = torch.ones(2, 8, 8, dtype=torch.bool)
    image[1, 0, 5, 5], valid[1, 5, 5] = nodata, False
    image[1, 0, 6, 6] = nodata + 1  # the nearest whole number is a value
    returned = (image / 255) / (1 / 255)
    graph = RawGraph(network, output="values", nodata=nodata)
    torch.testing.assert_close(graph(returned), network(image, valid), rtol=1e-4, atol=1e-4)
    without = RawGraph(network, output="values")(returned)
    assert (without - graph(returned)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("kind", "message"), [("series", "for series"), ("pretraining", "no classes to map")]
)
def test_networks_that_are_no_graph_of_one_image_are_refused(kind: Kind, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_graph(Network(nn.Identity(), bands=BANDS[3], output_stride=1, kind=kind))


@pytest.mark.parametrize(
    ("kind", "arch"), [("segmentation", "random_forest"), ("change", "image_differencing")]
)
def test_models_that_are_fitted_in_one_go_are_refused(kind: Kind, arch: str) -> None:
    steps = 2 if kind == "change" else 1
    network = build_network(arch, kind=kind, bands=BANDS[3], num_classes=2, steps=steps)
    with pytest.raises(ConfigError, match="a classical model"):
        require_graph(network)


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"'onnxscript', which is missing.*pip install \"eoseg\[onnx\]\""):
        require_packages("onnx", "onnxscript", extra="onnx")


def test_a_network_that_cannot_be_traced_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="cannot be written as ONNX at any size. Fix one") as refused:
        to_onnx(Asks(), torch.zeros(2, 3, 4, 4), output="values", any_batch=True, any_size=1)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")  # torch prints the whole graph otherwise
