"""Peak of the resident memory of `predict`, above that of the warm process, as the scene grows.

Each scene is mapped in a fresh process: imports, weights and a map of one tile, as large as the others, come
first, then the system's mark of the peak is reset (Linux: /proc/self/clear_refs). Memory that is freed goes
back to the system, so a network that needs much for a pass has it above the warm process each time; what the
engine adds to such a network is what lies above the peak of that first map.
"""

import json
import subprocess
import sys
from pathlib import Path

from figures import Figure
from world import write_scene

LIMIT_MB, LIMIT_GROWTH = 300.0, 1.05
SIDES = (4096, 8192, 16384)


def measure(
    folder: Path, sides: tuple[int, ...] = SIDES, networks: tuple[str, ...] = ("cheap", "unet")
) -> list[Figure]:
    """In MB: above the warm process with a cheap network, above one tile's map with a U-Net."""
    figures = []
    for name in networks:
        for side in sides:
            if name == "unet" and side > 8192:
                continue
            entry = _in_child(folder, name, side)
            above = "tile_mb" if name == "unet" else "warm_mb"
            value = entry["peak_mb"] - entry[above]
            limit = None  # of a U-Net: what is read ahead is as large as its tiles
            if name == "cheap":
                limit = LIMIT_MB if side <= 8192 else LIMIT_GROWTH * figures[0].value
            note = f"warm {entry['warm_mb']:.0f}, one tile {entry['tile_mb']:.0f}, "
            note += f"peak {entry['peak_mb']:.0f} MB; {entry['tiles']}"
            what = f"peak above {'one tile' if name == 'unet' else 'the warm process'}, {side} px, {name}"
            figures.append(Figure("memory", what, value, "MB", limit, "smaller", note))
            print(what, entry, file=sys.stderr, flush=True)
    return figures


def _in_child(folder: Path, name: str, side: int) -> dict:
    scene = write_scene(folder / f"land_{side}_4.tif", side, 4)
    command = [sys.executable, __file__, name, str(scene), str(folder / "memory_map.tif")]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def _child(name: str, scene: str, out: str) -> None:
    import torch
    from planned import plan_of
    from world import make_cheap, make_network, make_recipe

    from eoseg.predict import PredictOptions, keep_freed_memory, predict_scene

    torch.set_num_threads(1)
    keep_freed_memory()  # as the command does
    if name == "cheap":
        network, recipe = make_cheap(4)
        options = PredictOptions(tile=1024, halo=32, precision="float32", overwrite=True)
    else:
        network = make_network(4)
        recipe, options = make_recipe(network), PredictOptions(precision="float32", overwrite=True)
    warm = Path(out).with_name("memory_warm.tif")
    # A scene that is one tile of the size of the others: the plan of the large scene says which.
    size = max(plan_of(network, recipe, Path(scene), options).read_size)
    small = write_scene(Path(scene).with_name(f"land_{size}_4.tif"), size, 4)
    predict_scene(
        network,
        recipe,
        str(small),
        warm,
        options=PredictOptions(tile=size, halo=0, overwrite=True, precision="float32"),
    )
    one, before = _status("VmHWM"), _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    done = predict_scene(network, recipe, scene, Path(out), options=options)
    peak = _status("VmHWM")
    tiles = f"{done.tiles} tiles of {done.tile} px, halo {done.halo} px"
    print(json.dumps({"warm_mb": before, "tile_mb": one, "peak_mb": peak, "tiles": tiles}))


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


if __name__ == "__main__":
    _child(*sys.argv[1:])
