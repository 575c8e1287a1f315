"""`eoseg compare`: whether the difference between two networks is real."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.errors import ConfigError, OutputError
from eoseg.files import write_atomically

if TYPE_CHECKING:
    from eoseg.evaluate.compare import Comparison, Difference, Side

_WORDS = {"unknown": "no interval", "not shown": "no difference shown"}


def main(command: str, argv: list[str]) -> None:
    """Compare runs of `eoseg test` and print which figures differ beyond chance."""
    options = _parser(command).parse_args(argv)
    first, second = _sides(options)
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise OutputError(f"'{options.out}' exists already. Name another file, or add --overwrite.")
    from eoseg.evaluate.compare import compare_runs, load_runs

    comparison = compare_runs(
        [run for path in first for run in load_runs(path)],
        [run for path in second for run in load_runs(path)],
        block_size=options.block_size,
        draws=options.draws,
        seed=options.seed,
    )
    _print(comparison, " ".join(first), " ".join(second))
    if options.out is not None:
        content = {"first": first, "second": second, **comparison.to_dict()}
        write_atomically(options.out, json.dumps(content, indent=2) + "\n")
        print(f"Written: {options.out}")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Compare two networks on the test split that both were tested on, paired on the same "
        "spatial blocks: a difference is real where its 95 % interval leaves out 0. Several runs of a "
        "side, such as seeds or folds, are their mean and spread, never their best.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folders that 'eoseg test' made, or folders of several such: two, or those of the first side",
    )
    parser.add_argument("--against", nargs="+", metavar="RUN", help="those of the second side")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write everything as JSON too")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--block-size",
        type=int,
        metavar="PX",
        help="side of the blocks: 64 px times a power of two (default: as large as leaves 30 blocks)",
    )
    parser.add_argument("--draws", type=int, default=1000, help="draws of blocks (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of these draws (default: 0)")
    return parser


def _sides(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    if options.against is not None:
        return options.runs, options.against
    if len(options.runs) != 2:
        raise ConfigError(
            f"Two runs are compared; found {len(options.runs)}. Name two, or several of each side with "
            "--against between them."
        )
    return options.runs[:1], options.runs[1:]


def _print(comparison: "Comparison", first: str, second: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width: nothing is folded
    console.print(f"first:  {first}", f"second: {second}", sep="\n", highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="underline")
    for title in ("figure", "first", "second", "difference", "95 % of difference", "higher"):
        table.add_column(title, justify="left" if title in ("figure", "higher") else "right")
    for name, entry in comparison.figures.items():
        verdict = _WORDS.get(entry.verdict, entry.verdict)
        table.add_row(escape(name), _side(entry.first), _side(entry.second), *_cells(entry), verdict)
    console.print(table)
    size = comparison.block_size
    what = "groups of chips or rows" if size is None else f"blocks of {size} x {size} px"
    console.print(
        f"Paired on {comparison.blocks} {what} of {comparison.splits} test split(s); {comparison.draws} "
        f"draws, seed {comparison.seed}. Difference: second minus first.",
        highlight=False,
    )


def _cells(entry: "Difference") -> tuple[str, str]:
    interval = entry.interval
    return (
        "undefined" if entry.difference is None else f"{entry.difference:+.3f}",
        "" if interval is None else f"{interval.low:+.3f} to {interval.high:+.3f}",
    )


def _side(side: "Side") -> str:
    if side.mean is None:
        return "undefined"
    return f"{side.mean:.3f}" if side.spread is None else f"{side.mean:.3f} ± {side.spread:.3f} ({side.runs})"
