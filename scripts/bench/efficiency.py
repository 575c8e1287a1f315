"""What share of the processor's time of a whole `predict` the network has."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from figures import Figure
from planned import plan_of
from world import make_network, make_recipe, write_scene

from eoseg.predict import Prediction, PredictOptions, Rank, predict_scene, predict_share, runtime
from eoseg.predict.acceleration import Runner, accelerate, has_fast_bfloat16

CPU = torch.device("cpu")
LIMITS = {"float32": 0.95, "bfloat16": 0.93}


def measure(folder: Path, side: int) -> list[Figure]:
    """CPU seconds of the network within a run / of the whole run, on one thread.

    Both are taken in the same run, so that a machine that gets slower or faster meanwhile disturbs neither.
    As a check, the note has the same number of passes made alone, a part before the run and one after it.
    """
    figures = []
    precisions = ("float32", "bfloat16") if has_fast_bfloat16(CPU) else ("float32",)
    for bands in (4, 10):
        scene = write_scene(folder / f"land_{side}_{bands}.tif", side, bands)
        for precision in precisions:
            figures += _measure(folder, scene, bands, precision)
    return figures


def _measure(folder: Path, scene: Path, bands: int, precision: str) -> list[Figure]:
    network = make_network(bands)
    recipe = make_recipe(network)
    options = PredictOptions(precision=precision, overwrite=True)
    small = write_scene(folder / f"land_512_{bands}.tif", 512, bands)
    predict_scene(network, recipe, str(small), folder / "small.tif", options=options)  # imports, first calls
    plan = plan_of(network, recipe, scene, options)
    height, width = plan.read_size
    run = accelerate(network, precision=precision, device=CPU)
    image, valid = torch.rand(1, bands, height, width) * 3000, torch.ones(1, height, width, dtype=torch.bool)
    _passes(run, image, valid, 1)
    some = max(1, len(plan) // 4)
    bare = _passes(run, image, valid, some)
    with _timed_network() as inside:
        started = time.process_time()
        done = predict_share(  # as the command does
            network,
            recipe,
            str(scene),
            folder / "map.tif",
            rank=Rank(),
            options=options,
            announce=lambda _: None,
        )
        whole = time.process_time() - started
    assert done is not None
    bare = (bare + _passes(run, image, valid, some)) / (2 * some) * len(plan)
    network_s = sum(inside[-len(plan) :])  # the first passes are those that ways are chosen by
    what = f"network / whole predict, {bands} bands, {precision}"
    note = f"CPU {network_s:.1f} of {whole:.1f} s, alone {bare:.1f} s"
    note += f"; {done.tiles} tiles of {done.tile} px, halo {done.halo} px"
    note += f"; {_described(done)}"
    return [Figure("efficiency", what, network_s / whole, "", LIMITS[precision], note=note)]


@contextmanager
def _timed_network() -> Iterator[list[float]]:
    """CPU seconds of each pass of the network that `predict` makes; one thread makes them all."""
    seconds: list[float] = []
    plain = runtime.accelerate

    def accelerate(*args: Any, **options: Any) -> Runner:
        run = plain(*args, **options)

        def timed(image: torch.Tensor, valid: torch.Tensor, days: torch.Tensor | None = None) -> torch.Tensor:
            started = time.thread_time()
            logits = run(image, valid, days)
            seconds.append(time.thread_time() - started)
            return logits

        return timed

    runtime.accelerate = accelerate
    try:
        yield seconds
    finally:
        runtime.accelerate = plain


def _passes(run: Runner, image: torch.Tensor, valid: torch.Tensor, count: int) -> float:
    started = time.process_time()
    with torch.inference_mode():
        for _ in range(count):
            run(image, valid)
    return time.process_time() - started


def _described(done: Prediction) -> str:
    times = done.times
    start = done.seconds - times.compute - times.read - times.write - times.finish
    return (
        f"wall: computing {times.compute:.1f}, reads {times.read:.1f}, writes {times.write:.1f}, "
        f"finishing {times.finish:.1f}, starting {start:.1f} s"
    )
