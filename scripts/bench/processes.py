"""How many more samples two one-thread processes of `eoseg fit` train on than one (DDP over gloo)."""

import json
import os
import subprocess
import sys
from pathlib import Path

from figures import Figure
from training import write_config

LIMIT = 1.7
CHIP, BATCH, STEPS, WARM_UP = 256, 8, 10, 3


def measure(folder: Path) -> list[Figure]:
    """Samples per second of two / of one, by wall time; and by CPU time of the slower one, for busy machines.

    The batch of each process is the same, so that two train on twice as many samples in a step.
    """
    one, two = _steps(folder / "one", 1), _steps(folder / "two", 2)
    notes = [
        f"{BATCH} chips of {CHIP} px each; {one[kind]:.2f} and {two[kind]:.2f} s per step" for kind in one
    ]
    figures = [
        Figure("processes", "samples/s of two processes against one, wall", 2 * one["wall"] / two["wall"]),
        Figure("processes", "the same by CPU time of the slower", 2 * one["cpu"] / two["cpu"]),
    ]
    return [
        Figure(entry.bench, entry.what, entry.value, "", LIMIT, note=note)
        for entry, note in zip(figures, notes, strict=True)
    ]


def _steps(folder: Path, processes: int) -> dict[str, float]:
    """Seconds of a step, after some to warm up: of all by wall, of the slowest process by CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write_config(
        folder,
        chip=CHIP,
        batch=BATCH,
        steps=STEPS,
        callback="training.StepTimes",
        network={"arch": "unet"},
        devices=processes,
        **({"strategy": "ddp"} if processes > 1 else {}),
    )
    command = [sys.executable, "-m", "eoseg", "fit", f"--config={path}"]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    subprocess.run(command, env=environment, check=True)
    taken = [json.loads((folder / f"steps_{rank}.json").read_text()) for rank in range(processes)]
    return {
        kind: max((entry[kind][-1] - entry[kind][WARM_UP - 1]) / (STEPS - WARM_UP) for entry in taken)
        for kind in ("wall", "cpu")
    }
