"""How much faster two one-thread ranks are than one, by the command line; and what the machine allows."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure
from planned import plan_of
from world import make_network, make_recipe, write_checkpoint, write_scene

LIMIT = 1.85
PASSES = 6


def measure(folder: Path, side: int) -> list[Figure]:
    """Wall time of one rank / of two; and the same of the slower one's CPU time, which load disturbs less.

    Two processes share caches and memory: how much faster two that only run the network are is said beside.
    """
    from eoseg.predict import PredictOptions

    scene = write_scene(folder / f"land_{side}_4.tif", side, 4)
    network = make_network(4)
    checkpoint = write_checkpoint(folder / "unet.ckpt", network, make_recipe(network))
    out = folder / "ranks.tif"
    command = [sys.executable, "-m", "eoseg", "predict", str(checkpoint), str(scene), "--overwrite"]
    command += ["--no-progress", "--precision", "float32", "--out", str(out)]
    one = _ranks(command, 1)
    single = out.read_bytes()
    out.unlink()
    two = _ranks(command, 2)
    size = max(plan_of(network, make_recipe(network), scene, PredictOptions()).read_size)
    alone, beside = _passes(size, 1), _passes(size, 2)
    same = out.read_bytes() == single
    note = f"{side} px; wall {one[0]:.1f} and {two[0]:.1f} s; CPU {one[1]:.1f} and {two[1]:.1f} s"
    note += "; the same bytes" if same else "; OTHER BYTES"
    return [
        Figure(
            "ranks",
            "two one-thread ranks against one, CPU of the slower",
            one[1] / two[1],
            "",
            LIMIT,
            note=note,
        ),
        Figure("ranks", "the same, wall", one[0] / two[0], "", LIMIT),
        Figure(
            "ranks",
            "two processes of bare passes against one, CPU",
            2 * alone / beside,
            "",
            note=f"tiles of {size} px; a pass takes {alone:.2f} s alone, {beside:.2f} s beside another",
        ),
    ]


def _ranks(command: list[str], count: int) -> tuple[float, float]:
    """Wall seconds until all are done, and CPU seconds of the one that took most."""
    started = time.perf_counter()
    children = []
    for rank in range(count):
        launched = {
            "TORCHELASTIC_RUN_ID": "bench",
            "RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_RANK": str(rank),
        }
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **(launched if count > 1 else {})}
        children.append(os.posix_spawn(command[0], command, environment))
    most = 0.0
    for child in children:
        _, status, usage = os.wait4(child, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} ended with {status}")
        most = max(most, usage.ru_utime + usage.ru_stime)
    return time.perf_counter() - started, most


def _passes(size: int, count: int) -> float:
    """CPU seconds of one pass of the network, in as many processes at once; the slower one's."""
    command = [sys.executable, __file__, str(size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(count)
    ]
    found = [float(json.loads(child.communicate()[0])) for child in children]
    return max(found)


def _child(size: int) -> None:
    import torch

    from eoseg.predict import keep_freed_memory
    from eoseg.predict.acceleration import accelerate

    torch.set_num_threads(1)
    keep_freed_memory()
    run = accelerate(make_network(4), device=torch.device("cpu"))
    image, valid = torch.rand(1, 4, size, size) * 3000, torch.ones(1, size, size, dtype=torch.bool)
    took = []
    with torch.inference_mode():
        for _ in range(PASSES):
            started = time.process_time()
            run(image, valid)
            took.append(time.process_time() - started)
    print(json.dumps(sorted(took)[PASSES // 2]))


if __name__ == "__main__":
    _child(int(sys.argv[1]))
