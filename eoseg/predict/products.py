"""What a prediction writes: classes, labels or a quantity, with one small class for each.

A product turns the network's output for the core of a tile into layers, one array for each file. The
engine knows none of this.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.errors import CheckpointError, ConfigError
from eoseg.geo.layer import Counts, Layer
from eoseg.geo.mapfile import PROBABILITY_STEPS, class_layer, label_layer, probability_layer, probability_path
from eoseg.geo.valuefile import value_layer
from eoseg.predict.options import ValueRange
from eoseg.recipe import IGNORE, MapClass, Quantity, Recipe

type Layers = tuple[NDArray[Any], ...]
"""What is written to each file, the map first: `(height, width)` or `(bands, height, width)`."""

_NOTABLE_SHARE = 0.1  # of the labels' standard deviation: two values that differ by less count as equal


@dataclass(frozen=True, slots=True)
class Summary:
    """What a map holds, counted."""

    valid_pixels: int
    class_pixels: tuple[int, ...] = ()
    """Pixels per class, or per label where it holds; none of a quantity."""
    values: ValueRange | None = None


class Product(ABC):
    """The files of a prediction: what `layers` they have, and how the network's output becomes values."""

    outputs: int
    """K, the numbers that the network gives per pixel or chip."""
    tolerance = 0.0
    """By how much two values must differ to count as different."""

    def __init__(self, *, probabilities: bool) -> None:
        """Prepare.

        Args:
            probabilities: Whether there is a second file with a probability per class.
        """
        self.has_probabilities = probabilities

    def paths(self, out: Path) -> list[Path]:
        """The files that there will be, the map first."""
        return [out, probability_path(out)] if self.has_probabilities else [out]

    @abstractmethod
    def layers(self) -> list[Layer]:
        """What each file holds."""

    @abstractmethod
    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """Turn the network's output for a core into layers.

        Args:
            logits: `(K, height, width)`.
            valid: `(height, width)`; there is no value elsewhere.

        Raises:
            CheckpointError: The output holds values that are no numbers.
        """

    @abstractmethod
    def empty(self, height: int, width: int) -> Layers:
        """The layers of a core without any value."""

    @abstractmethod
    def differing(self, first: NDArray[Any], second: NDArray[Any]) -> tuple[int, int]:
        """Compare two maps of one place.

        Returns:
            Pixels that have a value in the first, and those of them that have another in the second.
        """

    @abstractmethod
    def summary(self, counts: Counts) -> Summary:
        """What the map holds, from the counts of its values."""


class ClassProduct(Product):
    """One class per pixel: the likeliest, or the second from a given probability on."""

    def __init__(
        self, classes: tuple[MapClass, ...], *, threshold: float | None = None, probabilities: bool = False
    ) -> None:
        """Prepare.

        Args:
            classes: The K classes.
            threshold: Probability of the second of two classes from which it is mapped; None for the
                likeliest class.
            probabilities: Whether to write a probability per class too.
        """
        super().__init__(probabilities=probabilities)
        self.outputs = len(classes)
        self._classes = classes
        self._threshold = threshold

    def layers(self) -> list[Layer]:
        """Classes, and probabilities where asked for."""
        chances = [probability_layer(self._classes)] if self.has_probabilities else []
        return [class_layer(self._classes), *chances]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """Class indices `(h, w)`, and probabilities `(K, h, w)` where asked for."""
        best = logits.max(dim=0)  # several times faster than argmax on this memory layout
        _require_finite(best.values)
        chosen, chances = best.indices, None
        if self.has_probabilities or self._threshold is not None:
            chances = logits.float().softmax(dim=0)
            if self._threshold is not None:
                chosen = chances[1] >= self._threshold
        classes = np.where(valid, chosen.to(torch.uint8).cpu().numpy(), np.uint8(IGNORE))
        if chances is None or not self.has_probabilities:
            return (classes,)
        return classes, _quantised(chances, valid)

    def empty(self, height: int, width: int) -> Layers:
        """`IGNORE` everywhere."""
        nothing = np.full((height, width), IGNORE, np.uint8)
        bands = np.broadcast_to(nothing, (self.outputs, height, width))
        return (nothing, bands) if self.has_probabilities else (nothing,)

    def differing(self, first: NDArray[Any], second: NDArray[Any]) -> tuple[int, int]:
        """Pixels with a class, and those with another one."""
        known = first != IGNORE
        return int(known.sum()), int((first != second)[known].sum())

    def summary(self, counts: Counts) -> Summary:
        """Pixels per class."""
        assert counts.values is not None
        return Summary(counts.known, tuple(counts.values[0, : self.outputs].tolist()))


