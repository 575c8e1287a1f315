"""`eoseg demo`: the whole way once, by the commands that a user would type."""

import argparse
import json
import shlex
import time
from pathlib import Path

from eoseg.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "demo.yaml"
TILE = 320
"""Side of a tile in pixels. The unseen scene would fit one tile; the demo shows that several do as well."""


def main(command: str, argv: list[str]) -> None:
    """Make a world, train, map an unseen scene, evaluate the map and write a page about it."""
    options = _parser(command).parse_args(argv)
    if not CONFIG.is_file():
        raise ConfigError(f"The demo needs '{CONFIG}', which comes with the repository: run it in a clone.")
    if options.epochs is not None and options.epochs < 1:
        raise ConfigError(f"--epochs is 1 or more; found {options.epochs}.")
    started = time.monotonic()
    images = _world(options.data)
    config = CONFIG.relative_to(Path.cwd()) if CONFIG.is_relative_to(Path.cwd()) else CONFIG
    fit = [
        f"--config={config}",
        f"--data.init_args.scenes.root={options.data}",
        f"--run.folder={options.runs}",
    ]
    fit += [f"--trainer.max_epochs={options.epochs}"] if options.epochs else []
    fit += ["--no-wandb"] if options.no_wandb else []
    unseen, truth = images / "image.tif", images / "truth.tif"

    _say("fit", fit)
    from eoseg.cli.configuration import train  # imports Lightning

    run = train("fit", fit)
    steps = [
        ("predict", [str(run / "model.ckpt"), str(unseen), f"--out={run / 'map.tif'}", f"--tile={TILE}"]),
        ("evaluate", [str(run / "map.tif"), str(truth), f"--out={run / 'evaluation.json'}"]),
        ("report", [str(run)]),
    ]
    from eoseg.cli import evaluate, predict, report

    for (name, arguments), module in zip(steps, (predict, evaluate, report), strict=True):
        _say(name, arguments)
        module.main(name, arguments)
    _print_result(run, run / "report.html", unseen, time.monotonic() - started)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Run everything once on a small synthetic world with known truth: train a U-Net, map an "
        "unseen scene tile by tile, evaluate the map, and leave it all in one run folder.",
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data/demo"), help="folder of the world (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="folder of all runs (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, help="train for fewer or more epochs than configs/demo.yaml")
    parser.add_argument("--no-wandb", action="store_true", help="leave Weights & Biases out")
    return parser


def _world(folder: Path) -> Path:
    """Make the world unless it is there; return the folder of the unseen scene."""
    from eoseg.datasets.world import make_world

    unseen = folder / "unseen"
    if (unseen / "image.tif").is_file() and (unseen / "truth.tif").is_file():
        print(f"The synthetic world is in {folder} already.")
    else:
        make_world(folder)
        print(f"A synthetic world with known truth: {folder}")
    return unseen


def _say(command: str, arguments: list[str]) -> None:
    print(f"\n$ eoseg {command} {shlex.join(arguments)}")


def _print_result(run: Path, page: Path, unseen: Path, seconds: float) -> None:
    figures = json.loads((run / "evaluation.json").read_text())["scores"]
    overall, iou = figures["overall_accuracy"], figures["mean_iou"]
    print(
        f"\nDone in {seconds:.0f} s. On the unseen scene: overall accuracy {overall:.3f}, mean IoU {iou:.3f}."
    )
    for what, path in (
        ("checkpoint", run / "model.ckpt"),
        ("map (COG)", run / "map.tif"),
        ("page to look at", page),
        ("W&B run", next(run.glob("wandb/offline-run-*"), run / "wandb")),
        ("figures", run / "evaluation.json"),
    ):
        if path.exists():
            print(f"  {what:<16} {path}")
    print("\nNext: eoseg doctor configs/demo.yaml   (what to look at before training)")
    print(f"      eoseg describe {run / 'model.ckpt'}")
    print(f"      eoseg predict {run / 'model.ckpt'} {unseen} --out probabilities.tif --probabilities")
