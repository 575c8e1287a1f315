"""From the pixels of tiles to their classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.errors import CheckpointError, ConfigError
from eoseg.geo.mapfile import quantise
from eoseg.models.network import Network
from eoseg.predict.reader import TileImage
from eoseg.recipe import IGNORE


@dataclass(frozen=True, slots=True)
class TileClasses:
    """The result for the core of a tile."""

    source: TileImage
    classes: NDArray[np.uint8]
    """`(height, width)`, `IGNORE` where not valid."""
    probabilities: NDArray[np.uint8] | None
    """`(K, height, width)` in steps of 1/250, `IGNORE` where not valid."""


class Classifier:
    """A network in evaluation mode on its device."""

    def __init__(
        self, network: Network, *, device: torch.device, num_classes: int, probabilities: bool
    ) -> None:
        """Move the network to its device.

        Args:
            network: Is put into evaluation mode and moved.
            device: Where it runs.
            num_classes: K, as the recipe has it.
            probabilities: Whether to give probabilities beside classes.
        """
        self._network = network.eval().to(device)
        self._device = device
        self._num_classes = num_classes
        self._probabilities = probabilities
        self.passes = 0
        """Forward passes so far."""

    def classify(self, tiles: Sequence[TileImage]) -> list[TileClasses]:
        """Classify the cores of tiles whose reads have one size.

        Raises:
            CheckpointError: The network gives another number of classes, or values that are no numbers.
            ConfigError: The tiles do not fit the memory of the GPU.
        """
        try:
            logits = self._forward(tiles)
            return [self._finish(tile, one) for tile, one in zip(tiles, logits, strict=True)]
        except torch.OutOfMemoryError as error:
            size = f"{tiles[0].tile.read.height} x {tiles[0].tile.read.width} px"
            raise ConfigError(
                f"{len(tiles)} tile(s) of {size} do not fit the memory of {self._device}. Use a smaller "
                "--tile, --batch-size or --memory."
            ) from error

    @torch.inference_mode()
    def _forward(self, tiles: Sequence[TileImage]) -> Tensor:
        image = torch.from_numpy(_stack([tile.image for tile in tiles])).to(self._device)
        valid = torch.from_numpy(_stack([tile.valid for tile in tiles])).to(self._device)
        logits = self._network(image, valid)
        self.passes += 1
        if logits.shape[1] != self._num_classes or logits.shape[2:] != image.shape[2:]:
            raise CheckpointError(
                f"The network gives logits of shape {tuple(logits.shape)}; the recipe has "
                f"{self._num_classes} classes and the image {tuple(image.shape[2:])} pixels. Train again."
            )
        result: Tensor = logits  # (B, K, H, W)
        return result

    @torch.inference_mode()
    def _finish(self, tile: TileImage, logits: Tensor) -> TileClasses:
        rows, cols = tile.tile.core.slices_in(tile.tile.read)
        inner = logits[:, rows, cols]  # (K, h, w)
        best = inner.max(dim=0)  # several times faster than argmax on this memory layout
        if not torch.isfinite(best.values).all():
            raise CheckpointError(
                "The network gives values that are no finite numbers. Its training diverged: train again "
                "with a smaller learning rate, or use an earlier checkpoint."
            )
        valid = tile.core_valid
        classes = np.where(valid, best.indices.to(torch.uint8).cpu().numpy(), np.uint8(IGNORE))
        probabilities = None
        if self._probabilities:
            probabilities = quantise(inner.float().softmax(dim=0).cpu().numpy(), valid)
        return TileClasses(tile, classes, probabilities)


def pick_device(name: str) -> torch.device:
    """Find the device to run on.

    Args:
        name: "auto" for a GPU where there is one, or a name such as "cpu" or "cuda:1".

    Raises:
        ConfigError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"There is no device '{name}' here. Use --device auto, cpu, cuda or cuda:N."
        ) from error
    if device.type == "meta":
        raise ConfigError("The device 'meta' computes nothing. Use --device auto, cpu, cuda or cuda:N.")
    return device


def _stack[T: np.generic](arrays: Sequence[NDArray[T]]) -> NDArray[T]:
    """Stack arrays; one alone is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
