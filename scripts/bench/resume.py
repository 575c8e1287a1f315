"""What five `kill -9` at random moments cost, and whether the map is the same."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import rasterio
from figures import Figure
from world import make_network, make_recipe, write_checkpoint, write_scene

from eoseg.geo.parts import parts_folder, read_progress

LIMIT = 0.03
KILLS = 5


def measure(folder: Path, side: int, seed: int = 0) -> list[Figure]:
    """Time between the last finished tile and the kill, summed, over the computing time of a whole run."""
    scene = write_scene(folder / f"land_{side}_4.tif", side, 4)
    network = make_network(4, depth=3)
    checkpoint = write_checkpoint(folder / "unet3.ckpt", network, make_recipe(network, depth=3))
    whole, out = folder / "whole.tif", folder / "resumed.tif"
    for path in (whole, out):
        path.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "eoseg",
        "predict",
        str(checkpoint),
        str(scene),
        "--no-progress",
        "--out",
    ]
    computing, total = _watch([*command, str(whole)], whole, None)[:2]
    chance, lost = random.Random(seed), 0.0
    for place in range(KILLS):
        after = chance.uniform(0.05, 0.95) * computing / KILLS
        lost += _watch([*command, str(out)], out, after)[2]
        done = read_progress(out)[0]
        print(
            f"kill {place + 1}: {done} of {total} tiles finished, {lost:.2f} s lost so far", file=sys.stderr
        )
    subprocess.run([*command, str(out)], check=True, stdout=subprocess.DEVNULL)
    same = _pixels(out) == _pixels(whole)
    note = f"{side} px, {total} tiles, {computing:.0f} s of computing; {lost:.2f} s lost in {KILLS} kills"
    return [
        Figure("resume", f"extra work of {KILLS} kills", lost / computing, "", LIMIT, "smaller", note),
        Figure("resume", "the same pixels (1: yes)", float(same), "", 1.0),
    ]


def _watch(command: list[str], out: Path, kill_after: float | None) -> tuple[float, int, float]:
    """Run, and kill some time after the first new tile could be computed.

    Returns:
        Seconds from the first sign of the run's tiles to its last tile; number of tiles; seconds between
        the last finished tile (or the beginning of the first) and the kill.
    """
    before, total = read_progress(out)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    begun = last = None
    done = before
    while process.poll() is None:
        now, found, seen = time.perf_counter(), read_progress(out), _is_locked(out)
        if begun is None and seen:
            begun = last = now
        if found[0] > done:
            done, last, total = found[0], now, max(total, found[1])
        if kill_after is not None and begun is not None and now - begun >= kill_after:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return 0.0, total, max(0.0, time.perf_counter() - last)
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    if kill_after is not None:
        raise SystemExit("the run was complete before it was killed: take a larger scene")
    return last - begun, total, 0.0


def _is_locked(out: Path) -> bool:
    """Whether the process has begun its tiles: its journal is there and locked."""
    from eoseg.geo.parts import is_busy

    return parts_folder(out).exists() and is_busy(out)


def _pixels(path: Path) -> bytes:
    import hashlib

    with rasterio.open(path) as dataset:
        return hashlib.sha256(dataset.read().tobytes()).digest()
