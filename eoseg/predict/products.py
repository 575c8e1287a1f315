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
from eoseg.geo.mapfile import class_layer, label_layer, probability_layer, probability_path, quantise
from eoseg.geo.valuefile import value_layer
from eoseg.predict.options import ValueRange
from eoseg.recipe import IGNORE, MapClass, Quantity, Recipe

type Layers = tuple[NDArray[Any], ...]
"""What is written to each file, the map first: `(height, width)` or `(bands, height, width)`."""

_LEAST_SCORE = 1e-7  # a probability of 0 has no logarithm
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
    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits into what may be averaged over several results for one place.

        Args:
            logits: `(..., K, height, width)`.

        Returns:
            Float32 probabilities, 0 to 1, or values in their unit, of the same shape.
        """

    @abstractmethod
    def logits(self, scores: Tensor) -> Tensor:
        """The logits that have these scores: the inverse of `scores`, for `decode`."""

    @abstractmethod
    def empty(self, height: int, width: int) -> Layers:
        """The layers of a core without any value."""

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
        return classes, quantise(chances.cpu().numpy(), valid)

    def scores(self, logits: Tensor) -> Tensor:
        """Probabilities that sum to one."""
        return logits.float().softmax(dim=-3)

    def logits(self, scores: Tensor) -> Tensor:
        """Their logarithms: softmax gives the probabilities again."""
        return scores.clamp_min(_LEAST_SCORE).log()

    def empty(self, height: int, width: int) -> Layers:
        """`IGNORE` everywhere."""
        nothing = np.full((height, width), IGNORE, np.uint8)
        bands = np.broadcast_to(nothing, (self.outputs, height, width))
        return (nothing, bands) if self.has_probabilities else (nothing,)

    def known(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Where there is a class."""
        known: NDArray[np.bool_] = values[0] != IGNORE
        return known

    def differs(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
        """Where there is another class."""
        differs: NDArray[np.bool_] = first[0] != second[0]
        return differs

    def ties(self, logits: Tensor, margin: float) -> NDArray[np.bool_]:
        """Where two classes are equally likely, or a probability is that from which its class is mapped."""
        chances = logits[: self.outputs].float().softmax(dim=0)
        if self._threshold is not None:
            close = (chances[1] - self._threshold).abs() <= margin
        else:
            best = chances.topk(min(2, self.outputs), dim=0).values
            close = best[0] - best[-1] <= margin
        ties: NDArray[np.bool_] = close.cpu().numpy()
        return ties

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
        return labels, quantise(logits.float().sigmoid().cpu().numpy(), valid)

    def scores(self, logits: Tensor) -> Tensor:
        """A probability for each label."""
        return logits.float().sigmoid()

    def logits(self, scores: Tensor) -> Tensor:
        """Log odds: sigmoid gives the probabilities again."""
        return scores.logit(eps=_LEAST_SCORE)

    def empty(self, height: int, width: int) -> Layers:
        """`IGNORE` everywhere."""
        nothing = np.full((self.outputs, height, width), IGNORE, np.uint8)
        return (nothing, nothing) if self.has_probabilities else (nothing,)

    def known(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Where there are labels."""
        known: NDArray[np.bool_] = values[0] != IGNORE
        return known

    def differs(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
        """Where any label differs."""
        differs: NDArray[np.bool_] = (first != second).any(axis=0)
        return differs

    def ties(self, logits: Tensor, margin: float) -> NDArray[np.bool_]:
        """Where a label is as likely as not."""
        chances = logits[: self.outputs].float().sigmoid()
        ties: NDArray[np.bool_] = ((chances - 0.5).abs() <= margin).any(dim=0).cpu().numpy()
        return ties

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

    def scores(self, logits: Tensor) -> Tensor:
        """The numbers themselves."""
        return logits.float()

    def logits(self, scores: Tensor) -> Tensor:
        """The numbers themselves."""
        return scores

    def empty(self, height: int, width: int) -> Layers:
        """NaN everywhere."""
        return (np.full((height, width), np.nan, np.float32),)

    def known(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Where there is a number."""
        known: NDArray[np.bool_] = ~np.isnan(values[0])
        return known

    def differs(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
        """Where the numbers differ by more than the tolerance."""
        differs: NDArray[np.bool_] = np.abs(first[0] - second[0]) > self.tolerance
        return differs

    def ties(self, logits: Tensor, margin: float) -> NDArray[np.bool_]:  # noqa: ARG002
        """Nowhere: numbers are compared up to the tolerance."""
        return np.zeros(tuple(logits.shape[-2:]), np.bool_)

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


def _require_finite(values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise CheckpointError(
            "The network gives values that are no finite numbers. Its training diverged: train again with a "
            "smaller learning rate, or use an earlier checkpoint."
        )
