"""Other runtimes give what the network gives, for full and for smaller batches."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import openvino
import pytest
import torch
from predict_factory import (
    ChipBrightness,
    Constant,
    Convolutions,
    PairConvolutions,
    Pooled,
    SeriesConvolutions,
    make_network,
    make_recipe,
)
from torch import Tensor

from eoseg.errors import ConfigError
from eoseg.models.network import Network
from eoseg.predict.backends import Runner, onnxruntime_runner, openvino_runner
from eoseg.predict.parity import measure_parity, training_like_image
from eoseg.recipe import Quantity, Recipe, Scaling

RUNTIMES = [onnxruntime_runner, openvino_runner]
HAS_BFLOAT16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def tiles(recipe: Recipe, count: int, *, height: int = 24, width: int = 16) -> tuple[Tensor, Tensor]:
    """Raw values, and where there are any; NaN elsewhere."""
    dates = () if recipe.schema.time == "single" else (recipe.schema.steps,)
    shape = (count, *dates, len(recipe.schema.bands), height, width)
    image = training_like_image(recipe.statistics, shape, seed=count)
    return image, image.isfinite().all(dim=-3)


@torch.inference_mode()
def require_same(network: Network, runner: Runner, recipe: Recipe, counts: tuple[int, ...]) -> None:
    for count in counts:
        image, valid = tiles(recipe, count)
        torch.testing.assert_close(runner(image, valid), network(image, valid), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_logits_of_batches_and_of_a_smaller_last_one(runtime: Callable[..., Runner]) -> None:
    recipe = make_recipe(stride=2)
    network = make_network(Pooled(), stride=2)
    runner = runtime(network, height=24, width=16, batch_size=3, threads=1)
    require_same(network, runner, recipe, (3, 1, 3))
    with pytest.raises(ConfigError, match=r"compiled for tiles \(3, 3, 24, 16\).*found \(1, 3, 16, 24\)"):
        runner(*tiles(recipe, 1, height=16, width=24))
    with pytest.raises(ConfigError, match=r"no larger a batch; found \(4, 3, 24, 16\)"):
        runner(*tiles(recipe, 4))


_SIGNAL = """
import os, signal, sys, threading
sys.path[:0] = {path!r}
from predict_factory import Pooled, make_network
from eoseg.predict.backends import openvino_runner

signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
held = [openvino_runner(make_network(Pooled(), stride=2), height=8, width=8, batch_size=1, threads=1)]
cleaner = threading.Thread(target=held.clear)
cleaner.start()
cleaner.join()
os.kill(os.getpid(), signal.SIGUSR1)
print("alive")
"""


def test_a_signal_after_openvino_was_cleaned_up_by_a_thread_is_handled() -> None:
    """OpenVINO takes its stack for signals with it when it ends in another thread than it began in."""
    script = _SIGNAL.format(path=[str(Path(__file__).parent), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["handled", "alive"]), done.stderr


def test_change_between_two_dates() -> None:
    recipe = make_recipe(time="pair", steps=2)
    network = make_network(PairConvolutions(2), recipe=recipe)
    runner = onnxruntime_runner(network, height=24, width=16, batch_size=2, steps=2, threads=1)
    require_same(network, runner, recipe, (2, 1))


def test_a_quantity_in_its_unit() -> None:
    recipe = make_recipe(quantity=Quantity("height", "m"))
    network = make_network(Convolutions(1, classes=1), recipe=recipe)
    runner = openvino_runner(network, height=24, width=16, batch_size=1, threads=1)
    require_same(network, runner, recipe, (1,))


def test_calibrated_probabilities() -> None:
    recipe = make_recipe()
    network = make_network(Convolutions(1), recipe=recipe)
    classes = len(recipe.schema.classes)
    network.calibrate(Scaling("temperature", (0.25,) * classes, (0.0,) * classes), classes)
    runner = onnxruntime_runner(network, height=24, width=16, batch_size=1, threads=1)
    require_same(network, runner, recipe, (1,))
    image, valid = tiles(recipe, 1)
    calibrated = runner(image, valid)
    network.calibrate(None, classes)
    torch.testing.assert_close(calibrated, 0.25 * network(image, valid), rtol=1e-4, atol=1e-4)


def test_one_result_per_chip() -> None:
    recipe = make_recipe()
    network = make_network(ChipBrightness(), kind="classification")
    runner = onnxruntime_runner(network, height=24, width=16, batch_size=2, threads=1)
    require_same(network, runner, recipe, (2, 1))


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor has no bfloat16")
def test_bfloat16_takes_raw_values_of_sixteen_bits() -> None:
    # 60000 and 60100 are the same number in bfloat16: the normalisation must stay in float32
    recipe = make_recipe(dtype="uint16", values=(59900, 60000, 60100, 60200))
    network = make_network(Convolutions(2), recipe=recipe)
    runner = openvino_runner(network, height=24, width=16, batch_size=1, threads=1, precision="bfloat16")
    image, valid = tiles(recipe, 1)
    with torch.inference_mode():
        found = measure_parity(network(image, valid), runner(image, valid), kind="classes")
    assert found.share < 0.03
    assert 1e-4 < found.worst < 0.05  # float32 differs less


@pytest.mark.skipif(HAS_BFLOAT16, reason="this processor has bfloat16")
def test_bfloat16_is_refused_where_the_processor_has_none() -> None:
    with pytest.raises(ConfigError, match="no instructions for bfloat16"):
        openvino_runner(
            make_network(Constant()), height=8, width=8, batch_size=1, threads=1, precision="bfloat16"
        )


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_other_runtimes_cannot_run_is_refused(runtime: Callable[..., Runner]) -> None:
    sizes = {"height": 24, "width": 16, "batch_size": 1, "threads": 1}
    series = make_recipe(time="series", steps=3)
    with pytest.raises(ConfigError, match="for series"):
        runtime(make_network(SeriesConvolutions(1), recipe=series), steps=3, **sizes)
    with pytest.raises(ConfigError, match="multiples of 16 pixels, found height 24"):
        runtime(make_network(Constant(), stride=16), **sizes)
    with pytest.raises(ConfigError, match="run on the CPU here, the network is on 'meta'"):
        runtime(make_network(Constant()).to("meta"), **sizes)


@pytest.mark.parametrize(
    ("runtime", "package", "extra"),
    [(onnxruntime_runner, "onnxruntime", "onnx"), (openvino_runner, "openvino", "openvino")],
)
def test_a_missing_package_is_named(
    runtime: Callable[..., Runner], package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package '{package}'.*eoseg\[{extra}\]"):
        runtime(make_network(Constant()), height=8, width=8, batch_size=1, threads=1)
