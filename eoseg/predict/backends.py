"""Other runtimes than torch for the same network on a CPU: onnxruntime and OpenVINO.

A runner takes the place of a network: raw values in, logits out. The normalisation, the unit of a quantity
and a calibration stay with torch in float32: they cost next to nothing, and raw values do not fit bfloat16.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.errors import ConfigError
from eoseg.models.network import Network
from eoseg.models.onnx_graph import require_graph, require_packages, to_onnx
from eoseg.predict.runner import Precision, Runner

type _Compute = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def onnxruntime_runner(
    network: Network, *, height: int, width: int, batch_size: int, steps: int = 1, threads: int
) -> Runner:
    """Compile a network for onnxruntime, with fixed sizes.

    Args:
        network: On the CPU; is put into evaluation mode.
        height: Of what a tile reads, in pixels.
        width: Of what a tile reads, in pixels.
        batch_size: Tiles per pass; fewer are filled up.
        steps: T, the number of dates.
        threads: That onnxruntime may use.

    Raises:
        ConfigError: A package is missing, the network has no graph or is on a GPU, or a size does not fit.
    """
    require_packages("onnx", "onnxscript", "onnxruntime", extra="onnx")
    import onnxruntime

    shape = _shape(network, batch_size, steps, height, width)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would spin between passes, on the processors that torch and the reader want meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        _body_as_onnx(network, shape), options, providers=["CPUExecutionProvider"]
    )

    def compute(standardised: NDArray[np.float32]) -> NDArray[np.float32]:
        return cast(NDArray[np.float32], session.run(None, {"image": standardised})[0])

    return _OtherRuntime(network, compute, shape)


def openvino_runner(
    network: Network,
    *,
    height: int,
    width: int,
    batch_size: int,
    steps: int = 1,
    threads: int,
    precision: Precision = "float32",
) -> Runner:
    """Compile a network for OpenVINO, with fixed sizes.

    Args:
        network: On the CPU; is put into evaluation mode.
        height: Of what a tile reads, in pixels.
        width: Of what a tile reads, in pixels.
        batch_size: Tiles per pass; fewer are filled up.
        steps: T, the number of dates.
        threads: That OpenVINO may use.
        precision: In which type to compute.

    Raises:
        ConfigError: A package is missing, the network has no graph or is on a GPU, a size does not fit, or
            the processor has no bfloat16.
    """
    require_packages("onnx", "onnxscript", "openvino", extra="openvino")
    shape = _shape(network, batch_size, steps, height, width)
    core = _openvino_core()
    if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        # OpenVINO would compute in float32 and say nothing.
        raise ConfigError(
            "This processor has no instructions for bfloat16 (AVX512_BF16 or AMX). Use the precision float32."
        )
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(core.read_model(_body_as_onnx(network, shape)), "CPU", settings)

    def compute(standardised: NDArray[np.float32]) -> NDArray[np.float32]:
        return cast(NDArray[np.float32], compiled(standardised, share_outputs=False)[0])

    return _OtherRuntime(network, compute, shape)


@cache
def _openvino_core() -> Any:
    """OpenVINO, which is started once and stays.

    It gives the thread that starts it a stack for signals, and takes it away where it ends. Were that in
    another thread, which is where Python may happen to clean up, the first thread would keep an address
    without memory, and the next signal that Python handles would kill the process.
    """
    import openvino

    return openvino.Core()


class _OtherRuntime:
    """A network whose body another runtime computes."""

    def __init__(self, network: Network, compute: _Compute, shape: tuple[int, ...]) -> None:
        self._network = network
        self._compute = compute
        self._shape = shape

    def __call__(self, image: Tensor, valid: Tensor, days: Tensor | None = None) -> Tensor:  # noqa: ARG002
        if image.shape[1:] != self._shape[1:] or len(image) > self._shape[0]:
            raise ConfigError(
                f"The network was compiled for tiles {self._shape}, and no larger a batch; found "
                f"{tuple(image.shape)}. Give tiles of one size."
            )
        standardised = np.zeros(self._shape, np.float32)  # a smaller batch is filled up
        standardised[: len(image)] = self._network.prepare(image, valid).numpy(force=True)
        logits = torch.from_numpy(self._compute(standardised))[: len(image)]
        return self._network.finish(logits)


def _shape(network: Network, batch_size: int, steps: int, height: int, width: int) -> tuple[int, ...]:
    """The shape of what the body takes, once it is known to fit."""
    require_graph(network)
    device = network.normalize.mean.device
    if device.type != "cpu":
        raise ConfigError(
            f"onnxruntime and OpenVINO run on the CPU here, the network is on '{device}'. Use --device cpu "
            "with them, or torch on the GPU."
        )
    network.check_size(height, width)
    dates = () if network.takes_one_date else (steps,)
    return (batch_size, *dates, len(network.normalize.bands), height, width)


def _body_as_onnx(network: Network, shape: tuple[int, ...]) -> bytes:
    model = to_onnx(network.eval().body, torch.zeros(shape), output="logits")
    return bytes(model.SerializeToString())
