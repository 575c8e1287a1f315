"""Networks as ONNX graphs: for a file that other programs run, and for other runtimes inside eoseg."""

import importlib
import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""Version of ONNX's operators: the oldest that torch writes. onnxruntime reads it from 1.14 on."""

_IR_VERSION = 8  # of the file format, as old as the opset allows: onnxruntime before 1.18 reads up to 9

type Output = Literal["classes", "labels", "values"]
"""What logits mean: one class of several, labels each on its own, or a quantity."""

# By how much a value may differ from nodata: the QGIS plugin Deepness divides by 255, and back again.
_NODATA_ROUNDING = 1e-6


class RawGraph(nn.Module):
    """What a file holds: raw values in, NaN for "no value"; probabilities, or a quantity, out."""

    def __init__(self, network: Network, *, output: Output, nodata: float | None = None) -> None:
        """Put the reading of gaps before a network and the decoding of its logits behind it.

        Args:
            network: In evaluation mode; with one image as its input.
            output: What its logits mean.
            nodata: A value that means "no value" too; None for NaN and infinity alone.
        """
        super().__init__()
        self.network = network
        self.output: Output = output
        self.nodata = nodata

    def forward(self, image: Tensor) -> Tensor:
        """Map raw values `(B, C, H, W)` or `(B, 2, C, H, W)` to `(B, K, H, W)`, or `(B, K)` of chips.

        A pixel without a value in one band has none in any, as when eoseg reads a scene.
        """
        known = torch.isfinite(image)
        if self.nodata is not None:
            known = known & ((image - self.nodata).abs() > _NODATA_ROUNDING * abs(self.nodata))
        return decode(self.network(image, known.all(dim=-3)), self.output)


def decode(logits: Tensor, output: Output) -> Tensor:
    """Turn logits `(B, K, ...)` into probabilities from 0 to 1; a quantity stays as it is."""
    if output == "classes":
        return logits.float().softmax(dim=1)
    return logits.float().sigmoid() if output == "labels" else logits.float()


def to_onnx(
    module: nn.Module, image: Tensor, *, output: str, any_batch: bool = False, any_size: int | None = None
) -> "onnx.ModelProto":
    """Trace a module of one image, whose input is then named "image".

    Args:
        module: In evaluation mode.
        image: An example, whose shape the graph takes where nothing else is said.
        output: Name of the output.
        any_batch: Whether the number of images stays free; the example then holds at least two.
        any_size: What height and width are multiples of, where they stay free.

    Raises:
        ConfigError: A package is missing, or the module cannot be traced.
    """
    require_packages("onnx", "onnxscript", extra="onnx")
    free: dict[int, object] = {0: torch.export.Dim("batch")} if any_batch else {}
    if any_size is not None:
        for axis, name in ((image.ndim - 2, "rows"), (image.ndim - 1, "columns")):
            free[axis] = torch.export.Dim(name) if any_size == 1 else any_size * torch.export.Dim(name)
    try:
        with _quiet(), torch.no_grad():
            module(image)  # the normalisation asks once whether it was set, which no graph can hold
            program = torch.onnx.export(
                module,
                (image,),
                input_names=["image"],
                output_names=[output],
                opset_version=OPSET,
                dynamic_shapes=(free,),
                external_data=False,
                verbose=False,
            )
    except RuntimeError as error:  # which torch's own errors are
        sizes = "at any size. Fix one with --tile" if any_size is not None else "at this size"
        reason = textwrap.shorten(str(error.__cause__ or error), 160, placeholder=" ...")
        raise ConfigError(f"The network cannot be written as ONNX {sizes}. torch says: {reason}") from error
    model: onnx.ModelProto = cast(Any, program).model_proto
    model.ir_version = min(model.ir_version, _IR_VERSION)
    return model


def require_packages(*names: str, extra: str) -> None:
    """Refuse where a package is missing.

    Args:
        names: The packages.
        extra: Of eoseg's own package, which installs them.

    Raises:
        ConfigError: With the line that installs them.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"This needs the package '{name}', which is missing here. Install it with pip install "
                f'"eoseg[{extra}]".'
            ) from error


def require_graph(network: Network) -> None:
    """Refuse networks that are no graph of one image.

    Raises:
        ConfigError: The model is fitted in one go, takes series of dates, or has nothing to map.
    """
    if isinstance(network.body, FittedBody):
        raise ConfigError(
            "The checkpoint holds a classical model, which is no graph of layers: ONNX and other runtimes "
            "cannot hold it. Run it with 'eoseg predict' as it is."
        )
    if network.kind == "series":
        raise ConfigError(
            "The checkpoint is for series, whose networks take days and leave out dates: ONNX and other "
            "runtimes are not offered for them. Run it with 'eoseg predict' as it is."
        )
    if network.kind == "pretraining":
        raise ConfigError(
            "The checkpoint is of a pretraining: its network has no classes to map. Train a task with it as "
            "its 'weights' first."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what torch and onnxscript tell their developers, such as the whole graph on an error."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
