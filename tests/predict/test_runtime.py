"""How a network is run: the fastest way that gives the same map, or what was asked for, or one line."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import MakeScene
from predict_factory import BANDS, Brightness, Convolutions, make_network, make_recipe, smooth_noise
from torch import nn

from eoseg.errors import ConfigError
from eoseg.predict import Prediction, PredictOptions, predict_scene, runtime

IMAGE = smooth_noise(90, 110)


class Narrow(nn.Module):
    """Classes that hang on a difference which 8 bits of mantissa cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 4, 1)
        with torch.no_grad():
            self.mix.weight[:] = torch.tensor([1.0, 1.001, 1.002, 1.003])[:, None, None, None]
            self.mix.bias[:] = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.mix(image + 100)


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene("s.tif", IMAGE, names=BANDS)


@pytest.fixture
def has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that is made for bfloat16; any other computes the same, slowly."""
    for module in (runtime, runtime.accelerate.__globals__):
        if isinstance(module, dict):
            monkeypatch.setitem(module, "has_fast_bfloat16", lambda device: True)
        else:
            monkeypatch.setattr(module, "has_fast_bfloat16", lambda device: True)


def predict(scene: Path, body: nn.Module, name: str = "map.tif", **options: object) -> Prediction:
    out = scene.with_name(name)
    chosen = PredictOptions(tile=32, **options)
    return predict_scene(make_network(body), make_recipe(), str(scene), out, options=chosen)


def read(prediction: Prediction) -> np.ndarray:
    with rasterio.open(prediction.path) as dataset:
        assert dataset.tags()["EOSEG_RUNTIME"] == prediction.runtime
        return dataset.read(1)


def test_float32_needs_no_words(scene: Path) -> None:
    assert predict(scene, Brightness(), precision="float32").runtime == "torch, float32"


def test_bfloat16_is_taken_where_the_map_stays_the_same(scene: Path, has_bfloat16: None) -> None:
    fast = predict(scene, Brightness())
    assert fast.runtime.startswith("torch, bfloat16 (0.")
    assert fast.runtime.endswith("compared pixels differ from torch in float32)")
    plain = predict(scene, Brightness(), "plain.tif", precision="float32")
    assert (read(fast) != read(plain)).mean() < 0.02


def test_the_symmetries_are_run_as_fast_as_the_scene_itself(scene: Path, has_bfloat16: None) -> None:
    exact = read(predict(scene, Convolutions(2), "a.tif", precision="float32", tta=True))
    half = predict(scene, Convolutions(2), "b.tif", tta=True)
    assert "bfloat16" in half.runtime
    assert (read(half) != exact).mean() < 0.02
    assert (exact != read(predict(scene, Convolutions(2), "c.tif", precision="float32"))).mean() > 0.02


def test_bfloat16_is_left_alone_where_the_map_would_be_another(scene: Path, has_bfloat16: None) -> None:
    assert predict(scene, Narrow()).runtime == "torch, float32"
    with pytest.raises(ConfigError, match=r"With --precision bfloat16 \d+\.\d+% of .* too much"):
        predict(scene, Narrow(), "b.tif", precision="bfloat16")
    assert not scene.with_name("b.tif.parts").exists()


def test_bfloat16_is_refused_where_the_processor_is_not_made_for_it(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(runtime.accelerate.__globals__, "has_fast_bfloat16", lambda device: False)
    monkeypatch.setattr(runtime, "has_fast_bfloat16", lambda device: False)
    assert predict(scene, Brightness()).runtime == "torch, float32"
    with pytest.raises(ConfigError, match="no instructions for bfloat16"):
        predict(scene, Brightness(), "b.tif", precision="bfloat16")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_other_backends_give_the_same_map(scene: Path, backend: str) -> None:
    plain = predict(scene, Convolutions(3), precision="float32")
    other = predict(scene, Convolutions(3), "other.tif", backend=backend, batch_size=2)
    assert other.runtime.startswith(f"{backend}, float32 (0.00% of ")
    assert (read(other) != read(plain)).mean() < 0.001


def test_a_backend_that_gives_another_map_is_refused(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(network, **sizes):
        return lambda image, valid, days=None: network(image, valid, days).roll(1, dims=1)

    monkeypatch.setattr(runtime, "onnxruntime_runner", wrong)
    with pytest.raises(ConfigError, match="With --backend onnxruntime .* differ .* Leave --backend"):
        predict(scene, Convolutions(3), backend="onnxruntime")


def test_what_a_backend_cannot_do_is_one_line(scene: Path) -> None:
    with pytest.raises(ConfigError, match="--compile is torch's; found --backend onnxruntime"):
        predict(scene, Brightness(), backend="onnxruntime", compile=True)
    with pytest.raises(ConfigError, match="onnxruntime computes in float32"):
        predict(scene, Brightness(), backend="onnxruntime", precision="bfloat16")
