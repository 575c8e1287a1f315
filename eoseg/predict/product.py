"""What every product is: the files of a prediction, and how the network's output becomes their values."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.geo.layer import Counts, Layer
from eoseg.geo.mapfile import probability_layer, probability_path
from eoseg.geo.uncertaintyfile import Extra, uncertainty_layer, uncertainty_path
from eoseg.predict.options import ValueRange
from eoseg.predict.quantise import quantise
from eoseg.recipe import MapClass

type Layers = tuple[NDArray[Any], ...]
"""What is written to each file, the map first: `(height, width)` or `(bands, height, width)`."""

type FileRole = Literal["map", "probabilities", "uncertainty"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a map holds, counted."""

    valid_pixels: int
    class_pixels: tuple[int, ...] = ()
    """Pixels per class, or per label where it holds; none of a quantity."""
    values: ValueRange | None = None


class Product(ABC):
    """The files of a prediction: what `layers` they have, and how the network's output becomes values.

    What is known of a pixel beside them (`extras`) is one more channel each behind the K of logits or scores,
    and stays as it is when these become one another.
    """

    outputs: int
    """K, the numbers that the network gives per pixel or chip."""
    tolerance = 0.0
    """By how much two values must differ to count as different."""

    def __init__(
        self, *, probabilities: bool = False, uncertainty: bool = False, extras: tuple[Extra, ...] = ()
    ) -> None:
        """Prepare.

        Args:
            probabilities: Whether there is a file with a probability per class.
            uncertainty: Whether there is a file that says how sure the map is.
            extras: What that file says beside entropy and margin, in the order of its bands.
        """
        self.has_probabilities = probabilities
        self.has_uncertainty = uncertainty
        self.extras = extras if uncertainty else ()

    def files(self, out: Path) -> dict[FileRole, Path]:
        """The files that there will be, in the order of `layers`."""
        found: dict[FileRole, Path] = {"map": out}
        if self.has_probabilities:
            found["probabilities"] = probability_path(out)
        if self.has_uncertainty:
            found["uncertainty"] = uncertainty_path(out)
        return found

    def paths(self, out: Path) -> list[Path]:
        """The files that there will be, the map first."""
        return list(self.files(out).values())

    @abstractmethod
    def layers(self) -> list[Layer]:
        """What each file holds."""

    @abstractmethod
    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """Turn the network's output for a core into layers.

        Args:
            logits: `(K, height, width)`, or more with the extras.
            valid: `(height, width)`; there is no value elsewhere.

        Raises:
            CheckpointError: The output holds values that are no numbers.
        """

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits into what may be averaged over several results for one place.

        Args:
            logits: `(..., K, height, width)`, or more with the extras.

        Returns:
            Float32 probabilities, 0 to 1, or values in their unit, of the same shape.
        """

    @abstractmethod
    def logits(self, scores: Tensor) -> Tensor:
        """The logits that have these scores: the inverse of `scores`, for `decode`."""

    @abstractmethod
    def spread(self, scores: Tensor, deviation: Tensor) -> Tensor:
        """How much the result at a pixel differs between several of which it is the mean.

        Args:
            scores: Their mean, `(..., K, height, width)`.
            deviation: Their standard deviation, of the same shape.

        Returns:
            `(..., 1, height, width)`: the deviation of what is mapped.
        """

    def entropy(self, scores: Tensor) -> Tensor:
        """How unsure probabilities are, 0 to 1; of a quantity, which has none, 0.

        Args:
            scores: `(..., K, height, width)`.

        Returns:
            `(..., 1, height, width)`.
        """
        return torch.zeros_like(scores[..., :1, :, :])

    def empty(self, height: int, width: int) -> Layers:
        """The layers of a core without any value."""
        return tuple(
            np.full((len(layer.bands), height, width), layer.nodata, layer.dtype) for layer in self.layers()
        )

    @abstractmethod
    def known(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Where a map `(bands, height, width)` has a value, `(height, width)`."""

    @abstractmethod
    def differs(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
        """Where two maps `(bands, height, width)` with the same known pixels differ, `(height, width)`."""

    @abstractmethod
    def ties(self, logits: Tensor, margin: float) -> NDArray[np.bool_]:
        """Where the result hangs on a difference of probabilities below a margin, `(height, width)`."""

    @abstractmethod
    def summary(self, counts: Counts) -> Summary:
        """What the map holds, from the counts of its values."""

    def _split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The K channels, and the extras behind them: `(..., 0, height, width)` where there are none."""
        return output[..., : self.outputs, :, :], output[..., self.outputs :, :, :]


class ChanceProduct(Product):
    """A product with probabilities."""

    def _layers_beside(self, classes: tuple[MapClass, ...]) -> list[Layer]:
        """The layers of all files but the map."""
        return [
            *([probability_layer(classes)] if self.has_probabilities else []),
            *([uncertainty_layer(self.extras)] if self.has_uncertainty else []),
        ]

    def _beside(
        self,
        chances: Tensor,
        measure: Callable[[Tensor], Tensor],
        extras: Tensor,
        valid: NDArray[np.bool_],
    ) -> Layers:
        """What all files hold but the map."""
        layers = [quantise(chances, valid)] if self.has_probabilities else []
        if self.has_uncertainty:
            layers.append(quantise(join(measure(chances), extras), valid))
        return tuple(layers)


def join(channels: Tensor, extras: Tensor) -> Tensor:
    """The opposite of `Product._split`."""
    return torch.cat([channels, extras.to(channels)], dim=-3) if extras.shape[-3] else channels
