"""`eoseg export`: a checkpoint in, an ONNX file out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eoseg.cli.arguments import count, require_input

if TYPE_CHECKING:
    from eoseg.predict.onnx_file import OnnxFile
    from eoseg.recipe import Recipe


def main(command: str, argv: list[str]) -> None:
    """Write a checkpoint's network as ONNX."""
    arguments = _parser(command).parse_args(argv)
    checkpoint = Path(arguments.checkpoint)
    require_input(checkpoint, [])

    from eoseg.models.checkpoint import load_network  # imports torch
    from eoseg.predict.onnx_file import export_onnx

    network, recipe = load_network(checkpoint)
    written = export_onnx(
        network,
        recipe,
        arguments.out or Path(f"{checkpoint.stem}.onnx"),
        tile=arguments.tile,
        nodata=arguments.nodata,
        overwrite=arguments.overwrite,
    )
    _print(written, recipe)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"eoseg {command}",
        description="Write the network of a checkpoint as ONNX, which runs without eoseg and without torch. "
        "The file takes raw pixel values as float32 (images, bands, rows, columns; for change images, 2, "
        "bands, rows, columns), NaN for 'no value', and gives probabilities, or the value of a quantity: the "
        "normalisation is inside. The recipe is in its metadata, as JSON under 'eoseg_recipe'. The file is "
        "written only if onnxruntime finds with it what torch finds. With --tile the QGIS plugin Deepness "
        "can run it too. Classical models and networks for series cannot be written.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a file that 'eoseg fit' wrote")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.onnx",
        help="the file (default: the checkpoint's name with .onnx, in the present folder)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--tile",
        type=count,
        metavar="PX",
        help="fix height and width, as the QGIS plugin Deepness needs it (default: any size that the network "
        "takes; for chips the size of a chip)",
    )
    parser.add_argument(
        "--nodata",
        type=float,
        metavar="VALUE",
        help="pixels with this value in any band have no value, as those with NaN; for programs that hand on "
        "a file's values as they are (default: what the training's configuration set)",
    )
    return parser


def _print(written: "OnnxFile", recipe: "Recipe") -> None:
    schema = recipe.schema
    parity, gaps = written.parity, "NaN" if written.nodata is None else f"NaN or {written.nodata:g}"
    print(f"Takes image {_sizes(written.input_shape)}: {', '.join(schema.bands)}, {gaps} for 'no value'")
    if schema.quantity is None:
        gives = f"probabilities {_sizes(written.output_shape)}: {', '.join(schema.class_names)}"
    else:
        unit = f" in {schema.quantity.unit}" if schema.quantity.unit else ""
        gives = f"values {_sizes(written.output_shape)}: {schema.quantity.name}{unit}"
    print(f"Gives {gives}")
    if recipe.scaling is not None:
        print(f"Probabilities are calibrated ({recipe.scaling.method} scaling)")
    if recipe.threshold is not None:
        print(
            f"Note: 'eoseg predict' maps '{schema.class_names[1]}' from a probability of "
            f"{recipe.threshold:g} on; the file applies no threshold"
        )
    print(
        f"Parity: differs from torch by at most {parity.worst:.2g} ({written.tolerance:.2g} allowed); "
        f"{parity.differing:,} of {parity.pixels:,} results differ"
    )
    print(f"Deepness (QGIS): {_deepness(written, recipe)}")
    size = written.path.stat().st_size / 1e3
    print(f"ONNX: {written.path}, {size:,.0f} kB, opset {written.opset}")


def _sizes(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _deepness(written: "OnnxFile", recipe: "Recipe") -> str:
    if written.for_deepness:
        return "can run the file"
    if recipe.schema.time == "single" and len(written.input_shape) == len(written.output_shape):
        return "needs one size; add --tile 512, say"
    return "takes no such network"
