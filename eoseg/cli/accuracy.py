"""`eoseg accuracy`: a map and a filled sample in, accuracy and areas with intervals out."""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.cli.arguments import label_value, progress_bar, require_free
from eoseg.cli.sample import named_values
from eoseg.cli.wandb_log import add_wandb_options, log_accuracy, read_model, wandb_mode
from eoseg.errors import ConfigError, OutputError
from eoseg.files import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

    from eoseg.evaluate.map_accuracy import LabelSource, MapAccuracy

_CELLS = 12
"""Larger matrices are left to the files: they do not fit a terminal."""


def main(command: str, argv: list[str]) -> None:
    """Estimate, print, and write what was asked for."""
    options = _parser(command).parse_args(argv)
    from eoseg.evaluate.map_accuracy import assess_map  # imports rasterio

    if options.model is not None and not options.wandb:
        raise ConfigError("--model says in W&B what made the map: add --wandb, or leave it out.")
    mode = wandb_mode(wanted=options.wandb, project=options.project)
    model = None if options.model is None else read_model(options.model, options.map)
    for path in _outputs(options):
        if path is not None:
            require_free(path, overwrite=options.overwrite)
    reference = _reference(options)
    with progress_bar(Path(options.map).name, shown=not options.no_progress) as report:
        found = assess_map(
            options.map,
            options.sample,
            reference=reference,
            skip_unanswered=options.skip_unanswered,
            classes=options.classes,
            progress=report,
        )
    _print(found)
    _write(options, argv, found)
    if mode != "absent":
        files = [path for path in _outputs(options) if path is not None]
        log_accuracy(Path(options.map), found, files, model, project=options.project, mode=mode)


def _outputs(options: argparse.Namespace) -> tuple[Path | None, ...]:
    return options.out, options.markdown, options.figure, options.page


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Estimate the accuracy of a map, and the area of each class on the ground, from a sample "
        "that 'eoseg sample' drew and a person filled in: error matrix in shares of the area, overall, "
        "user's and producer's accuracy and areas, with standard errors and 95 % intervals (Olofsson et al. "
        "2014; Stehman 2014 where the strata are not the classes of the map).",
    )
    parser.add_argument(
        "map", metavar="MAP", help="the map from which the sample was drawn, or another one on its grid"
    )
    parser.add_argument("sample", metavar="SAMPLE.gpkg", help="the sample, filled in")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write everything as JSON too")
    parser.add_argument("--markdown", type=Path, metavar="FILE.md", help="write the tables as Markdown too")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="draw areas and accuracies too")
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="write a page with all of it too")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument(
        "--skip-unanswered",
        action="store_true",
        help="leave points without an answer out, as if chance had decided which they are; every output says "
        "so",
    )
    parser.add_argument(
        "--classes",
        type=named_values,
        metavar="NAME=VALUE,...",
        help="the classes of a map that does not name them, as in 'eoseg sample'",
    )
    labels = parser.add_argument_group("labels of the whole map instead of answers")
    labels.add_argument(
        "--reference", metavar="LABELS", help="label raster on the map's grid, or polygons in any CRS"
    )
    labels.add_argument(
        "--attribute",
        metavar="NAME",
        help="polygons: the attribute that holds the class (default: one layer per class)",
    )
    labels.add_argument(
        "--label-encoding",
        choices=["values", "colors"],
        help="raster: class values, or the classes' colours (default: values)",
    )
    labels.add_argument(
        "--ignore",
        nargs="+",
        metavar="VALUE",
        help="values, colours, attribute values or layers that mean 'no label'",
    )
    add_wandb_options(parser, "accuracy and areas").add_argument(
        "--model", type=Path, metavar="CHECKPOINT", help="the checkpoint that made the map, to be named there"
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")
    return parser


def _reference(options: argparse.Namespace) -> "LabelSource | None":
    from eoseg.evaluate.map_accuracy import LabelSource

    if options.reference is None:
        for name in ("attribute", "label_encoding", "ignore"):
            if getattr(options, name) is not None:
                option = "--" + name.replace("_", "-")
                raise ConfigError(
                    f"{option} says how labels are read: add --reference LABELS, or leave it out."
                )
        return None
    ignore = [label_value(text) for text in options.ignore or ()]
    return LabelSource(options.reference, options.attribute, options.label_encoding or "values", ignore)


def _print(found: "MapAccuracy") -> None:
    from rich.console import Console

    from eoseg.evaluate.accuracy_text import class_table, figure_text, matrix_table
    from eoseg.evaluate.map_accuracy import accuracy_notes

    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width: nothing is folded
    console.print(f"overall accuracy {figure_text(found.estimates.overall)}\n", highlight=False)
    console.print(_table(class_table(found), "Areas and accuracy per class, ± half a 95 % interval"))
    console.print()
    if len(found.classes) <= _CELLS:
        console.print(_table(matrix_table(found), "Error matrix, shares of the area"))
        console.print()
    for line in accuracy_notes(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(rows: Sequence[Sequence[str]], title: str) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    head, *body = rows
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="underline",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for number, name in enumerate(head):
        table.add_column(escape(name), justify="right" if number else "left")
    for row in body:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _write(options: argparse.Namespace, argv: list[str], found: "MapAccuracy") -> None:
    """Write what was asked for, and say where."""
    title = f"Accuracy and areas of {Path(options.map).name}"
    if options.out is not None:
        write_atomically(options.out, json.dumps(found.to_dict(), indent=2) + "\n")
    if options.markdown is not None:
        from eoseg.evaluate.accuracy_text import to_markdown

        write_atomically(options.markdown, to_markdown(found, title=title))
    if options.figure is not None:
        from eoseg.evaluate.area_section import area_picture
        from eoseg.figures import png_bytes

        try:
            options.figure.write_bytes(png_bytes(area_picture(found)))
        except OSError as error:
            raise OutputError(f"'{options.figure}' cannot be written: {error.strerror or error}.") from error
    if options.page is not None:
        from eoseg.evaluate.page import write_area_page

        write_area_page(
            options.page,
            title=title,
            summary=f"{options.map}, judged by the points of {options.sample}.",
            sampled=found,
            command=shlex.join(["eoseg", "accuracy", *argv]),
        )
    for path in _outputs(options):
        if path is not None:
            print(f"Written: {path}")
