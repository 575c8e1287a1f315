"""How long a prediction will take, from one small pass of the network as it will be run."""

import time
from typing import Protocol

import torch
from torch import Tensor

from eoseg.predict.plan import ChipPlan, Layout
from eoseg.predict.runner import Runner

_CPU_PX, _GPU_PX = 256, 1024  # side of the small image: a GPU is not busy with less
_SHARE = 16  # of all that is to be computed, the small image is no more than one part in so many
_REST_PER_PIXEL = 1e-7  # seconds for reading, writing and checking a pixel of the scene, about


class Example(Protocol):
    """Gives an image of any size as the network takes it."""

    def __call__(self, count: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Raw values, where they are valid, and days."""
        ...


def pushed_pixels(layout: Layout) -> int:
    """Pixels that pass through the network for a whole scene, each as often as it does."""
    plan = layout.plan
    return len(plan) * plan.chip_size**2 if isinstance(plan, ChipPlan) else plan.read_pixels


def time_pass(run: Runner, layout: Layout, example: Example, *, device: torch.device) -> float:
    """Seconds that the network takes per pixel; of two passes the shorter, since the first one prepares."""
    plan, most = layout.plan, pushed_pixels(layout) // _SHARE
    if isinstance(plan, ChipPlan):
        count = max(1, min(layout.batch_size, most // plan.chip_size**2))
        height = width = plan.chip_size
    else:
        side = min(_GPU_PX if device.type == "cuda" else _CPU_PX, int(most**0.5))
        side = max(2, side // plan.stride) * plan.stride
        height, width = (min(side, length) for length in plan.read_size)
        count = 1
    image, valid, days = example(count, height, width)
    return min(_timed(run, image, valid, days, device) for _ in range(2)) / (count * height * width)


def total_seconds(pixel_seconds: float, layout: Layout, *, pixels: int, finished: int = 0) -> float:
    """Seconds that a run takes, without its start.

    Args:
        pixel_seconds: Of the network.
        layout: The tiles.
        pixels: Of the scene.
        finished: Tiles that an earlier run has left.
    """
    whole = pixel_seconds * pushed_pixels(layout) + _REST_PER_PIXEL * pixels
    return whole * (1 - finished / len(layout.plan))


@torch.inference_mode()
def _timed(run: Runner, image: Tensor, valid: Tensor, days: Tensor | None, device: torch.device) -> float:
    started = time.perf_counter()
    run(image, valid, days)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
