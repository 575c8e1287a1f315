#!/usr/bin/env python
"""Measure what folding, bfloat16 and compiling gain in the forward pass of a U-Net over ResNet-18.

Each way to run the network is timed by turns on one thread, in seconds of processor time, so that other
programs disturb little; the best of all rounds counts. Ways that this processor is not made for are left out.
Run it as `OMP_NUM_THREADS=1 .venv/bin/python scripts/bench_forward.py`; it takes some ten minutes.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from eoseg.models import Network, build_network
from eoseg.predict.acceleration import Runner, accelerate, has_fast_bfloat16
from eoseg.predict.memory import keep_freed_memory
from eoseg.recipe import BandStatistics, Statistics

CPU = torch.device("cpu")
CLASSES = 8
READS = ("256x8", "512x4", "1024x1", "1536x1")
WAYS: dict[str, Callable[[Network], Runner]] = {
    "as trained": lambda network: network,
    "folded": lambda network: accelerate(network, device=CPU),
    "folded, compiled": lambda network: accelerate(network, compiled=True, device=CPU),
    "folded, bfloat16": lambda network: accelerate(network, precision="bfloat16", device=CPU),
    "folded, bfloat16, compiled": lambda network: accelerate(
        network, precision="bfloat16", compiled=True, device=CPU
    ),
}


def main() -> None:
    """Time all ways for each number of bands and each size of what is read; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bands", type=int, nargs="+", default=[4, 10], help="numbers of bands")
    parser.add_argument("--reads", nargs="+", default=READS, metavar="PXxN", help="side and number of tiles")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way is run")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures as JSON too")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    ways = [name for name in WAYS if has_fast_bfloat16(CPU) or "bfloat16" not in name]
    print("| bands | read |" + "".join(f" {name} |" for name in ways))
    print("|---|---|" + "---|" * len(ways))
    rows = []
    for bands in options.bands:
        for read in options.reads:
            side, count = map(int, read.split("x"))
            speeds = measure(ways, bands, side=side, count=count, rounds=options.rounds)
            base = speeds[ways[0]]
            cells = [f" {speed:.2f} ({speed / base:.2f}) |" for speed in speeds.values()]
            print(f"| {bands} | {side} px x {count} |" + "".join(cells), flush=True)
            rows.append({"bands": bands, "side": side, "tiles": count, "megapixels_per_second": speeds})
    if options.out:
        machine = {"processor": processor(), "torch": torch.__version__}
        options.out.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")


def measure(ways: list[str], bands: int, *, side: int, count: int, rounds: int) -> dict[str, float]:
    """Megapixels per second of processor time, by way."""
    network = make_network(bands)
    image = 1000 + 300 * torch.randn(count, bands, side, side)
    valid = torch.ones(count, side, side, dtype=torch.bool)
    runners = {name: WAYS[name](network) for name in ways}
    best = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for run in runners.values():
            run(image, valid)  # compiles, and takes the memory
        for _ in range(rounds):
            for name, run in runners.items():
                start = time.process_time()
                run(image, valid)
                best[name] = min(best[name], time.process_time() - start)
    return {name: image[:, 0].numel() / 1e6 / seconds for name, seconds in best.items()}


def make_network(bands: int) -> Network:
    """A U-Net with random weights, which cost what trained ones do."""
    names = [f"B{number:02}" for number in range(1, bands + 1)]
    network = build_network("unet", bands=names, num_classes=CLASSES)
    entries = tuple(BandStatistics(name, 1000.0, 300.0, 0.0, 400.0, 1600.0, 4000.0) for name in names)
    network.normalize.set_statistics(Statistics(entries, "uint16", 1, 1, (1,)))
    return network.eval()


def processor() -> str:
    """Name of the processor, as the system gives it."""
    file = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in file.read_text().splitlines() if "model name" in line]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
