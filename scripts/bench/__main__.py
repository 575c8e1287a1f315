"""Measure eoseg: `.venv/bin/python scripts/bench NAME... [--out FILE.json] [--table FILE.md]`.

efficiency  CPU time of the network / of a whole run, U-Net over ResNet-18, 4 and 10 bands
speed       the default way to run the network against every other way on this machine
capacity    CPU time per megapixel with a network that costs nothing, and against reading and writing alone
memory      peak above the warm process at 4096, 8192 and 16384 px
ranks       two one-thread ranks against one
resume      what five `kill -9` cost
peers       other programs on the same weights and scene (see `scripts/bench/setup_peers`)
feed        chips per second and core for training, beside torchgeo's samplers; memory over an epoch
overhead    a training step beside the same in a bare loop of PyTorch
processes   two one-thread processes of training against one

Each figure is a ratio within one run or CPU time on one thread, since machines are seldom quiet. Public tools
only; scenes and networks are synthetic. The exit status says whether all limits hold.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import argparse
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from figures import Figure, to_json, to_table

from eoseg.predict import keep_freed_memory

BENCHES = ("efficiency", "speed", "capacity", "memory", "ranks", "resume", "peers")
TRAINING = ("feed", "overhead", "processes")
SIDES = {"resume": 8192, "ranks": 4096, "efficiency": 4096, "capacity": 4096}


def main() -> None:
    """Run the benches that are asked for, print a table and write both forms."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "benches",
        nargs="+",
        choices=(*BENCHES, *TRAINING),
        metavar="NAME",
        help=", ".join((*BENCHES, *TRAINING)),
    )
    parser.add_argument("--side", type=int, metavar="PX", help="of the scene, where the bench has one")
    parser.add_argument(
        "--folder", type=Path, help="where to keep scenes and maps (default: a temporary one)"
    )
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="environments that setup_peers made")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures as JSON")
    parser.add_argument("--table", type=Path, metavar="FILE.md", help="write the table too")
    options = parser.parse_args()
    if "peers" in options.benches and options.peers is None:
        parser.error("peers needs --peers FOLDER, which scripts/bench/setup_peers FOLDER makes")
    keep_freed_memory()
    torch.set_num_threads(1)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.benches:
            found = _bench(name, options)(folder)
            print(to_table(found), flush=True)
            figures += found
    if options.out is not None:
        options.out.write_text(to_json(figures))
    if options.table is not None:
        options.table.write_text(to_table(figures) + "\n")
    sys.exit(0 if all(figure.holds in (None, True) for figure in figures) else 1)


def _bench(name: str, options: argparse.Namespace) -> Callable[[Path], list[Figure]]:
    measure = import_module(name).measure
    if name in SIDES:
        return lambda folder: measure(folder, options.side or SIDES[name])
    if name == "peers":
        return lambda folder: measure(folder, options.peers)
    return measure


if __name__ == "__main__":
    main()
