"""`eoseg evaluate`: a map against a reference."""

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.cli.arguments import label_value, require_free
from eoseg.cli.wandb_log import add_wandb_options, log_evaluation, read_model, wandb_mode
from eoseg.errors import ConfigError
from eoseg.files import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

    from eoseg.evaluate.accuracy import Evaluation

_CELLS = 12
"""Larger confusion matrices are left to the JSON file: they do not fit a terminal."""


def main(command: str, argv: list[str]) -> None:
    """Evaluate a map and print its figures."""
    options = _parser(command).parse_args(argv)
    from eoseg.evaluate.accuracy import evaluate_map  # needs rasterio

    for path in (options.out, options.page):
        if path is not None:
            require_free(path, overwrite=options.overwrite)
    if options.scene is not None and options.page is None:
        raise ConfigError("--scene is the picture on the page: add --page FILE.html, or leave it out.")
    if options.sample is not None and options.page is None:
        raise ConfigError("--sample is a section of the page: add --page FILE.html, or use 'eoseg accuracy'.")
    if options.part is not None and options.split is None:
        raise ConfigError("--part is a part of a split: add --split split.json, or leave it out.")
    if options.model is not None and not options.wandb:
        raise ConfigError("--model says in W&B what made the map: add --wandb, or leave it out.")
    mode = wandb_mode(wanted=options.wandb, project=options.project)
    model = None if options.model is None else read_model(options.model, options.map)
    ignore = [label_value(text) for text in options.ignore]
    evaluation = evaluate_map(
        options.map,
        options.reference,
        attribute=options.attribute,
        label_encoding=options.label_encoding,
        ignore=ignore,
        split=options.split,
        part=options.part or "test",
        split_scene=options.split_scene,
        border=options.border,
        block_size=options.block_size,
        draws=options.draws,
        seed=options.seed,
    )
    _print(evaluation)
    if options.out is not None:
        _write_json(options.out, evaluation)
        print(f"Written: {options.out}")
    if options.page is not None:
        _write_page(options, ignore, argv, evaluation)
        print(f"Written: {options.page}")
    if mode != "absent":
        files = [path for path in (options.out, options.page) if path is not None]
        log_evaluation(
            Path(options.map), evaluation.to_dict(), files, model, project=options.project, mode=mode
        )


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Compare a map with a reference: accuracy figures with 95 % intervals, and how they came "
        "about. Rows of the confusion matrix are the reference, columns the map.",
    )
    parser.add_argument("map", metavar="MAP", help="a map that 'eoseg predict' wrote")
    parser.add_argument(
        "reference", metavar="REFERENCE", help="label raster on the map's grid, or polygons in any CRS"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write everything as JSON too")
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="write a page with pictures too")
    parser.add_argument("--scene", metavar="SCENE", help="the scene that was mapped, to show on the page")
    parser.add_argument(
        "--sample",
        metavar="SAMPLE.gpkg",
        help="a filled sample of 'eoseg sample': the page shows accuracy and areas from it too",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument(
        "--attribute",
        metavar="NAME",
        help="polygons: the attribute that holds the class (default: one layer per class)",
    )
    parser.add_argument(
        "--label-encoding",
        choices=["values", "colors"],
        default="values",
        help="raster: class values, or the classes' colours (default: values)",
    )
    parser.add_argument(
        "--ignore",
        nargs="+",
        default=[],
        metavar="VALUE",
        help="values, '#RRGGBB' colours, attribute values or layers that mean 'no label'",
    )
    parser.add_argument(
        "--split", metavar="split.json", help="compare only one part of this split, such as the test blocks"
    )
    parser.add_argument("--part", choices=["train", "val", "test"], help="that part (default: test)")
    parser.add_argument("--split-scene", metavar="ID", help="which scene of the split was mapped")
    parser.add_argument(
        "--border",
        choices=["isprs-full", "isprs-eroded"],
        default="isprs-full",
        help="isprs-eroded leaves out labels within 3 px of another class, as the ISPRS benchmarks do "
        "(default: isprs-full, all labels)",
    )
    parser.add_argument(
        "--block-size",
        type=int,
        metavar="PX",
        help="side of the blocks that are drawn for the intervals (default: 64, more on large maps)",
    )
    parser.add_argument("--draws", type=int, default=1000, help="draws for the intervals (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of these draws (default: 0)")
    add_wandb_options(parser, "the figures").add_argument(
        "--model", type=Path, metavar="CHECKPOINT", help="the checkpoint that made the map, to be named there"
    )
    return parser


def _print(evaluation: "Evaluation") -> None:
    from rich.console import Console

    from eoseg.evaluate.accuracy import OVERALL_TITLES, format_interval, notes, overall_figures

    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width: nothing is folded
    console.print(_class_table(evaluation))
    console.print()
    for name, value in overall_figures(evaluation).items():
        interval = format_interval(evaluation, name)
        console.print(
            f"{OVERALL_TITLES[name]:<18} {_figure(value):>9}" + (f"   95 %: {interval}" if interval else ""),
            highlight=False,
        )
    console.print()
    if len(evaluation.classes) <= _CELLS:
        console.print(_matrix_table(evaluation))
        console.print()
    for line in notes(evaluation):
        console.print(line, highlight=False, markup=False)


def _class_table(evaluation: "Evaluation") -> "Table":
    from rich.markup import escape

    from eoseg.evaluate.accuracy import format_interval

    table = _table("Accuracy per class")
    table.add_column("class", overflow="fold")
    for title in ("IoU", "95 % of IoU", "F1", "user's", "producer's", "ref. px", "map px"):
        table.add_column(title, justify="right", no_wrap=True)
    for entry in evaluation.scores.classes:
        table.add_row(
            escape(entry.name),
            _figure(entry.iou),
            format_interval(evaluation, f"iou/{entry.name}"),
            _figure(entry.f1),
            _figure(entry.users_accuracy),
            _figure(entry.producers_accuracy),
            f"{entry.reference_pixels:,}",
            f"{entry.mapped_pixels:,}",
        )
    return table


def _matrix_table(evaluation: "Evaluation") -> "Table":
    from rich.markup import escape

    table = _table("Confusion matrix, pixels")
    table.add_column("reference \\ map")
    for entry in evaluation.classes:
        table.add_column(escape(entry.name), justify="right")
    for entry, row in zip(evaluation.classes, evaluation.matrix.tolist(), strict=True):
        table.add_row(escape(entry.name), *(f"{count:,}" for count in row))
    return table


def _table(title: str) -> "Table":
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="underline",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _write_page(
    options: argparse.Namespace, ignore: list[int | str], argv: list[str], evaluation: "Evaluation"
) -> None:
    from eoseg.evaluate.map_accuracy import assess_map
    from eoseg.evaluate.page import write_page
    from eoseg.evaluate.panel import load_panel

    sampled = None if options.sample is None else assess_map(options.map, options.sample)
    panel = load_panel(
        Path(options.map).name,
        options.map,
        options.reference,
        scene=options.scene,
        attribute=options.attribute,
        label_encoding=options.label_encoding,
        ignore=ignore,
        windows=evaluation.windows,
    )
    write_page(
        options.page,
        title=f"Accuracy of {Path(options.map).name}",
        summary=f"{options.map} compared with {options.reference}.",
        maps=[panel],
        evaluation=evaluation,
        commands=[shlex.join(["eoseg", "evaluate", *argv])],
        sampled=sampled,
    )


def _write_json(path: Path, evaluation: "Evaluation") -> None:
    write_atomically(path, json.dumps(evaluation.to_dict(), indent=2) + "\n")
