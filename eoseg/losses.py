"""Losses for one class per pixel, and weighted sums of them.

What they share:

- The softmax and all sums are in float32, whatever the precision of the network.
- A pixel whose mask is `IGNORE` takes no part: its gradient is exactly zero, even where its logits are
  not finite. A batch without any labelled pixel gives 0 with zero gradients.
- The losses over regions (dice, jaccard, tversky, lovasz) see the whole batch as one image and are the
  mean over the classes that occur in its labels ("present" in Berman et al. 2018). A class that does not
  occur has no term of its own; what is wrongly given to it is missing in the classes that do.
- Class weights: in cross_entropy, focal and perceptron they weigh pixels by their class (the sum is divided
  by the sum of the weights, as torch does); in the losses over regions they weigh the mean over the classes.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError, DataError, unknown_name

_TINY = 1e-12
"""Smallest divisor: larger than 0 in float32, too small to change a figure."""


def cross_entropy(
    logits: Tensor, target: Tensor, known: Tensor, weights: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean negative log-likelihood, weighted by class.

    Args:
        label_smoothing: Share of each label that is spread evenly over all classes, 0 to below 1
            (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567). A share of the label goes to a class
            with that class's weight, as in torch.
    """
    log_p = functional.log_softmax(logits, dim=0)  # (K, N)
    pixels = _pixel_weights(target, known, weights)
    # Not torch's own cross-entropy: over images it has no deterministic version on a GPU.
    total = -(1 - label_smoothing) * (pixels * log_p.gather(0, target[None])[0]).sum()
    if label_smoothing:
        spread = (weights[:, None] * log_p).mean(dim=0) * known  # (N,)
        total = total - label_smoothing * spread.sum()
    return total / pixels.sum().clamp(min=_TINY)


