"""How much faster two one-thread ranks are than one, by the command line."""

import sys
import time
from pathlib import Path

from figures import Figure
from world import make_network, make_recipe, write_checkpoint, write_scene

LIMIT = 1.85


def measure(folder: Path, side: int) -> list[Figure]:
    """Wall time of one rank / of two; and the same of the slower one's CPU time, which load disturbs less."""
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
    ]


def _ranks(command: list[str], count: int) -> tuple[float, float]:
    """Wall seconds until all are done, and CPU seconds of the one that took most."""
    import os

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
