"""How sure probabilities are, as numbers from 0 to 1.

Entropy counts all classes and margin the best two: where three classes are alike, both say so; where two of
ten are, the margin is 0 and the entropy moderate.
"""

import math

import torch
from torch import Tensor

type Measures = Tensor
"""`(2, height, width)`: entropy, then margin."""


def class_entropy(chances: Tensor) -> Tensor:
    """Entropy of one class of several, over the logarithm of their number, the largest that it can be.

    0 where one class is certain, 1 where all are alike (Shannon 1948,
    https://doi.org/10.1002/j.1538-7305.1948.tb01338.x).

    Args:
        chances: `(..., K, height, width)`, which sum to one.

    Returns:
        `(..., 1, height, width)`.
    """
    if chances.shape[-3] == 1:
        return torch.zeros_like(chances)
    entropy: Tensor = torch.special.entr(chances).sum(dim=-3, keepdim=True) / math.log(chances.shape[-3])
    return entropy.clamp(0, 1)


def label_entropy(chances: Tensor) -> Tensor:
    """Entropy of several labels: the mean of the labels' own in bits.

    That is the entropy of all labels together, if they are independent, as a share of the largest.

    Args:
        chances: `(..., K, height, width)`.

    Returns:
        `(..., 1, height, width)`.
    """
    bits: Tensor = (torch.special.entr(chances) + torch.special.entr(1 - chances)) / math.log(2)
    return bits.mean(dim=-3, keepdim=True).clamp(0, 1)


def class_uncertainty(chances: Tensor) -> Measures:
    """Entropy and margin of one class of several.

    The margin is the difference of the two largest probabilities: 1 where one class is certain, 0 where two
    are alike (Settles 2009, http://digital.library.wisc.edu/1793/60660, section 3.1).

    Args:
        chances: `(K, height, width)`, which sum to one.
    """
    best = chances.max(dim=0, keepdim=True)
    if len(chances) == 1:
        return torch.cat([class_entropy(chances), torch.ones_like(chances)])
    second = chances.scatter(0, best.indices, -1.0).amax(dim=0)  # faster than topk on this memory layout
    return torch.stack([class_entropy(chances)[0], best.values[0] - second])


def label_uncertainty(chances: Tensor) -> Measures:
    """Entropy and margin of several labels, each on its own.

    The margin is that of the label which is least decided, `|2p - 1|`: were it the other way, the set of
    labels would be the second likeliest.

    Args:
        chances: `(K, height, width)`.
    """
    return torch.stack([label_entropy(chances)[0], (2 * chances - 1).abs().amin(dim=0)])


def mutual_information(of_mean: Tensor, mean: Tensor) -> Tensor:
    """What a pixel's class would tell about which of several networks is right.

    Entropy of the networks' mean, less the mean of their own entropies: 0 where all say the same, however
    unsure they are (the image does not show more), and large where each is sure of another class (networks of
    other data would know). Houlsby et al. 2011, https://arxiv.org/abs/1112.5745; Depeweg et al. 2018,
    https://arxiv.org/abs/1710.07283.

    Args:
        of_mean: Entropy of the mean of their probabilities.
        mean: Mean of the entropies of each, of the same shape.
    """
    return (of_mean - mean).clamp(0, 1)
