"""What can be said to `eoseg predict`."""

import argparse
from pathlib import Path
from typing import Literal

from eoseg.cli.arguments import add_reading_options, count
from eoseg.cli.wandb_log import add_wandb_options


def prediction_parser(command: str) -> argparse.ArgumentParser:
    """The parser of a command that maps scenes, by the command's name."""
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Map scenes of any size, tile by tile. The map lies on the scene's own grid, as a Cloud "
        "Optimized GeoTIFF with colours, class names and provenance; 255 means 'no value'. Memory does not "
        "grow with the scene, and where the network allows it the map equals its result on the whole scene. "
        "A checkpoint for change takes two scenes, BEFORE AFTER; one for series the rasters of all dates, or "
        "a folder of them, with the date in each name; one for chips gives each tile one class; one for a "
        "quantity writes float32, with NaN for 'no value'.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file that 'eoseg fit' wrote")
    parser.add_argument(
        "scenes",
        metavar="SCENE",
        nargs="+",
        help="a GeoTIFF, VRT or other raster, here or at https:// or s3://; a folder with a file per band, "
        "such as a Sentinel-2 product; for a series a folder of rasters",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="the map (.tif), or a folder for SCENE_map.tif of each scene, of the later one of two, of the "
        "last date or of a series' folder (default: the present folder)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing maps")
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write MAP_probabilities.tif: a band per class, uint8, times its scale 1/250",
    )
    _add_certainty(parser)
    _add_reading(parser)
    _add_work(parser)
    add_wandb_options(parser, "each map")
    return parser


def _add_certainty(parser: argparse.ArgumentParser) -> None:
    sure = parser.add_argument_group("how sure the map is")
    sure.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write MAP_uncertainty.tif: entropy of the probabilities (0 sure, 1 all alike), margin "
        "between the best two, and the share of a pixel's values that training never saw, uint8, times its "
        "scale 1/250; with the options below by how much results differ too (spread, mutual information)",
    )
    sure.add_argument(
        "--ensemble",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="CHECKPOINT",
        help="map the mean over these trainings too, such as the same with other seeds; the first checkpoint "
        "decides where a threshold is used",
    )
    sure.add_argument(
        "--mc-dropout",
        type=count,
        metavar="N",
        help="map the mean over N samples of a network that was trained with dropout, each without some of "
        "its units, the same ones all over the map",
    )
    sure.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: map the mean over the 8 symmetries of the square (turned and mirrored "
        "images), which takes 8 times as long; a quantity gets the mean of its values",
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    reading = add_reading_options(parser)
    reading.add_argument(
        "--aoi",
        metavar="FILE[::LAYER]",
        help="map only inside these polygons, in any CRS; elsewhere the map has no value",
    )
    reading.add_argument(
        "--mosaic",
        action="store_true",
        help="the scenes are parts of one: map them together; later ones lie over earlier ones",
    )
    reading.add_argument(
        "--nodata-policy",
        choices=("any", "all"),
        default="any",
        help="a pixel has no value where 'any' band has none, or only where 'all' have none; what is missing "
        "is then taken as the training mean (default: any)",
    )
    reading.add_argument(
        "--pixel-size",
        type=_metres,
        default="auto",
        metavar="auto|native|METRES",
        help="read the scenes at this pixel size: 'auto' is that of the training, where the checkpoint notes "
        "it, 'native' the scene's own; the map is on the scene's own grid (default: auto)",
    )


def _add_work(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("how to work")
    work.add_argument(
        "--tile",
        type=_pixels,
        default="auto",
        metavar="auto|PX",
        help="side of what a tile writes; 'auto' is the largest that --max-memory allows, and for chips the "
        "size of a chip: less makes a finer map (default: auto)",
    )
    work.add_argument(
        "--halo",
        type=_pixels,
        default="auto",
        metavar="auto|PX",
        help="context around a tile; 'auto' is what an exact map needs (default: auto). Less is faster",
    )
    work.add_argument(
        "--blend",
        choices=("auto", "off"),
        default="auto",
        help="'auto' averages neighbouring tiles where they overlap, if the map is not exact (default: auto)",
    )
    work.add_argument(
        "--check-seams",
        type=count,
        nargs="?",
        const=0,
        metavar="N",
        help="compute N tiles (default: 4) again from tiles that lie half a tile further, and say where and "
        "how much they differ; of a map that is not exact some are compared in any case",
    )
    work.add_argument(
        "--seam-map",
        type=Path,
        metavar="FILE.png",
        help="draw what --check-seams finds, which it implies",
    )
    work.add_argument(
        "--batch-size", type=count, metavar="N", help="tiles per pass (default: 1, or up to 32 chips)"
    )
    work.add_argument(
        "--max-memory",
        type=count,
        metavar="MB",
        help="memory that the run may take above that of the program: decides on '--tile auto' and on GDAL's "
        "cache (default: 2048, and tiles that read 768 px a side, or up to 2048 px where the halo is large)",
    )
    work.add_argument(
        "--backend",
        choices=("torch", "onnxruntime", "openvino"),
        default="torch",
        help="what runs the network (default: torch); the others run on the CPU, with the extras 'onnx' and "
        "'openvino', and are compared with torch first",
    )
    work.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of the network; 'auto' is bfloat16 where the device has instructions for it and some tiles "
        "give the same map, else float32 (default: auto)",
    )
    work.add_argument(
        "--compile",
        action="store_true",
        help="compile the network: takes a minute or two, needs a C++ compiler",
    )
    work.add_argument(
        "--processes",
        type=count,
        default=1,
        metavar="N",
        help="processes that share the work and the cores (default: 1). Under torchrun or srun each process "
        "takes its share of a scene, or whole scenes where there are as many; stopped work goes on with "
        "the same command, whatever their number",
    )
    work.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    work.add_argument("--no-progress", action="store_true", help="no progress bar")


def _metres(text: str) -> float | Literal["auto", "native"]:
    if text in ("auto", "native"):
        return text  # type: ignore[return-value]
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected 'auto', 'native' or metres, found '{text}'") from None


def _pixels(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected 'auto' or a number of pixels, found '{text}'")
    return int(text)
