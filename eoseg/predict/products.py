"""What a prediction writes: classes, labels or a quantity, with one small class for each.

A product turns the network's output for the core of a tile into layers, one array for each file. The
engine knows none of this.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.errors import CheckpointError
from eoseg.geo.layer import Counts, Layer
from eoseg.geo.mapfile import class_layer, label_layer
from eoseg.geo.uncertaintyfile import Extra, value_uncertainty_layer
from eoseg.geo.valuefile import value_layer
from eoseg.models.chances import class_logits, label_logits
from eoseg.predict.options import ValueRange
from eoseg.predict.product import ChanceProduct, Layers, Product, Summary, join
from eoseg.predict.uncertainty import class_entropy, class_uncertainty, label_entropy, label_uncertainty
from eoseg.recipe import IGNORE, MapClass, Quantity


class ClassProduct(ChanceProduct):
    """One class per pixel: the likeliest, or the second from a given probability on."""

    def __init__(
        self,
        classes: tuple[MapClass, ...],
        *,
        threshold: float | None = None,
        probabilities: bool = False,
        uncertainty: bool = False,
        extras: tuple[Extra, ...] = (),
    ) -> None:
        """Prepare.

        Args:
            classes: The K classes.
            threshold: Probability of the second of two classes from which it is mapped; None for the
                likeliest class.
            probabilities: See `Product`, and so are the others.
            uncertainty: Whether to write entropy and margin too.
            extras: See `Product`.
        """
        super().__init__(probabilities=probabilities, uncertainty=uncertainty, extras=extras)
        self.outputs = len(classes)
        self._classes = classes
        self._threshold = threshold

    def layers(self) -> list[Layer]:
        """Classes, and what was asked for beside them."""
        return [class_layer(self._classes), *self._layers_beside(self._classes)]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """Class indices `(h, w)`, and what was asked for beside them."""
        given, extras = self._split(logits)
        best = given.max(dim=0)  # several times faster than argmax on this memory layout
        _require_finite(best.values)
        chosen, chances = best.indices, None
        if self.has_probabilities or self.has_uncertainty or self._threshold is not None:
            chances = given.float().softmax(dim=0)
            if self._threshold is not None:
                chosen = chances[1] >= self._threshold
        classes = np.where(valid, chosen.to(torch.uint8).cpu().numpy(), np.uint8(IGNORE))
        beside = () if chances is None else self._beside(chances, class_uncertainty, extras, valid)
        return classes, *beside

    def scores(self, logits: Tensor) -> Tensor:
        """Probabilities that sum to one."""
        given, extras = self._split(logits)
        return join(given.float().softmax(dim=-3), extras)

    def logits(self, scores: Tensor) -> Tensor:
        """Their logarithms: softmax gives the probabilities again."""
        chances, extras = self._split(scores)
        return join(class_logits(chances), extras)

    def spread(self, scores: Tensor, deviation: Tensor) -> Tensor:
        """The deviation of the probability of the class that is mapped, 0 to 0.5."""
        mapped = scores.argmax(dim=-3, keepdim=True)
        if self._threshold is not None:
            mapped = (scores[..., 1:2, :, :] >= self._threshold).long()
        return deviation.gather(-3, mapped)

    def entropy(self, scores: Tensor) -> Tensor:
        """That of one class of several."""
        return class_entropy(scores)

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


class LabelProduct(ChanceProduct):
    """Several labels per pixel, each on its own: it holds where its probability is above one half."""

    def __init__(
        self,
        classes: tuple[MapClass, ...],
        *,
        probabilities: bool = False,
        uncertainty: bool = False,
        extras: tuple[Extra, ...] = (),
    ) -> None:
        """Prepare.

        Args:
            classes: The K labels.
            probabilities: Whether to write a probability per label too; they do not sum to one.
            uncertainty: Whether to write entropy and margin too.
            extras: See `Product`.
        """
        super().__init__(probabilities=probabilities, uncertainty=uncertainty, extras=extras)
        self.outputs = len(classes)
        self._classes = classes

    def layers(self) -> list[Layer]:
        """Labels, and what was asked for beside them."""
        return [label_layer(self._classes), *self._layers_beside(self._classes)]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """0 or 1 for each label `(K, h, w)`, and what was asked for beside them."""
        given, extras = self._split(logits)
        _require_finite(given)
        labels = (given > 0).to(torch.uint8).cpu().numpy()
        labels = np.where(valid, labels, np.uint8(IGNORE))  # (K, h, w)
        if not (self.has_probabilities or self.has_uncertainty):
            return (labels,)
        return labels, *self._beside(given.float().sigmoid(), label_uncertainty, extras, valid)

    def scores(self, logits: Tensor) -> Tensor:
        """A probability for each label."""
        given, extras = self._split(logits)
        return join(given.float().sigmoid(), extras)

    def logits(self, scores: Tensor) -> Tensor:
        """Log odds: sigmoid gives the probabilities again."""
        chances, extras = self._split(scores)
        return join(label_logits(chances), extras)

    def spread(self, scores: Tensor, deviation: Tensor) -> Tensor:  # noqa: ARG002
        """The deviation of the label whose probability differs most, 0 to 0.5."""
        return deviation.amax(dim=-3, keepdim=True)

    def entropy(self, scores: Tensor) -> Tensor:
        """The mean of the labels' own."""
        return label_entropy(scores)

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

    def __init__(self, quantity: Quantity, *, tolerance: float, extras: tuple[Extra, ...] = ()) -> None:
        """Prepare.

        Args:
            quantity: What the numbers are.
            tolerance: By how much two numbers must differ to count as different.
            extras: What a file beside the map says of them; none without such a file.
        """
        super().__init__(uncertainty=bool(extras), extras=extras)
        self._quantity = quantity
        self.tolerance = tolerance

    def layers(self) -> list[Layer]:
        """The numbers, and what was asked for beside them."""
        beside = [value_uncertainty_layer(self._quantity, self.extras)] if self.extras else []
        return [value_layer(self._quantity), *beside]

    def decode(self, logits: Tensor, valid: NDArray[np.bool_]) -> Layers:
        """The numbers `(h, w)`, and what was asked for beside them."""
        _require_finite(logits)
        values = np.where(valid, logits.float().cpu().numpy(), np.float32(np.nan))  # (1 + extras, h, w)
        return (values[0], values[1:]) if self.extras else (values[0],)

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


def _require_finite(values: Tensor) -> None:
    # NaN is passed on to both ends; in one pass, where a test of each value takes several.
    if not all(map(torch.isfinite, values.aminmax())):
        raise CheckpointError(
            "The network gives values that are no finite numbers. Its training diverged: train again with a "
            "smaller learning rate, or use an earlier checkpoint."
        )
