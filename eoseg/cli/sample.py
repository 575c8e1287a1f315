"""`eoseg sample`: a map in, a probability sample of its pixels out, for a person to fill in."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.cli.arguments import count, progress_bar

if TYPE_CHECKING:
    from eoseg.evaluate.sampling import Drawn


def main(command: str, argv: list[str]) -> None:
    """Draw a sample and say what it holds."""
    arguments = _parser(command).parse_args(argv)
    from eoseg.evaluate.design import EXPECTED, STANDARD_ERROR, SampleSize  # imports numpy
    from eoseg.evaluate.sampling import draw_sample

    default, named = arguments.expected
    size = SampleSize(
        points=arguments.points,
        standard_error=STANDARD_ERROR if arguments.standard_error is None else arguments.standard_error,
        target=arguments.target,
        allocation=arguments.allocation,
        minimum=arguments.minimum,
        expected=named,
        expected_else=EXPECTED if default is None else default,
    )
    with progress_bar(arguments.out.name, shown=not arguments.no_progress) as report:
        done = draw_sample(
            arguments.map,
            arguments.out,
            size=size,
            strata=arguments.strata,
            classes=arguments.classes,
            seed=arguments.seed,
            shown=arguments.show_map_class,
            overwrite=arguments.overwrite,
            progress=report,
        )
    _print(done, target=arguments.target)


def named_values(text: str) -> dict[str, int]:
    """Class names and their values in a map, such as "water=1,forest=2"; for argparse."""
    found: dict[str, int] = {}
    for item in text.split(","):
        name, _, value = item.strip().rpartition("=")
        if not name or not value.removeprefix("-").isdecimal():
            raise argparse.ArgumentTypeError(f"expected NAME=VALUE with commas between, found '{text}'")
        found[name] = int(value)
    return found


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Draw a stratified random sample of the pixels of a map, and write it as a GeoPackage "
        "that a person fills in QGIS: points with lists of classes and a style that shows what is still to "
        "be answered, the outlines of their pixels, and how they were drawn. 'eoseg accuracy' makes accuracy "
        "and areas of it. The map is read in strips, so that memory does not grow with it.",
    )
    parser.add_argument("map", metavar="MAP", help="a map that 'eoseg predict' wrote, of one class per pixel")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.gpkg", help="the file of the sample")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    number = parser.add_argument_group("how many points").add_mutually_exclusive_group()
    number.add_argument("--points", type=count, metavar="N", help="so many")
    number.add_argument(
        "--standard-error",
        type=float,
        metavar="SHARE",
        help="as many as the target needs for this standard error: equation 13 of Olofsson et al. 2014 "
        "(default: 0.02)",
    )
    share = parser.add_argument_group("how they are shared among the strata")
    share.add_argument(
        "--allocation",
        choices=["equal", "proportional", "optimal"],
        default="proportional",
        help="the same for each; by area; or by area times expected standard deviation, which makes the "
        "standard error of the target smallest (default: proportional)",
    )
    share.add_argument(
        "--minimum",
        type=count,
        metavar="N",
        help="points of each stratum at least (default: 50, or half of an equal share where that is less)",
    )
    share.add_argument(
        "--target",
        default="overall",
        metavar="overall|area:CLASS",
        help="what is to be known well: overall accuracy, or the area of a class (default: overall)",
    )
    share.add_argument(
        "--expected",
        type=_expected,
        default=(None, {}),
        metavar="0.8,NAME=0.6,...",
        help="user's accuracies that are expected: of all strata, and of single ones (default: 0.8)",
    )
    parser.add_argument(
        "--strata",
        metavar="RASTER",
        help="a raster on the map's grid whose values are the strata (default: the classes of the map)",
    )
    parser.add_argument(
        "--classes",
        type=named_values,
        metavar="NAME=VALUE,...",
        help="the classes of a map that does not name them, as those of other programs",
    )
    parser.add_argument(
        "--show-map-class",
        action="store_true",
        help="write stratum and class of the map beside each point; by default the interpreter does not see "
        "them, since who knows what the map says agrees with it more often",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of points (default: 0)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")
    return parser


def _expected(text: str) -> tuple[float | None, dict[str, float]]:
    default: float | None = None
    named: dict[str, float] = {}
    for item in text.split(","):
        name, is_named, value = item.strip().rpartition("=")
        try:
            share = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a share or NAME=SHARE, found '{item}'") from None
        if is_named:
            named[name] = share
        else:
            default = share
    return default, named


def _print(done: "Drawn", *, target: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from eoseg.evaluate.sampling import design_notes

    console = Console()
    table = Table("stratum", box=None, pad_edge=False)
    for title in ("pixels", "share of the area", "points"):
        table.add_column(title, justify="right", no_wrap=True)
    for held, drawn in zip(done.design.strata, done.design.drawn, strict=True):
        table.add_row(
            escape(held.name), f"{held.pixels:,}", f"{held.area / done.design.area:.2%}", f"{drawn:,}"
        )
    console.print(table)
    what = "overall accuracy" if target == "overall" else f"the share of the {target.replace(':', ' of ')}"
    lines = [
        *design_notes(done.design),
        f"Standard error of {what} that may be expected: {done.plan.anticipated:.4f}",
        f"Sample: {done.path}",
        f"Next: fill in 'reference' of the layer 'points' in QGIS, then eoseg accuracy {done.design.map} "
        f"{done.path}",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
