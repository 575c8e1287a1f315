"""The fastest way to run a network that its map allows: chosen, compared with the network, and said."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eoseg.errors import ConfigError
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network
from eoseg.models.onnx_graph import Output
from eoseg.predict.acceleration import (
    MAX_DEVIATION,
    accelerate,
    accepts_classes,
    accepts_values,
    has_fast_bfloat16,
)
from eoseg.predict.backends import onnxruntime_runner, openvino_runner
from eoseg.predict.options import PredictOptions
from eoseg.predict.parity import Parity, measure_parity
from eoseg.predict.runner import Precision, Runner
from eoseg.recipe import Recipe

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Images:
    """Some tiles of the scene, to compare with: raw values, where they are valid, and days."""

    image: Tensor
    valid: Tensor
    days: Tensor | None


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a network is run."""

    run: Runner
    name: str
    """Backend and precision, which the values depend on a little."""
    parity: Parity | None = None
    """How it compares with the network in float32; None where it is that."""
    pixel_seconds: float | None = None
    """Seconds that it takes per pixel, where tiles of the full size were computed already."""

    @property
    def precision(self) -> Precision:
        """Of the network."""
        return "bfloat16" if self.name.endswith("bfloat16") else "float32"

    def __str__(self) -> str:
        if self.parity is None:
            return self.name
        return (
            f"{self.name} ({self.parity.share:.2%} of {self.parity.pixels:,} compared pixels differ from "
            "torch in float32)"
        )


def choose_runtime(
    network: Network,
    recipe: Recipe,
    options: PredictOptions,
    *,
    device: torch.device,
    steps: int,
    images: Callable[[], Sequence[Images]],
    batch_size: int,
) -> Runtime:
    """Choose how to run a network.

    By default batch normalisation is folded, and weights are in bfloat16 where the device is made for that
    and some tiles give the same map up to `MAX_DIFFERING_SHARE` (see `eoseg.predict.acceleration`).

    Args:
        network: In evaluation mode and on the device.
        recipe: Its recipe.
        options: Backend, precision and whether to compile.
        device: Where it runs.
        steps: T, the number of dates of an image.
        images: Gives tiles to compare with, on the device and of the size of all tiles, where that is
            needed.
        batch_size: Tiles per pass.

    Raises:
        ConfigError: What was asked for does not work here, or gives another map.
    """
    if options.backend != "torch":
        return _other_backend(network, recipe, options, steps=steps, images=images(), batch_size=batch_size)
    automatic = options.precision == "auto"
    is_suited = not isinstance(network.body, FittedBody) and has_fast_bfloat16(device)
    if options.precision == "bfloat16" or (automatic and is_suited):
        try:
            half = accelerate(
                network, precision="bfloat16", compiled=options.compile, device=device, steps=steps
            )
            parity, _ = _compare(network, half, recipe, images())
            if not _accepts(parity, recipe):
                raise ConfigError(_refusal("--precision bfloat16", parity))
        except ConfigError as error:
            if not automatic:
                raise
            _logger.debug("no bfloat16: %s", error)
        else:
            return Runtime(half, "torch, bfloat16", parity)
    plain = accelerate(network, compiled=options.compile, device=device, steps=steps)
    return Runtime(plain, "torch, float32")


def _other_backend(
    network: Network,
    recipe: Recipe,
    options: PredictOptions,
    *,
    steps: int,
    images: Sequence[Images],
    batch_size: int,
) -> Runtime:
    if options.compile:
        raise ConfigError(f"--compile is torch's; found --backend {options.backend}. Leave one of them out.")
    if not images:
        return Runtime(network, "torch, float32")  # nothing is valid, so nothing will be computed
    precision: Precision = "bfloat16" if options.precision == "bfloat16" else "float32"
    if options.backend == "onnxruntime" and precision == "bfloat16":
        raise ConfigError(
            "onnxruntime computes in float32; found --precision bfloat16. Use torch or openvino."
        )

    def compiled(height: int, width: int) -> Runner:
        threads = torch.get_num_threads()
        sizes = {"height": height, "width": width, "batch_size": batch_size, "steps": steps}
        if options.backend == "onnxruntime":
            return onnxruntime_runner(network, **sizes, threads=threads)
        return openvino_runner(network, **sizes, threads=threads, precision=precision)

    height, width = images[0].image.shape[-2:]
    run = compiled(height, width)
    if options.tta and height != width:
        run = _BothWays(run, compiled(width, height), height=height)
    parity, seconds = _compare(network, run, recipe, images)
    if not _accepts(parity, recipe):
        raise ConfigError(_refusal(f"--backend {options.backend}", parity))
    return Runtime(run, f"{options.backend}, {precision}", parity, seconds)


class _BothWays:
    """A network compiled for images of one size, and for the same lying on their side."""

    def __init__(self, upright: Runner, turned: Runner, *, height: int) -> None:
        self._upright, self._turned, self._height = upright, turned, height

    def __call__(self, image: Tensor, valid: Tensor, days: Tensor | None = None) -> Tensor:
        run = self._upright if image.shape[-2] == self._height else self._turned
        return run(image, valid, days)


@torch.inference_mode()
def _compare(
    network: Network, run: Runner, recipe: Recipe, images: Sequence[Images]
) -> tuple[Parity, float | None]:
    """How both compare, and how many seconds the runner took per pixel of the last image."""
    schema, target = recipe.schema, recipe.statistics.target
    kind: Output = "values" if schema.quantity else "labels" if schema.multilabel else "classes"
    tolerance = MAX_DEVIATION * target.std if target else 0.0
    total, seconds = Parity(0, 0, 0.0), None
    for each in images:
        expected = network(each.image, each.valid, each.days)
        started = time.perf_counter()
        found = run(each.image, each.valid, each.days)
        seconds = (time.perf_counter() - started) / (len(each.image) * math.prod(each.image.shape[-2:]))
        total += measure_parity(expected, found, kind=kind, tolerance=tolerance)
    return total, seconds


def _accepts(parity: Parity, recipe: Recipe) -> bool:
    target = recipe.statistics.target
    if recipe.schema.quantity is not None and target is not None:
        return accepts_values(parity.worst, std=target.std)
    return accepts_classes(parity.share)


def _refusal(option: str, parity: Parity) -> str:
    return (
        f"With {option} {parity.share:.2%} of {parity.pixels:,} compared pixels differ from the network in "
        f"float32 (by up to {parity.worst:.3g}), which is too much. Leave {option} out."
    )