def focal(logits: Tensor, target: Tensor, known: Tensor, weights: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Cross-entropy in which a pixel counts by (1 - p)^gamma, p the probability of its class.

    Args:
        gamma: 0 or more; 0 is cross-entropy. Lin et al. 2017, https://arxiv.org/abs/1708.02002. Their
            alpha is what class weights are here.
    """
    log_p = functional.log_softmax(logits, dim=0).gather(0, target[None])[0]  # (N,)
    # Where p is 1 the slope of a power below 1 is infinite and would turn 0 * inf into NaN.
    missed = (-torch.expm1(log_p)).clamp(min=_TINY)
    pixels = _pixel_weights(target, known, weights)
    return -(pixels * missed**gamma * log_p).sum() / pixels.sum().clamp(min=_TINY)


def tversky(
    logits: Tensor,
    target: Tensor,
    known: Tensor,
    weights: Tensor,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
) -> Tensor:
    """1 - TP / (TP + alpha FP + beta FN) with probabilities for counts.

    Args:
        alpha: Cost of a false positive, 0 or more.
        beta: Cost of a false negative, 0 or more. 0.5 and 0.5 is dice, 1 and 1 is jaccard.
            Salehi et al. 2017, https://arxiv.org/abs/1706.05721.
    """
    probability = functional.softmax(logits, dim=0) * known  # (K, N)
    truth = _one_hot(target, known, logits.shape[0])  # (K, N)
    size = truth.sum(dim=1)  # (K,)
    hit = (probability * truth).sum(dim=1)
    false_positive = probability.sum(dim=1) - hit
    false_negative = size - hit
    index = hit / (hit + alpha * false_positive + beta * false_negative).clamp(min=_TINY)
    return _mean_of_present(1 - index, size, weights)


def dice(logits: Tensor, target: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """1 - 2 TP / (2 TP + FP + FN) with probabilities for counts (Milletari et al. 2016, without squares).

    https://arxiv.org/abs/1606.04797
    """
    return tversky(logits, target, known, weights, alpha=0.5, beta=0.5)


def jaccard(logits: Tensor, target: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """1 - TP / (TP + FP + FN) with probabilities for counts (Rahman and Wang 2016).

    https://doi.org/10.1007/978-3-319-50835-1_22
    """
    return tversky(logits, target, known, weights, alpha=1.0, beta=1.0)


def lovasz(logits: Tensor, target: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """Lovasz-softmax, the convex closure of the Jaccard loss (Berman et al. 2018).

    https://arxiv.org/abs/1705.08790, algorithm 1. The gradient of the Jaccard index after sorting by
    error is written out: with U the union so far, a pixel of the class adds 1 / U, another one adds
    I / (U (U - 1)), where I is what remains of the intersection. Differences of two shares near 1, as
    in the paper's code, lose all digits in float32 on large batches.
    """
    probability = functional.softmax(logits, dim=0)  # (K, N)
    truth = _one_hot(target, known, logits.shape[0])  # (K, N)
    # Ignored pixels have error 0: they sort behind and add nothing.
    errors = torch.where(truth, 1 - probability, probability) * known
    errors, order = errors.sort(dim=1, descending=True, stable=True)
    inside = truth.gather(1, order)
    found = inside.cumsum(dim=1)  # (K, N), int64: exact for any size
    size = found[:, -1:]  # (K, 1)
    place = torch.arange(1, inside.shape[1] + 1, device=inside.device)  # (N,)
    union = (size + place - found).float()
    of_others = (size - found) / (union * (union - 1)).clamp(min=1)
    steps = torch.where(inside, 1 / union.clamp(min=1), of_others)
    return _mean_of_present((errors * steps).sum(dim=1), size[:, 0], weights)


def perceptron(logits: Tensor, target: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """max(0, highest logit of another class - logit of the pixel's class), averaged like cross-entropy.

    The criterion of Rosenblatt 1958 (https://doi.org/10.1037/h0042519) for several classes, which is the
    hinge loss of Crammer and Singer 2001 without its margin
    (https://jmlr.org/papers/v2/crammer01a.html). What is right costs nothing, however narrowly.
    """
    own = logits.gather(0, target[None])[0]  # (N,)
    rivals = logits.scatter(0, target[None], -math.inf).max(dim=0).values
    gap = rivals - own
    # A tie is an error, as with Rosenblatt, and has a slope: weights that start at 0 would never change.
    missed = torch.where(gap >= 0, gap, 0.0)
    pixels = _pixel_weights(target, known, weights)
    return (pixels * missed).sum() / pixels.sum().clamp(min=_TINY)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "jaccard": jaccard,
    "lovasz": lovasz,
    "perceptron": perceptron,
    "tversky": tversky,
}
"""Each takes logits `(K, N)` in float32, targets `(N,)` in 0..K-1, `known` bool `(N,)` and class weights
`(K,)`, then its options as keyword-only arguments."""

_LIMITS: dict[str, tuple[float, float]] = {
    "label_smoothing": (0.0, 1.0),
    "gamma": (0.0, math.inf),
    "alpha": (0.0, math.inf),
    "beta": (0.0, math.inf),
}
"""Each option is at least the first and below the second."""


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One term of a loss.

    Args:
        name: cross_entropy, focal, dice, jaccard, lovasz, perceptron or tversky.
        weight: Factor of this term in the sum, above 0.
        args: Options of the loss: label_smoothing (cross_entropy), gamma (focal), alpha and beta (tversky).

    Raises:
        ConfigError: A name is unknown or a value outside its limits.
    """

    name: str
    weight: float = 1.0
    args: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ConfigError(unknown_name("loss", self.name, LOSSES))
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ConfigError(f"The weight of loss '{self.name}' is a number above 0, found {self.weight}.")
        parameters = inspect.signature(LOSSES[self.name]).parameters.values()
        known = [entry.name for entry in parameters if entry.kind is entry.KEYWORD_ONLY]
        for option, value in self.args.items():
            if option not in known:
                if not known:
                    raise ConfigError(f"The loss '{self.name}' has no options, found '{option}'. Remove it.")
                raise ConfigError(unknown_name(f"option of loss '{self.name}'", option, known))
            low, high = _LIMITS[option]
            if not low <= value < high:
                limits = f"{low:g} or more" if math.isinf(high) else f"from {low:g} to below {high:g}"
                raise ConfigError(f"{option} of loss '{self.name}' is {limits}, found {value}.")
        if self.name == "tversky" and self.args.get("alpha", 0.5) + self.args.get("beta", 0.5) == 0:
            raise ConfigError("alpha and beta of loss 'tversky' are both 0; set at least one above 0.")


class Loss(nn.Module):
    """A weighted sum of losses over the labelled pixels of a batch."""

    class_weights: Tensor

    def __init__(self, terms: Sequence[LossTerm], class_weights: Sequence[float]) -> None:
        """Make a loss; `build_loss` checks what it is given.

        Args:
            terms: What is summed.
            class_weights: One for each class.
        """
        super().__init__()
        self.terms = tuple(terms)
        # Not part of a checkpoint: a network is loaded without knowing how it was trained.
        self.register_buffer("class_weights", torch.tensor(class_weights), persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            logits: `(B, K, H, W)`, any floating type.
            mask: Int64 `(B, H, W)`: a class in 0..K-1, or `IGNORE`.

        Returns:
            A float32 scalar.

        Raises:
            DataError: The mask holds a value that is no class, or has another shape.
        """
        num_classes = self.class_weights.numel()
        if logits.shape != (mask.shape[0], num_classes, *mask.shape[1:]):
            raise DataError(
                f"Logits (B, {num_classes}, H, W) and mask (B, H, W) must belong together, found "
                f"{tuple(logits.shape)} and {tuple(mask.shape)}."
            )
        target = mask.reshape(-1)  # (N,), N = B * H * W
        known = target != IGNORE
        wrong = known & ((target < 0) | (target >= num_classes))
        if wrong.any():
            raise DataError(
                f"The mask holds the value {int(target[wrong][0])}, which is no class: expected 0 to "
                f"{num_classes - 1}, or {IGNORE} for no label."
            )
        flat = logits.movedim(1, 0).reshape(num_classes, -1).float()  # (K, N)
        # Replaced before anything is computed, so that not even NaN reaches the gradient.
        flat = flat.masked_fill(~known, 0.0)
        target = target.masked_fill(~known, 0)
        total = flat.new_zeros(())
        for term in self.terms:
            value = LOSSES[term.name](flat, target, known, self.class_weights.float(), **term.args)
            total = total + term.weight * value
        return total


def build_loss(
    terms: str | Sequence[LossTerm], *, num_classes: int, class_weights: Sequence[float] | None = None
) -> Loss:
    """Make a loss.

    Args:
        terms: The name of one loss, or the terms of a sum.
        num_classes: K, at least 2.
        class_weights: One finite number of at least 0 for each class, not all 0; None for equal weights.
            Their meaning is in the module's text; every loss honours them.

    Raises:
        ConfigError: A name is unknown, or a value is outside its limits.
    """
    chosen = [LossTerm(terms)] if isinstance(terms, str) else list(terms)
    if not chosen:
        raise ConfigError(f"A loss needs at least one term, found none. Known: {', '.join(sorted(LOSSES))}.")
    if num_classes < 2:
        raise ConfigError(
            f"Losses need at least two classes, found {num_classes}. Name what is left as a class of its "
            "own, such as 'background'."
        )
    weights = [1.0] * num_classes if class_weights is None else [float(value) for value in class_weights]
    if len(weights) != num_classes:
        raise ConfigError(
            f"class_weights has {len(weights)} values for {num_classes} classes; give one for each."
        )
    if not all(math.isfinite(value) and value >= 0 for value in weights) or not any(weights):
        raise ConfigError(f"class_weights are finite numbers of at least 0, not all 0; found {weights}.")
    return Loss(chosen, weights)


def _pixel_weights(target: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """The weight of each pixel's class, 0 where it is ignored, `(N,)`."""
    return weights[target] * known


def _one_hot(target: Tensor, known: Tensor, num_classes: int) -> Tensor:
    """Bool `(K, N)`: True where a pixel has that class, all False where it is ignored."""
    classes = torch.arange(num_classes, device=target.device)
    return (target == classes[:, None]) & known


def _mean_of_present(values: Tensor, sizes: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the classes that have pixels, 0 where none has."""
    present = weights * (sizes > 0)
    return (values * present).sum() / present.sum().clamp(min=_TINY)
