"""`eoseg suggest`: a checkpoint and scenes in, squares to label next out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.cli.arguments import (
    add_device_options,
    add_reading_options,
    count,
    progress_bar,
    reading_of,
    require_input,
)

if TYPE_CHECKING:
    from eoseg.predict.suggest import Suggestion


def main(command: str, argv: list[str]) -> None:
    """Propose where to label next."""
    arguments = _parser(command).parse_args(argv)
    checkpoint = Path(arguments.checkpoint)
    require_input(checkpoint, arguments.scenes)

    from eoseg.models.checkpoint import load_network  # imports torch
    from eoseg.predict import keep_freed_memory
    from eoseg.predict.suggest import SuggestOptions, suggest_places

    options = SuggestOptions(
        count=arguments.count,
        chip_size=arguments.chip_size,
        labelled=arguments.labelled,
        device=arguments.device,
        overwrite=arguments.overwrite,
        **reading_of(arguments),
    )
    keep_freed_memory()
    network, recipe = load_network(checkpoint)
    with progress_bar(arguments.out.name, shown=not arguments.no_progress) as report:
        found = suggest_places(
            network, recipe, arguments.scenes, arguments.out, options=options, progress=report
        )
    _print(found)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Propose squares of some scenes to label next, as a GeoPackage for QGIS, the best "
        "first: where "
        "the network is unsure (entropy), and unlike those chosen before (distance of features), so that ten "
        "squares do not ask the same question ten times. Squares do not touch each other.",
    )
    parser.add_argument("checkpoint", metavar="MODEL", help="a file that 'eoseg fit' wrote")
    parser.add_argument("scenes", metavar="SCENE", nargs="+", help="a GeoTIFF, VRT or other raster")
    parser.add_argument("--out", type=Path, metavar="NEXT.gpkg", required=True, help="the list")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--count", type=count, default=20, metavar="N", help="squares (default: 20)")
    parser.add_argument(
        "--chip-size",
        type=count,
        metavar="PX",
        help="side of a square; fixed for classifiers of chips (default: that of the training)",
    )
    parser.add_argument(
        "--labelled",
        metavar="POLYGONS",
        help="what is labelled already, in any CRS: squares there are left out, and nothing like them is new",
    )
    add_reading_options(parser)
    add_device_options(parser.add_argument_group("how to work"))
    return parser


def _print(found: "Suggestion") -> None:
    for notice in found.notices:
        print(f"Note: {notice}")
    left_out = f", {found.labelled:,} of them labelled already" if found.labelled else ""
    print(
        f"{found.cells:,} squares of {found.chip_size} px looked at{left_out}, in {found.seconds:.1f} s; "
        "compared by "
        f"{found.by}."
    )
    print(
        f"{found.chosen:,} proposed: mean uncertainty {found.chosen_uncertainty:.2f}, of all squares "
        f"{found.mean_uncertainty:.2f} (0 sure, 1 all classes alike)."
    )
    print(f"Written: {found.path}")
