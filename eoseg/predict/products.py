"""What a prediction writes: classes, labels or a quantity, with one small class for each.

A product turns the network's output for the core of a tile into layers, one array for each file. The
engine knows none of this.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.errors import CheckpointError
from eoseg.geo.layer import Counts, Layer
from eoseg.geo.mapfile import class_layer, label_layer, probability_layer, probability_path
from eoseg.geo.uncertaintyfile import spread_layer, uncertainty_layer, uncertainty_path
from eoseg.geo.valuefile import value_layer
from eoseg.predict.options import ValueRange
from eoseg.predict.quantise import quantise
from eoseg.predict.uncertainty import class_uncertainty, label_uncertainty
from eoseg.recipe import IGNORE, MapClass, Quantity

type Layers = tuple[NDArray[Any], ...]
"""What is written to each file, the map first: `(height, width)` or `(bands, height, width)`."""

type FileRole = Literal["map", "probabilities", "uncertainty"]

_LEAST_SCORE = 1e-7  # a probability of 0 has no logarithm


@dataclass(frozen=True, slots=True)
class Summary:
    """What a map holds, counted."""

    valid_pixels: int
    class_pixels: tuple[int, ...] = ()
    """Pixels per class, or per label where it holds; none of a quantity."""
    values: ValueRange | None = None


class Product(ABC):
    """The files of a prediction: what `layers` they have, and how the network's output becomes values.

    Where there is a spread it is one more channel behind the K of logits or scores, and stays as it is when
    these become one another.
    """

    outputs: int
    """K, the numbers that the network gives per pixel or chip."""
    tolerance = 0.0
    """By how much two values must differ to count as different."""

    def __init__(self, *, probabilities: bool = False, uncertainty: bool = False, tta: bool = False) -> None:
        """Prepare.

        Args:
            probabilities: Whether there is a file with a probability per class.
            uncertainty: Whether there is a file that says how sure the map is.
            tta: Whether results are means over the symmetries, which have a spread.
        """
        self.has_probabilities = probabilities
        self.has_uncertainty = uncertainty
        self.has_spread = uncertainty and tta

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
            logits: `(K, height, width)`, or K + 1 with the spread.
            valid: `(height, width)`; there is no value elsewhere.

        Raises:
            CheckpointError: The output holds values that are no numbers.
        """

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits into what may be averaged over several results for one place.

        Args:
            logits: `(..., K, height, width)`, or K + 1 with the spread.

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
        """The K channels, and the spread behind them: `(..., 0, height, width)` where there is none."""
        return output[..., : self.outputs, :, :], output[..., self.outputs :, :, :]


class _ChanceProduct(Product):
    """A product with probabilities."""

    def _layers_beside(self, classes: tuple[MapClass, ...]) -> list[Layer]:
        """The layers of all files but the map."""
        return [
            *([probability_layer(classes)] if self.has_probabilities else []),
            *([uncertainty_layer(spread=self.has_spread)] if self.has_uncertainty else []),
        ]

    def _beside(
        self,
        chances: Tensor,
        measure: Callable[[Tensor], Tensor],
        spread: Tensor,
        valid: NDArray[np.bool_],
    ) -> Layers:
        """What all files hold but the map."""
        layers = [quantise(chances, valid)] if self.has_probabilities else []
        if self.has_uncertainty:
            layers.append(quantise(_join(measure(chances), spread), valid))
        return tuple(layers)


class ClassProduct(_ChanceProduct):
    """One class per pixel: the likeliest, or the second from a given probability on."""

    def __init__(
        self,
        classes: tuple[MapClass, ...],
        *,
        threshold: float | None = None,
        probabilities: bool = False,
        uncertainty: bool = False,
        tta: bool = False,
    ) -> None:
        """Prepare.

        Args:
            classes: The K classes.
            threshold: Probability of the second of two classes from which it is mapped; None for the
                likeliest class.
            probabilities: See `Product`, and so are the others.
            uncertainty: Whether to write entropy, margin and spread too.
            tta: Whether there is a spread.
        """
        super().__init__(probabilities=probabilities, uncertainty=uncertainty, tta=tta)
        self.outputs = len(classes)
        self._classes = classes
        self._threshold = threshold

    def layers(self) -> list[Layer]:
        """Classes, and what was asked for beside them."""
        return [class_layer(self._classes), *self._layers_beside(self._classes)]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """Class indices `(h, w)`, and what was asked for beside them."""
        given, spread = self._split(logits)
        best = given.max(dim=0)  # several times faster than argmax on this memory layout
        _require_finite(best.values)
        chosen, chances = best.indices, None
        if self.has_probabilities or self.has_uncertainty or self._threshold is not None:
            chances = given.float().softmax(dim=0)
            if self._threshold is not None:
                chosen = chances[1] >= self._threshold
        classes = np.where(valid, chosen.to(torch.uint8).cpu().numpy(), np.uint8(IGNORE))
        beside = () if chances is None else self._beside(chances, class_uncertainty, spread, valid)
        return classes, *beside

    def scores(self, logits: Tensor) -> Tensor:
        """Probabilities that sum to one."""
        given, spread = self._split(logits)
        return _join(given.float().softmax(dim=-3), spread)

    def logits(self, scores: Tensor) -> Tensor:
        """Their logarithms: softmax gives the probabilities again."""
        chances, spread = self._split(scores)
        return _join(chances.clamp_min(_LEAST_SCORE).log(), spread)

    def spread(self, scores: Tensor, deviation: Tensor) -> Tensor:
        """The deviation of the probability of the class that is mapped, 0 to 0.5."""
        mapped = scores.argmax(dim=-3, keepdim=True)
        if self._threshold is not None:
            mapped = (scores[..., 1:2, :, :] >= self._threshold).long()
        return deviation.gather(-3, mapped)

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


