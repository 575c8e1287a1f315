"""`eoseg vectorize`: a map of classes in, polygons out."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.cli.arguments import names, progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from eoseg.geo.map_polygons import Vectorized


def main(command: str, argv: list[str]) -> None:
    """Write the polygons of one map."""
    arguments = _parser(command).parse_args(argv)
    from eoseg.geo.map_polygons import VectorizeOptions, vectorize_map  # imports rasterio

    options = VectorizeOptions(
        min_area=arguments.min_area,
        simplify=arguments.simplify,
        classes=arguments.classes,
        probabilities=arguments.probabilities,
        overwrite=arguments.overwrite,
    )
    out = arguments.out or arguments.map.with_suffix(".gpkg")
    with progress_bar(out.name, shown=not arguments.no_progress) as report:
        done = vectorize_map(arguments.map, out, options=options, progress=report)
    _print(done)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Write the polygons of a map of classes. A polygon is all pixels of one class that are "
        "connected over their sides; 'no value' makes none. Attributes: class (index), name, area_m2 "
        "(area_px without a CRS; on the ellipsoid where the CRS is geographic) and, where the map's "
        "probabilities are there, probability: the mean of the class's own over the pixels. A GeoPackage has "
        "the map's colours for QGIS. The map is worked through in strips, so that memory does not grow with "
        "it, except for what a single polygon needs; the polygons are exactly those of the whole map.",
    )
    parser.add_argument("map", type=Path, metavar="MAP", help="a map that 'eoseg predict' wrote")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="a GeoPackage (.gpkg) or GeoParquet (.parquet) (default: MAP.gpkg beside the map)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--min-area",
        type=_size,
        default=0.0,
        metavar="M2",
        help="leave out smaller polygons, in m2 (in pixels without a CRS); nothing fills their place",
    )
    parser.add_argument(
        "--simplify",
        type=_size,
        default=0.0,
        metavar="UNITS",
        help="simplify borders, the same on both sides: triangles of up to UNITS squared are left out, in "
        "units of the CRS; 1 to 2 pixels smooth the steps (default: the edges of the pixels). The area is "
        "that of the pixels all the same",
    )
    parser.add_argument(
        "--classes", type=names, metavar="NAME,NAME", help="write these classes alone (default: all)"
    )
    parser.add_argument(
        "--probabilities",
        type=Path,
        metavar="FILE",
        help="the map's probabilities (default: MAP_probabilities.tif where it is beside the map)",
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")
    return parser


def _size(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found '{text}'")
    return value


def _print(done: "Vectorized") -> None:
    from rich.console import Console

    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    if not sum(done.counts) and not done.left_out:
        say("Note: the map has no pixel of a class that is wanted, so the file has no polygon.")
    console.print(_class_table(done))
    if done.left_out:
        say(
            f"Left out: {done.left_out:,} polygon(s) smaller than --min-area, together "
            f"{_area(done.left_out_area, done)}"
        )
    if done.probabilities is not None:
        say(f"Probabilities: {done.probabilities}")
    say(f"Polygons: {done.path}")


def _class_table(done: "Vectorized") -> "Table":
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table("class", "", box=None, pad_edge=False)
    table.add_column("polygons", justify="right")
    table.add_column("area", justify="right")
    for entry, count, area in zip(done.classes, done.counts, done.areas, strict=True):
        red, green, blue = entry.color
        patch = Text("██", style=f"rgb({red},{green},{blue})")
        table.add_row(escape(entry.name), patch, f"{count:,}", _area(area, done))
    return table


def _area(area: float, done: "Vectorized") -> str:
    return f"{area:,.0f} px" if done.unit == "px" else f"{area / 1e4:,.2f} ha"
