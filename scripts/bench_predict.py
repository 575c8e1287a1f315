#!/usr/bin/env python
"""Measure what `eoseg predict` costs beside its network: ratios within one run, on one thread.

efficiency   CPU seconds of the bare forward passes over the same tiles / of the whole run, for a U-Net
             of three levels over ResNet-18, whose map is exact, of 4 bands; at least 0.95
capacity     CPU milliseconds per megapixel with a network that costs next to nothing, and its speed against
             reading the scene and writing a raster of the map's size; at most 50 ms and at least 60 %
resume       five `kill -9` at random moments: tiles computed more than once, and whether the map is the same

Run it as `.venv/bin/python scripts/bench_predict.py [efficiency] [capacity] [resume] --out figures.json`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rasterio
import torch
from bench_memory import write_checkpoint, write_scene
from torch import nn

from eoseg.geo.parts import read_progress
from eoseg.models.checkpoint import load_network
from eoseg.predict import PredictOptions, keep_freed_memory, predict_scene
from eoseg.predict.acceleration import accelerate

BENCHES = ("efficiency", "capacity", "resume")


def main() -> None:
    """Run the benches that are asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"{', '.join(BENCHES)} (default: all)")
    parser.add_argument(
        "--size", type=int, default=4096, metavar="PX", help="side of the scene (default: 4096)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures as JSON too")
    options = parser.parse_args()
    unknown = set(options.benches) - set(BENCHES)
    if unknown:
        parser.error(f"there is no bench '{unknown.pop()}'; known: {', '.join(BENCHES)}")
    keep_freed_memory()
    torch.set_num_threads(1)
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for bench in options.benches or BENCHES:
            figures |= globals()[bench](folder, options.size)
    for name, value in figures.items():
        print(f"| {name} | {value} |")
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


def efficiency(folder: Path, size: int) -> dict[str, object]:
    """What share of the processor's time the network has."""
    scene, checkpoint = write_scene(folder / "scene.tif", size), write_checkpoint(folder / "unet.ckpt", 3)
    network, recipe = load_network(checkpoint)
    options = PredictOptions(precision="float32", overwrite=True)
    predict_scene(network, recipe, str(scene), folder / "map.tif", options=options)  # warm
    started = time.process_time()
    done = predict_scene(network, recipe, str(scene), folder / "map.tif", options=options)
    whole = time.process_time() - started
    side = min(done.tile + 2 * done.halo, size)
    run = accelerate(network, device=torch.device("cpu"))
    image, valid = torch.rand(1, 4, side, side) * 3000, torch.ones(1, side, side, dtype=torch.bool)
    with torch.inference_mode():
        run(image, valid)
        started = time.process_time()
        for _ in range(done.tiles):
            run(image, valid)
    bare = time.process_time() - started
    return {
        "efficiency": round(bare / whole, 3),
        "tiles": f"{done.tiles} of {done.tile} px, halo {done.halo} px",
        "CPU s of the run and of the bare passes": [round(whole, 1), round(bare, 1)],
    }


class _Cheap(nn.Module):
    """Classes from a single multiplication."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Give each band's value to a class."""
        return image


def capacity(folder: Path, size: int) -> dict[str, object]:
    """What everything but the network costs."""
    scene, checkpoint = write_scene(folder / "scene.tif", size), write_checkpoint(folder / "unet.ckpt", 3)
    network, recipe = load_network(checkpoint)
    network.body = _Cheap()
    options = PredictOptions(tile=1024, halo=32, overwrite=True)
    predict_scene(network, recipe, str(scene), folder / "map.tif", options=options)  # warm
    cpu, wall = time.process_time(), time.perf_counter()
    predict_scene(network, recipe, str(scene), folder / "map.tif", options=options)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    raw_cpu, raw_wall = _raw(scene, folder / "map.tif", folder / "copy.tif")
    megapixels = size**2 / 1e6
    return {
        "capacity, CPU ms per MP": round(1000 * cpu / megapixels, 1),
        "reading and writing alone, CPU ms per MP": round(1000 * raw_cpu / megapixels, 1),
        "speed against reading and writing alone": round(raw_wall / wall, 2),
    }


def _raw(scene: Path, made: Path, copy: Path) -> tuple[float, float]:
    """CPU and wall seconds of reading a scene by rows of blocks, and of writing its map as a COG."""
    with rasterio.open(made) as dataset:
        values, profile = dataset.read(), dataset.profile
    cpu, wall = time.process_time(), time.perf_counter()
    with rasterio.open(scene) as dataset:
        for row in range(0, dataset.height, 512):
            dataset.read(window=((row, min(row + 512, dataset.height)), (0, dataset.width)))
    profile |= {"driver": "COG", "compress": "DEFLATE"}
    for key in ("tiled", "blockxsize", "blockysize", "interleave"):
        profile.pop(key, None)
    with rasterio.open(copy, "w", **profile) as dataset:
        dataset.write(values)
    return time.process_time() - cpu, time.perf_counter() - wall


def resume(folder: Path, size: int) -> dict[str, object]:
    """What five kills cost."""
    scene, checkpoint = write_scene(folder / "scene.tif", size), write_checkpoint(folder / "unet.ckpt", 3)
    command = [
        sys.executable,
        "-m",
        "eoseg",
        "predict",
        str(checkpoint),
        str(scene),
        "--tile",
        "256",
        "--out",
    ]
    subprocess.run([*command, str(folder / "whole.tif")], check=True, capture_output=True)
    out = folder / "map.tif"
    chance, computed, resumed = random.Random(0), 0, 0
    for _ in range(5):
        process = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and read_progress(out)[0] <= resumed:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.2, 2.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        done, total = read_progress(out)
        computed += done - resumed + 2  # at most one in the network and one that is being written
        resumed = done
    subprocess.run([*command, str(out)], check=True, capture_output=True)
    same = (
        hashlib.sha256(out.read_bytes()).digest()
        == hashlib.sha256((folder / "whole.tif").read_bytes()).digest()
    )
    return {
        "tiles": total,
        "finished before the last start": resumed,
        "tiles lost in five kills, at most": 10,
        "extra work, at most": f"{10 / total:.1%}",
        "the same bytes": same,
    }


if __name__ == "__main__":
    main()