class LabelProduct(Product):
    """Several labels per pixel, each on its own: it holds where its probability is above one half."""

    def __init__(self, classes: tuple[MapClass, ...], *, probabilities: bool = False) -> None:
        """Prepare.

        Args:
            classes: The K labels.
            probabilities: Whether to write a probability per label too; they do not sum to one.
        """
        super().__init__(probabilities=probabilities)
        self.outputs = len(classes)
        self._classes = classes

    def layers(self) -> list[Layer]:
        """Labels, and probabilities where asked for."""
        chances = [probability_layer(self._classes)] if self.has_probabilities else []
        return [label_layer(self._classes), *chances]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """0 or 1 for each label `(K, h, w)`, and probabilities of that shape where asked for."""
        _require_finite(logits)
        labels = (logits > 0).to(torch.uint8).cpu().numpy()
        labels = np.where(valid, labels, np.uint8(IGNORE))  # (K, h, w)
        if not self.has_probabilities:
            return (labels,)
        return labels, _quantised(logits.float().sigmoid(), valid)

    def empty(self, height: int, width: int) -> Layers:
        """`IGNORE` everywhere."""
        nothing = np.full((self.outputs, height, width), IGNORE, np.uint8)
        return (nothing, nothing) if self.has_probabilities else (nothing,)

    def differing(self, first: NDArray[Any], second: NDArray[Any]) -> tuple[int, int]:
        """Pixels with labels, and those of which any label differs."""
        known = first[0] != IGNORE
        return int(known.sum()), int((first != second).any(axis=0)[known].sum())

    def summary(self, counts: Counts) -> Summary:
        """Pixels at which each label holds."""
        assert counts.values is not None
        return Summary(counts.known, tuple(counts.values[:, 1].tolist()))


class ValueProduct(Product):
    """One float32 number per pixel, NaN where there is none."""

    outputs = 1

    def __init__(self, quantity: Quantity, *, tolerance: float) -> None:
        """Prepare.

        Args:
            quantity: What the numbers are.
            tolerance: By how much two numbers must differ to count as different.
        """
        super().__init__(probabilities=False)
        self._quantity = quantity
        self.tolerance = tolerance

    def layers(self) -> list[Layer]:
        """The numbers."""
        return [value_layer(self._quantity)]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """The numbers `(h, w)`."""
        _require_finite(logits)
        return (np.where(valid, logits[0].float().cpu().numpy(), np.float32(np.nan)),)

    def empty(self, height: int, width: int) -> Layers:
        """NaN everywhere."""
        return (np.full((height, width), np.nan, np.float32),)

    def differing(self, first: NDArray[Any], second: NDArray[Any]) -> tuple[int, int]:
        """Pixels with a number, and those that differ by more than the tolerance."""
        known = ~np.isnan(first)
        return int(known.sum()), int((np.abs(first - second) > self.tolerance)[known].sum())

    def summary(self, counts: Counts) -> Summary:
        """The range of the numbers."""
        if not counts.known:
            return Summary(0)
        mean = counts.total / counts.known
        return Summary(counts.known, values=ValueRange(self._quantity, counts.least, mean, counts.most))


def make_product(recipe: Recipe, *, probabilities: bool) -> Product:
    """Choose what a checkpoint's predictions are.

    Args:
        recipe: The checkpoint's recipe.
        probabilities: Whether to write probabilities too.

    Raises:
        ConfigError: A quantity has no probabilities.
    """
    schema = recipe.schema
    if schema.quantity is not None:
        if probabilities:
            raise ConfigError(
                f"The checkpoint estimates '{schema.quantity.name}', one number per pixel, which has no "
                "probabilities. Leave --probabilities out."
            )
        target = recipe.statistics.target
        return ValueProduct(schema.quantity, tolerance=_NOTABLE_SHARE * target.std if target else 0.0)
    if schema.multilabel:
        return LabelProduct(schema.classes, probabilities=probabilities)
    return ClassProduct(schema.classes, threshold=recipe.threshold, probabilities=probabilities)


def _quantised(chances: Tensor, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Probabilities `(K, h, w)` as `eoseg.geo.mapfile.quantise` stores them, made on their device.

    One byte of each leaves it, not four.
    """
    steps = (chances * PROBABILITY_STEPS).round_().to(torch.uint8).cpu().numpy()
    return np.where(valid, steps, np.uint8(IGNORE))


def _require_finite(values: Tensor) -> None:
    # NaN is passed on to both ends; in one pass, where a test of each value takes several.
    if not all(map(torch.isfinite, values.aminmax())):
        raise CheckpointError(
            "The network gives values that are no finite numbers. Its training diverged: train again with a "
            "smaller learning rate, or use an earlier checkpoint."
        )
