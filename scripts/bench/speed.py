"""The default way to run the network against every other way in float32 on this machine.

Each way runs in a process of its own, because the allocator is set for a whole process.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from figures import Figure
from torch import Tensor
from world import make_network

LIMIT = 0.95
DEFAULT = "eoseg's default"
SIDE, BANDS = 1600, 4  # what the default tiles of a U-Net of full depth read in a scene of 4096 px
CPU = torch.device("cpu")
type Way = Callable[[Tensor, Tensor], Tensor]


def measure(_: Path, side: int = SIDE, rounds: int = 3, threads: tuple[int, ...] = (1, 2)) -> list[Figure]:
    """Megapixels per second of each way; CPU seconds with one thread, wall with more."""
    figures = []
    for count in threads:
        best = dict.fromkeys(WAYS, 0.0)
        for _ in range(rounds):  # by turns, so that a slow minute of the machine hits all of them
            for name in WAYS:
                best[name] = max(best[name], _in_child(name, side, count))
        others = [speed for name, speed in best.items() if name != DEFAULT and "bfloat16" not in name]
        clock = "CPU" if count == 1 else "wall"
        for name, speed in best.items():
            figures.append(Figure("speed", f"{name}, {count} thread(s)", speed, f"MP/s ({clock})"))
        note = f"tiles of {side} px, {BANDS} bands, best of {rounds}"
        what = f"default / fastest other way, {count} thread(s)"
        figures.append(Figure("speed", what, best[DEFAULT] / max(others), "", LIMIT, note=note))
    return figures


def _in_child(name: str, side: int, threads: int) -> float:
    command = [sys.executable, __file__, name, str(side), str(threads)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        print(f"{name}: {result.stderr.splitlines()[-1:]}", file=sys.stderr)
        return 0.0
    speed = float(json.loads(result.stdout.splitlines()[-1]))
    print(f"{name}, {threads} thread(s): {speed:.3f}", file=sys.stderr, flush=True)
    return speed


def _eager(side: int, threads: int) -> Way:  # noqa: ARG001
    network = make_network(BANDS)
    body = network.body.to(memory_format=torch.contiguous_format)
    return lambda image, valid: body(network.normalize(image, valid))


def _channels_last(side: int, threads: int) -> Way:  # noqa: ARG001
    return make_network(BANDS)


def _default(side: int, threads: int) -> Way:  # noqa: ARG001
    from eoseg.predict import keep_freed_memory
    from eoseg.predict.acceleration import accelerate

    keep_freed_memory()
    return accelerate(make_network(BANDS), device=CPU)


def _compiled(side: int, threads: int) -> Way:  # noqa: ARG001
    from eoseg.predict import keep_freed_memory
    from eoseg.predict.acceleration import accelerate

    keep_freed_memory()
    return accelerate(make_network(BANDS), compiled=True, device=CPU)


def _frozen(side: int, threads: int) -> Way:  # noqa: ARG001
    from eoseg.predict import keep_freed_memory

    keep_freed_memory()
    network = make_network(BANDS)
    image = torch.randn(1, BANDS, side, side).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(False), torch.no_grad():
        traced = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network.body, image)))
    return lambda image, valid: traced(network.prepare(image, valid))


def _onnxruntime(side: int, threads: int) -> Way:
    from eoseg.predict.backends import onnxruntime_runner

    return onnxruntime_runner(make_network(BANDS), height=side, width=side, batch_size=1, threads=threads)


def _openvino(side: int, threads: int) -> Way:
    from eoseg.predict.backends import openvino_runner

    return openvino_runner(make_network(BANDS), height=side, width=side, batch_size=1, threads=threads)


WAYS: dict[str, Callable[[int, int], Way]] = {
    DEFAULT: _default,
    "eager": _eager,
    "channels last": _channels_last,
    "torch.compile": _compiled,
    "torch.jit, frozen": _frozen,
    "onnxruntime": _onnxruntime,
    "OpenVINO": _openvino,
}


def _child(name: str, side: int, threads: int) -> None:
    torch.set_num_threads(threads)
    run = WAYS[name](side, threads)
    image = 1000 + 300 * torch.randn(1, BANDS, side, side)
    valid = torch.ones(1, side, side, dtype=torch.bool)
    clock = time.process_time if threads == 1 else time.perf_counter
    best = float("inf")
    with torch.inference_mode():
        for _ in range(2):
            run(image, valid)  # compiles, and takes the memory
        for _ in range(3):
            started = clock()
            run(image, valid)
            best = min(best, clock() - started)
    print(json.dumps(side**2 / 1e6 / best))


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
