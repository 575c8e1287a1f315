#!/usr/bin/env python
"""Measure whether the memory of `eoseg predict` grows with the scene.

Two synthetic scenes, 2048 x 2048 and 8192 x 8192 px, are mapped in fresh processes with default tiles, by a
U-Net of three levels and by one of full depth (which looks much further, and so has larger tiles). The peak
of the resident memory of both scenes is compared; the larger may take at most 1.10 times as much. Run it as
`.venv/bin/python scripts/bench_memory.py`; it takes some ten minutes.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1.10
BANDS = ("B02", "B03", "B04", "B08")
CLASSES = ("water", "wood", "field", "town")
DEPTHS = (3, 5)


def main() -> None:
    """Make scenes and checkpoint, map each scene in its own process, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", type=int, nargs=2, default=[2048, 8192], metavar="PX", help="of the scenes"
    )
    parser.add_argument("--tile", default="auto", metavar="PX", help="side of a tile (default: as predict)")
    parser.add_argument("--folder", type=Path, help="where to keep the files (default: a temporary folder)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures as JSON too")
    parser.add_argument("--map", nargs=3, help=argparse.SUPPRESS)  # checkpoint, scene, tile: in the child
    options = parser.parse_args()
    if options.map:
        map_one(*options.map)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        scenes = [write_scene(folder / f"scene_{size}.tif", size) for size in options.sizes]
        figures = [compare(folder, scenes, depth, options.tile) for depth in DEPTHS]
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")
    worst = max(entry["ratio"] for entry in figures)
    print(f"largest ratio {worst:.3f}: the limit of {LIMIT:.2f} {'holds' if worst <= LIMIT else 'is broken'}")
    sys.exit(0 if worst <= LIMIT else 1)


def compare(folder: Path, scenes: list[Path], depth: int, tile: str) -> dict:
    """Map the smaller and the larger scene with a U-Net, and compare the peaks of memory."""
    checkpoint = write_checkpoint(folder / f"depth_{depth}.ckpt", depth)
    runs = []
    for scene in scenes:
        command = [sys.executable, __file__, "--map", str(checkpoint), str(scene), tile]
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        run = {"scene": scene.name, **json.loads(result.stdout.splitlines()[-1])}
        runs.append(run)
        print(f"depth {depth}, {scene.name}: peak {run['peak_mb']:.0f} MB, {run['mp_per_s']:.2f} MP/s")
    ratio = round(runs[1]["peak_mb"] / runs[0]["peak_mb"], 3)
    print(f"depth {depth}: ratio {ratio:.3f}")
    return {"depth": depth, "tile_px": tile, "runs": runs, "ratio": ratio, "limit": LIMIT}


def map_one(checkpoint: str, scene: str, tile: str) -> None:
    """Map a scene as the command line does, and print the peak of this process's memory."""
    from eoseg.cli.predict import main as predict

    out = str(Path(scene).with_suffix(".map.tif"))
    started = time.perf_counter()
    predict("predict", [checkpoint, scene, "--out", out, "--tile", tile, "--overwrite", "--no-progress"])
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
    from eoseg.geo.mapfile import read_map_info

    grid = read_map_info(out).grid
    print(
        json.dumps(
            {
                "peak_mb": round(peak, 1),
                "seconds": round(seconds, 1),
                "mp_per_s": round(grid.height * grid.width / 1e6 / seconds, 3),
            }
        )
    )


def write_checkpoint(path: Path, depth: int) -> Path:
    """A U-Net over ResNet-18 with random weights."""
    import torch

    from eoseg.models import build_network
    from eoseg.recipe import BandStatistics, Recipe, Schema, Statistics, parse_classes

    torch.manual_seed(0)
    described = {"kind": "segmentation", "arch": "unet", "args": {"depth": depth, "channels": 8}}
    network = build_network("unet", bands=BANDS, num_classes=4, args=described["args"])
    recipe = Recipe(
        task="SegmentationTask",
        schema=Schema(BANDS, parse_classes(CLASSES)),
        statistics=Statistics(
            tuple(BandStatistics(name, 2000, 1000, 0, 100, 4000, 4096) for name in BANDS),
            dtype="uint16",
            pixels=1,
            valid_pixels=1,
            class_pixels=(1, 1, 1, 1),
        ),
        network=described,
        chip_size=256,
        output_stride=network.output_stride,
    )
    network.normalize.set_statistics(recipe.statistics)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return path


def write_scene(path: Path, size: int) -> Path:
    """A uint16 scene of fields and noise, tiled and compressed, written row by row."""
    import numpy as np
    import rasterio
    from affine import Affine
    from rasterio.windows import Window

    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "count": len(BANDS), "height": size, "width": size, "dtype": "uint16"}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_400_000)}
    with rasterio.open(path, "w", **profile, **place) as dataset:
        for number, name in enumerate(BANDS, start=1):
            dataset.set_band_description(number, name)
        for row in range(0, size, 512):
            height = min(512, size - row)
            fields = rng.integers(0, 3500, (len(BANDS), height // 64 + 1, size // 64 + 1))
            values = fields.repeat(64, 1).repeat(64, 2)[:, :height, :size]
            values = values + rng.integers(0, 500, values.shape)
            dataset.write(values.astype("uint16"), window=Window(0, row, size, height))
    return path


if __name__ == "__main__":
    main()
