"""`eoseg embed`: a checkpoint and scenes in, a table of features out."""

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
    from eoseg.predict.embed import Embedding


def main(command: str, argv: list[str]) -> None:
    """Describe the chips of one scene or several in one table."""
    arguments = _parser(command).parse_args(argv)
    checkpoint = Path(arguments.checkpoint)
    require_input(checkpoint, [*arguments.scenes, *arguments.labels])

    from eoseg.models.checkpoint import load_network  # imports torch
    from eoseg.predict import keep_freed_memory
    from eoseg.predict.embed import EmbedOptions, embed_scenes

    options = EmbedOptions(
        chip_size=arguments.chip_size,
        step=arguments.step,
        batch_size=arguments.batch_size,
        device=arguments.device,
        overwrite=arguments.overwrite,
        label_values=arguments.label_values,
        **reading_of(arguments),
    )
    keep_freed_memory()
    network, recipe = load_network(checkpoint)
    with progress_bar(arguments.out.name, shown=not arguments.no_progress) as report:
        embedding = embed_scenes(
            network,
            recipe,
            arguments.scenes,
            arguments.out,
            labels=arguments.labels,
            options=options,
            checkpoint=checkpoint,
            progress=report,
        )
    _print(embedding)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Write the features of a trained network for each chip of some scenes, as GeoParquet "
        "with the chips' footprints: columns scene, row, col, valid (share of valid pixels), f000 and so on. "
        "Of a classifier of chips these are its descriptors before the last layer; of an autoencoder, and "
        "of a segmenter over an encoder, the deepest features, averaged over the chip. With labels the "
        "classical models learn from the table: data class_path TableData, path TABLE.parquet. "
        "Footprints have the scenes' CRS, or EPSG:4326 where scenes differ.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file that 'eoseg fit' wrote")
    parser.add_argument("scenes", metavar="SCENE", nargs="+", help="a GeoTIFF, VRT or other raster")
    parser.add_argument("--out", type=Path, metavar="TABLE.parquet", required=True, help="the table")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing table")
    parser.add_argument(
        "--chip-size",
        type=count,
        metavar="PX",
        help="side of a chip; fixed for classifiers of chips (default: that of the training)",
    )
    parser.add_argument(
        "--step", type=count, metavar="PX", help="from one chip to the next (default: the side of a chip)"
    )
    parser.add_argument(
        "--labels",
        metavar="LABELS",
        nargs="+",
        default=[],
        help="a label raster for each scene, in their order: adds the column label, the class of most of a "
        "chip's labelled pixels (their value, where the checkpoint has no classes), empty for none",
    )
    parser.add_argument(
        "--label-values",
        action="store_true",
        help="label chips with the rasters' values, for labels of other classes than the checkpoint's",
    )
    add_reading_options(parser)
    work = parser.add_argument_group("how to work")
    work.add_argument("--batch-size", type=count, metavar="N", help="chips per pass (default: up to 32)")
    add_device_options(work)
    return parser


def _print(embedding: "Embedding") -> None:
    for notice in embedding.notices:
        print(f"Note: {notice}")
    skipped = f", {embedding.skipped} skipped (no valid pixel)" if embedding.skipped else ""
    apart = "" if embedding.step == embedding.chip_size else f", {embedding.step} px apart"
    print(
        f"{embedding.chips:,} chips of {embedding.chip_size} px{apart}{skipped}: {embedding.features} "
        f"features each, in {embedding.seconds:.1f} s on {embedding.device}"
    )
    if embedding.label_chips is not None:
        told = [f"{name or '(none)'} {number:,}" for name, number in embedding.label_chips.items()]
        print(f"Labels: {', '.join(told)}")
    print(f"Footprints: CRS {embedding.crs}")
    print(f"Table: {embedding.path}")
