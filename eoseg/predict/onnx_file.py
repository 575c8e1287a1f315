"""From a checkpoint to an ONNX file that gives the same result, and that runs without eoseg."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from eoseg.errors import CheckpointError, ConfigError, OutputError
from eoseg.geo.cog import require_writable
from eoseg.models.network import Network
from eoseg.models.onnx_graph import OPSET, Output, RawGraph, require_graph, require_packages, to_onnx
from eoseg.predict.onnx_metadata import describe_model, fits_deepness
from eoseg.predict.parity import Parity, compare_outputs, training_like_image
from eoseg.predict.plan import default_halo
from eoseg.predict.receptive import network_context
from eoseg.recipe import Recipe

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-4
"""By how much a probability may differ from torch's; a quantity by this share of its training deviation."""

_LEAST_PROBE, _MOST_PROBE = 64, 256  # side of the images on which torch and the file are compared


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What was written, and how it compares with the checkpoint."""

    path: Path
    opset: int
    input_shape: tuple[int | str, ...]
    output_shape: tuple[int | str, ...]
    output: Output
    parity: Parity
    tolerance: float
    """The largest difference that was allowed."""
    nodata: float | None
    """The value that the graph takes as "no value", beside NaN."""
    for_deepness: bool
    """Whether the QGIS plugin Deepness can run the file."""


def export_onnx(
    network: Network,
    recipe: Recipe,
    out: Path,
    *,
    tile: int | None = None,
    nodata: float | None = None,
    overwrite: bool = False,
) -> OnnxFile:
    """Write a network as ONNX: raw values in, NaN for "no value"; probabilities, or a quantity, out.

    The file gets its name once onnxruntime has run it and found what torch finds, on images like those of the
    training: one alone and several together, of another size where the file takes any.

    Args:
        network: A trained network for segmentation, change or classification; is put into evaluation mode.
        recipe: Its recipe, which goes into the file's metadata.
        out: Path of the file.
        tile: Height and width to fix, in pixels; None for any that the network takes. Chips have their own.
        nodata: A value that means "no value" too; None for the one that the training's configuration set.
        overwrite: Replace an existing file.

    Raises:
        OutputError: The file exists or cannot be written.
        ConfigError: The network has no ONNX graph, the tile does not fit it, or a package is missing.
        CheckpointError: The file gives another result than torch; it is not written.
    """
    require_writable(out, overwrite=overwrite)
    require_graph(network)
    require_packages("onnx", "onnxscript", "onnxruntime", extra="onnx")
    side = _fixed_side(network, recipe, tile)
    nodata = recipe.schema.nodata if nodata is None else nodata
    output: Output = (
        "values" if recipe.schema.quantity else "labels" if recipe.schema.multilabel else "classes"
    )
    graph = RawGraph(network.eval(), output=output, nodata=nodata).eval()
    model, parity = _trace(graph, recipe, side)
    halo = default_halo(network_context(network, steps=recipe.schema.steps)) if _is_dense(network) else 0
    for key, value in describe_model(network, recipe, tile=side, halo=halo, nodata=nodata).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    _write(model, out)
    return OnnxFile(
        path=out,
        opset=OPSET,
        input_shape=_shape(model.graph.input[0]),
        output_shape=_shape(model.graph.output[0]),
        output=output,
        parity=parity,
        tolerance=_tolerance(recipe),
        nodata=nodata,
        for_deepness=fits_deepness(network, tile=side),
    )


def _trace(graph: RawGraph, recipe: Recipe, side: int | None) -> "tuple[onnx.ModelProto, Parity]":
    """Turn a network into a model that gives the same, and say how much the same."""
    network, output, tolerance = graph.network, graph.output, _tolerance(recipe)
    counts = (1, 3) if _is_dense(network) else (1, 15)
    images = [_probe(recipe, network, count, side) for count in counts]
    expected = _run_torch(graph, images)
    model = to_onnx(
        graph,
        _probe(recipe, network, 2, side),
        output="values" if output == "values" else "probabilities",
        any_batch=True,
        any_size=None if side else network.output_stride,
    )
    parity = Parity(0, 0, 0.0)
    for one, other in zip(expected, _run_onnxruntime(model, images), strict=True):
        parity += compare_outputs(one, other, kind=output, tolerance=tolerance)
    if parity.worst > tolerance:
        raise CheckpointError(
            f"The ONNX graph gives another result than torch: values differ by up to {parity.worst:.3g}, "
            f"{tolerance:.3g} is allowed, and {parity.differing} of {parity.pixels} results differ. Nothing "
            "was written; try one size with --tile, or run the checkpoint with 'eoseg predict'."
        )
    return model, parity


def _fixed_side(network: Network, recipe: Recipe, tile: int | None) -> int | None:
    """Height and width that the file takes; None for any."""
    if _is_dense(network):
        if tile is not None:
            network.check_size(tile, tile)
        return tile
    if tile not in (None, recipe.chip_size):
        raise ConfigError(
            f"The network takes chips of {recipe.chip_size} px and no others; found --tile {tile}. Leave "
            "--tile out."
        )
    return recipe.chip_size


def _is_dense(network: Network) -> bool:
    return network.kind != "classification"


def _probe(recipe: Recipe, network: Network, count: int, side: int | None) -> Tensor:
    """Images like those of the training; where the size is free, the higher the more there are."""
    steps = () if network.takes_one_date else (recipe.schema.steps,)
    height = width = side or 0
    if side is None:
        stride = network.output_stride
        width = max(2, -(-min(max(recipe.chip_size, _LEAST_PROBE), _MOST_PROBE) // stride)) * stride
        height = width + (count - 1) * stride
    shape = (count, *steps, len(recipe.schema.bands), height, width)
    return training_like_image(recipe.statistics, shape, seed=count)


def _tolerance(recipe: Recipe) -> float:
    target = recipe.statistics.target
    return TOLERANCE if recipe.schema.quantity is None or target is None else TOLERANCE * (target.std or 1.0)


@torch.inference_mode()
def _run_torch(graph: RawGraph, images: list[Tensor]) -> list[Tensor]:
    outputs: list[Tensor] = [graph(image) for image in images]
    if not all(output.isfinite().all() for output in outputs):
        raise CheckpointError(
            "The network gives values that are no finite numbers. Its training diverged: train again with a "
            "smaller learning rate, or use an earlier checkpoint."
        )
    return outputs


def _run_onnxruntime(model: "onnx.ModelProto", images: list[Tensor]) -> list[Tensor]:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return [torch.from_numpy(session.run(None, {"image": image.numpy()})[0]) for image in images]
    except Exception as error:  # its exceptions have no other base
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise CheckpointError(
            "onnxruntime cannot run the network at several sizes as torch wrote it. Nothing was written; try "
            f"one size with --tile, or run the checkpoint with 'eoseg predict'. It says: {reason}"
        ) from error


def _shape(value: Any) -> tuple[int | str, ...]:
    return tuple(
        cast(str, axis.dim_param) or int(axis.dim_value) for axis in value.type.tensor_type.shape.dim
    )


def _write(model: "onnx.ModelProto", out: Path) -> None:
    """Write under another name and rename, so that a file is complete or not there."""
    part = out.with_name(f"{out.name}.part")
    try:
        part.write_bytes(model.SerializeToString())
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"'{out}' cannot be written: {error.strerror or error}. Check the folder and the free space."
        ) from error
