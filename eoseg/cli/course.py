"""`eoseg course`: a ladder of methods on the same data, the same split and the same figures, as one table."""

import argparse
import copy
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from eoseg.cli.configuration import load_config
from eoseg.cli.ladder import Ladder, Measured, Row, trivial_row
from eoseg.cli.rungs import Training, open_pool, run_all
from eoseg.errors import ConfigError
from eoseg.files import write_atomically

_METHOD_PARTS = ("trainer", "data")


@dataclass(frozen=True, slots=True)
class Plan:
    """How often each method is trained."""

    seeds: int
    folds: int | None
    methods: tuple[str, ...]
    """Names of the methods to train; all where there are none."""


def main(command: str, argv: list[str]) -> None:
    """Train each ladder and write its table, its picture and its figures."""
    own, rest = _parser(command).parse_known_args(argv)
    plan = Plan(own.seeds, own.folds, tuple(own.method or ()))
    with open_pool(own.jobs) as pool:
        for path in own.ladders:
            started = time.perf_counter()
            ladder = climb(path, plan, root=own.root, out=own.out, fit_options=rest, pool=pool)
            print(f"\n{ladder.to_markdown()}")
            gone = time.perf_counter() - started
            print(f"{path}: {gone:.0f} s. Table and picture: {own.out / path.stem}.*", flush=True)


def climb(
    path: Path,
    plan: Plan,
    *,
    root: str | None,
    out: Path,
    fit_options: Sequence[str] = (),
    pool: ProcessPoolExecutor | None = None,
) -> Ladder:
    """Train and test every method of a ladder; after each the table is written anew.

    Args:
        path: A configuration as for `eoseg fit`, with `methods`: a name and options of the model for each.
        plan: How often each is trained.
        root: Folder of the data instead of the configuration's.
        out: Folder for NAME.md, NAME.csv, NAME.json and NAME.png, and for the runs.
        fit_options: Further options of `eoseg fit`.
        pool: Trains several at a time; None for one after the other.

    Raises:
        ConfigError: The ladder has no methods, or a method is none of them.
    """
    config = dict(load_config(str(path)))
    methods = _methods(config.pop("methods", None), path, plan.methods)
    if root is not None:
        _set_root(config, root)
    repeats = range(plan.folds) if plan.folds is not None else range(plan.seeds)
    trainings = [
        Training(_merged(config, options), path.stem, name, repeat, plan.folds, out, tuple(fit_options))
        for name, options in methods.items()
        for repeat in repeats
    ]
    ladder = Ladder(path.stem, "folds" if plan.folds is not None else "seeds", [])
    rows: dict[str, list[Measured]] = {}
    for training, measured in zip(trainings, run_all(trainings, pool), strict=True):
        rows.setdefault(training.method, []).append(measured)
        if len(rows[training.method]) == len(repeats):
            done = [Row(name, found) for name, found in rows.items()]
            ladder = Ladder(path.stem, ladder.over, [*trivial_row(done[0]), *done])
            _write(ladder, out)
    _show_in_wandb(ladder, out, config, fit_options, pool)
    return ladder


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        allow_abbrev=False,
        description="Train a ladder of methods on the same data and the same split, test them with the same "
        "figures, and write one table (Markdown, CSV, JSON) and one picture. Further options, such as "
        "--trainer.max_epochs=5 or --no-wandb, go to 'eoseg fit' for every method.",
    )
    parser.add_argument(
        "ladders", type=Path, nargs="+", metavar="LADDER.yaml", help="what to compare: see configs/course/"
    )
    parser.add_argument("--root", metavar="FOLDER", help="folder of the data, instead of the ladder's own")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/course"), metavar="FOLDER", help="default: runs/course"
    )
    parser.add_argument(
        "--method", action="append", metavar="NAME", help="only this method; may be given several times"
    )
    parser.add_argument(
        "--jobs", type=_positive, default=1, metavar="N", help="trainings at a time, which share the cores"
    )
    often = parser.add_mutually_exclusive_group()
    often.add_argument(
        "--seeds", type=_positive, default=1, metavar="N", help="train with seeds 0 to N - 1 (default: 1)"
    )
    often.add_argument("--folds", type=_positive, metavar="K", help="train and test on K folds instead")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found '{text}'")
    return int(text)


def _methods(found: object, path: Path, chosen: Sequence[str]) -> dict[str, dict[str, Any]]:
    if not isinstance(found, Mapping) or not found:
        raise ConfigError(
            f"'{path}' names no methods. Add 'methods:' with a name and options of the model for each, such "
            "as 'U-Net: {arch: unet}'."
        )
    for name, options in found.items():
        if not isinstance(options, Mapping):
            raise ConfigError(f"The method '{name}' of '{path}' needs options, such as {{arch: unet}}.")
    unknown = [name for name in chosen if name not in found]
    if unknown:
        raise ConfigError(f"'{path}' has no method '{unknown[0]}'. Known: {', '.join(map(str, found))}.")
    return {str(name): dict(options) for name, options in found.items() if not chosen or name in chosen}


def _set_root(config: dict[str, Any], root: str) -> None:
    arguments = config.setdefault("data", {}).setdefault("init_args", {})
    for key in ("scenes", "chips", "table"):
        if isinstance(arguments.get(key), dict):
            arguments[key]["root"] = root


def _merged(config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of one method: its options are the model's, but for `trainer` and `data`."""
    merged = copy.deepcopy(dict(config))
    model = merged.setdefault("model", {}).setdefault("init_args", {})
    model |= {key: value for key, value in options.items() if key not in _METHOD_PARTS}
    if "trainer" in options:
        merged["trainer"] = {**(merged.get("trainer") or {}), **options["trainer"]}
    if "data" in options:
        arguments = merged.setdefault("data", {}).setdefault("init_args", {})
        arguments |= options["data"]
    return merged


def _show_in_wandb(
    ladder: Ladder,
    out: Path,
    config: Mapping[str, Any],
    fit_options: Sequence[str],
    pool: ProcessPoolExecutor | None,
) -> None:
    """Log the finished table into the group of its runs, unless the runs are not in W&B either."""
    options = dict(config.get("run") or {})
    for option in fit_options:
        if option.startswith("--run."):
            key, _, value = option.removeprefix("--run.").partition("=")
            options[key] = yaml.safe_load(value)
    if options.get("wandb", True) is False or "--no-wandb" in fit_options:
        return
    log = partial(
        _log_ladder,
        out / "runs",
        f"{ladder.name}-table",
        ladder.columns,
        ladder.lines(),
        chart=out / f"{ladder.name}.png",
        project=options.get("project", "eoseg"),
        group=options.get("group", f"course-{ladder.name}"),
    )
    if pool is None:
        log()
    else:  # where Lightning is loaded already: here that would take longer than all the rest
        pool.submit(log).result()


def _log_ladder(*table: Any, **where: Any) -> None:
    from eoseg.tracking.ladder_run import log_ladder  # imports Lightning

    log_ladder(*table, **where)


def _write(ladder: Ladder, out: Path) -> None:
    from eoseg.figures.ladder import ladder_chart

    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / f"{ladder.name}.md", ladder.to_markdown())
    write_atomically(out / f"{ladder.name}.csv", ladder.to_csv())
    write_atomically(out / f"{ladder.name}.json", json.dumps(ladder.to_dict(), indent=2) + "\n")
    (out / f"{ladder.name}.png").write_bytes(
        ladder_chart(ladder.name, ladder.chart_rows(), ladder.chart_figures)
    )
