"""From probabilities back to logits, for results that are averaged as probabilities."""

from torch import Tensor

_LEAST = 1e-7  # a probability of 0 has no logarithm


def class_logits(probabilities: Tensor) -> Tensor:
    """Logarithms of the probabilities of one class of several, of any shape: softmax gives them again."""
    return probabilities.clamp_min(_LEAST).log()


def label_logits(probabilities: Tensor) -> Tensor:
    """Log odds of labels that each hold on their own, of any shape: sigmoid gives the probabilities again."""
    return probabilities.logit(eps=_LEAST)
