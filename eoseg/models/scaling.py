"""Calibrated probabilities: the last layer of a network that was calibrated, and how it is found.

Guo et al. 2017, "On Calibration of Modern Neural Networks", https://proceedings.mlr.press/v70/guo17a.html:
temperature scaling divides all logits by one number, which leaves the likeliest class as it is; vector
scaling multiplies and shifts those of each class.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from eoseg.errors import CheckpointError, DataError
from eoseg.recipe import Scaling, ScalingMethod

LEAST_LABELS = 100
"""Labelled pixels or chips that a calibration needs; vector scaling needs as many of each class."""

_RANGE = (0.02, 50.0)
"""Temperatures beyond which the labels do not say how large it is."""

_STEPS = 100


class ScaleLogits(nn.Module):
    """Logits `(B, K, ...)` times one number per class, plus another. The recipe has them, no state dict."""

    scale: Tensor
    bias: Tensor

    def __init__(self, scaling: Scaling) -> None:
        """Take the numbers of a recipe."""
        super().__init__()
        self.register_buffer("scale", torch.tensor(scaling.scale, dtype=torch.float32), persistent=False)
        self.register_buffer("bias", torch.tensor(scaling.bias, dtype=torch.float32), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Scale logits, in float32."""
        shape = (1, -1, *([1] * (logits.ndim - 2)))
        return logits.float() * self.scale.view(shape) + self.bias.view(shape)


def require_scaling(scaling: Scaling, num_classes: int) -> None:
    """Refuse a scaling for another number of classes.

    Raises:
        CheckpointError: With both numbers.
    """
    if not len(scaling.scale) == len(scaling.bias) == num_classes:
        raise CheckpointError(
            f"The recipe's calibration is for {len(scaling.scale)} classes, the network has {num_classes}. "
            "Calibrate again with 'eoseg calibrate'."
        )


def fit_scaling(logits: Tensor, classes: Tensor, *, method: ScalingMethod, names: Sequence[str]) -> Scaling:
    """Find the scaling with the highest likelihood of the labels.

    Args:
        logits: `(N, K)`, of pixels or chips that were not trained on.
        classes: Int64 `(N,)`.
        method: "temperature" or "vector".
        names: The K classes.

    Raises:
        DataError: There are too few labels, or they do not determine the scaling.
    """
    _require_enough(classes, method, names)
    exact = logits.double()
    one = torch.zeros(1, dtype=torch.float64)
    _descend(lambda: functional.cross_entropy(exact * one.exp(), classes), [one])
    temperature = float((-one).exp())
    if not _RANGE[0] < temperature < _RANGE[1]:
        raise DataError(
            f"The {len(classes):,} labels of the validation split do not determine a temperature (found "
            f"{temperature:.3g}): the network makes next to no error on them, or is no better than chance. "
            "Validate on more or other places, or leave the probabilities as they are."
        )
    if method == "temperature":
        return Scaling("temperature", (1 / temperature,) * len(names), (0.0,) * len(names))
    scale = torch.full((len(names),), 1 / temperature, dtype=torch.float64)
    bias = torch.zeros(len(names), dtype=torch.float64)
    _descend(lambda: functional.cross_entropy(exact * scale + bias, classes), [scale, bias])
    if not (torch.isfinite(scale).all() and torch.isfinite(bias).all() and (scale > 0).all()):
        raise DataError(
            "The labels of the validation split do not determine a scale for each class. Use --method "
            "temperature, or validate on more places."
        )
    bias = bias - bias.mean()  # one number added to all classes changes nothing
    return Scaling("vector", tuple(scale.tolist()), tuple(bias.tolist()))


def _require_enough(classes: Tensor, method: ScalingMethod, names: Sequence[str]) -> None:
    if len(classes) < LEAST_LABELS:
        raise DataError(
            f"The validation split is too small to calibrate: it holds {len(classes)} labelled pixels or "
            f"chips, {LEAST_LABELS} are needed. Give it a larger share."
        )
    counts = torch.bincount(classes, minlength=len(names)).tolist()
    least = min(range(len(names)), key=counts.__getitem__)
    if method == "vector" and counts[least] < LEAST_LABELS:
        raise DataError(
            f"The validation split is too small for vector scaling: {counts[least]} labelled pixels or chips "
            f"of its sample are '{names[least]}', {LEAST_LABELS} of each class are needed. Use --method "
            "temperature, or give it a larger share."
        )


@torch.inference_mode(False)
def _descend(loss: Callable[[], Tensor], values: list[Tensor]) -> None:
    """Minimise a convex loss; with a line search, so that no rate has to be chosen."""
    for value in values:
        value.requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        values, max_iter=_STEPS, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        result = loss()
        result.backward()  # type: ignore[no-untyped-call]
        return result

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    for value in values:
        value.requires_grad_(False)
