"""Test-time augmentation: the mean of what a network gives for a chip that is turned and mirrored."""

from collections.abc import Callable

from torch import Tensor

from eoseg.models import Kind
from eoseg.models.chances import class_logits, label_logits
from eoseg.models.symmetries import SYMMETRIES, Symmetry
from eoseg.recipe import Schema


def symmetric_logits(
    run: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    image: Tensor,
    valid: Tensor,
    days: Tensor | None,
    *,
    kind: Kind,
    schema: Schema,
) -> Tensor:
    """What `eoseg predict --tta` maps: the mean over the eight symmetries of the square.

    Probabilities are averaged, and of a quantity its values; one pass after the other, in hardly more memory
    than one.

    Args:
        run: Gives logits `(B, K, H, W)`, or `(B, K)` of chips.
        image: Raw values `(B, C, H, W)`, or `(B, T, C, H, W)`.
        valid: Bool `(B, H, W)`, or `(B, T, H, W)`.
        days: Day of the year of each date `(B, T)`; of series only.
        kind: What the network gives a result for.
        schema: What the result means.

    Returns:
        Logits of the mean, of the shape that `run` gives: softmax, or of several labels sigmoid, gives its
        probabilities.
    """
    total: Tensor | None = None
    for each in SYMMETRIES:
        scores = _back(_scores(run(each.apply(image), each.apply(valid), days), schema), each, kind)
        total = scores if total is None else total + scores
    assert total is not None  # there are eight
    return _logits(total / len(SYMMETRIES), schema)


def _back(scores: Tensor, symmetry: Symmetry, kind: Kind) -> Tensor:
    """Bring a result back in place; that of a whole chip has none."""
    return scores if kind == "classification" else symmetry.undo(scores)


def _scores(logits: Tensor, schema: Schema) -> Tensor:
    """What is averaged."""
    if not schema.classes:
        return logits.float()
    return logits.float().sigmoid() if schema.multilabel else logits.float().softmax(dim=1)


def _logits(scores: Tensor, schema: Schema) -> Tensor:
    """The opposite of `_scores`."""
    if not schema.classes:
        return scores
    return label_logits(scores) if schema.multilabel else class_logits(scores)