class LabelProduct(_ChanceProduct):
    """Several labels per pixel, each on its own: it holds where its probability is above one half."""

    def __init__(
        self,
        classes: tuple[MapClass, ...],
        *,
        probabilities: bool = False,
        uncertainty: bool = False,
        tta: bool = False,
    ) -> None:
        """Prepare.

        Args:
            classes: The K labels.
            probabilities: Whether to write a probability per label too; they do not sum to one.
            uncertainty: Whether to write entropy, margin and spread too.
            tta: Whether there is a spread.
        """
        super().__init__(probabilities=probabilities, uncertainty=uncertainty, tta=tta)
        self.outputs = len(classes)
        self._classes = classes

    def layers(self) -> list[Layer]:
        """Labels, and what was asked for beside them."""
        return [label_layer(self._classes), *self._layers_beside(self._classes)]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """0 or 1 for each label `(K, h, w)`, and what was asked for beside them."""
        given, spread = self._split(logits)
        _require_finite(given)
        labels = (given > 0).to(torch.uint8).cpu().numpy()
        labels = np.where(valid, labels, np.uint8(IGNORE))  # (K, h, w)
        if not (self.has_probabilities or self.has_uncertainty):
            return (labels,)
        return labels, *self._beside(given.float().sigmoid(), label_uncertainty, spread, valid)

    def scores(self, logits: Tensor) -> Tensor:
        """A probability for each label."""
        given, spread = self._split(logits)
        return _join(given.float().sigmoid(), spread)

    def logits(self, scores: Tensor) -> Tensor:
        """Log odds: sigmoid gives the probabilities again."""
        chances, spread = self._split(scores)
        return _join(chances.logit(eps=_LEAST_SCORE), spread)

    def spread(self, scores: Tensor, deviation: Tensor) -> Tensor:  # noqa: ARG002
        """The deviation of the label whose probability differs most, 0 to 0.5."""
        return deviation.amax(dim=-3, keepdim=True)

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

    def __init__(self, quantity: Quantity, *, tolerance: float, spread: bool = False) -> None:
        """Prepare.

        Args:
            quantity: What the numbers are.
            tolerance: By how much two numbers must differ to count as different.
            spread: Whether numbers are means over the symmetries, and a file has their spread.
        """
        super().__init__(uncertainty=spread, tta=spread)
        self._quantity = quantity
        self.tolerance = tolerance

    def layers(self) -> list[Layer]:
        """The numbers, and their spread where asked for."""
        beside = [spread_layer(self._quantity)] if self.has_spread else []
        return [value_layer(self._quantity), *beside]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """The numbers `(h, w)`, and their spread where asked for."""
        _require_finite(logits)
        return tuple(np.where(valid, band.float().cpu().numpy(), np.float32(np.nan)) for band in logits)

    def scores(self, logits: Tensor) -> Tensor:
        """The numbers themselves."""
        return logits.float()

    def logits(self, scores: Tensor) -> Tensor:
        """The numbers themselves."""
        return scores

    def spread(self, scores: Tensor, deviation: Tensor) -> Tensor:  # noqa: ARG002
        """The deviation of the numbers, in their unit."""
        return deviation

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


def _join(channels: Tensor, spread: Tensor) -> Tensor:
    """The opposite of `Product._split`."""
    return torch.cat([channels, spread.to(channels)], dim=-3) if spread.shape[-3] else channels


def _require_finite(values: Tensor) -> None:
    # NaN is passed on to both ends; in one pass, where a test of each value takes several.
    if not all(map(torch.isfinite, values.aminmax())):
        raise CheckpointError(
            "The network gives values that are no finite numbers. Its training diverged: train again with a "
            "smaller learning rate, or use an earlier checkpoint."
        )
