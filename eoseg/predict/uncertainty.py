"""How sure probabilities are, as numbers from 0 to 1.

Entropy counts all classes and margin the best two: where three classes are alike, both say so; where two of
ten are, the margin is 0 and the entropy moderate.
"""

import math

import torch
from torch import Tensor

type Measures = Tensor
"""`(2, height, width)`: entropy, then margin."""


def class_uncertainty(chances: Tensor) -> Measures:
    """Entropy and margin of one class of several.

    The entropy is divided by the logarithm of the number of classes, the largest that it can be: 0 where one
    class is certain, 1 where all are alike (Shannon 1948,
    https://doi.org/10.1002/j.1538-7305.1948.tb01338.x). The margin is the difference of the two largest
    probabilities: 1 where one class is certain, 0 where two are alike (Settles 2009,
    http://digital.library.wisc.edu/1793/60660, section 3.1).

    Args:
        chances: `(K, height, width)`, which sum to one.
    """
    best = chances.max(dim=0, keepdim=True)
    if len(chances) == 1:
        return torch.cat([torch.zeros_like(chances), torch.ones_like(chances)])
    entropy = torch.special.entr(chances).sum(dim=0) / math.log(len(chances))
    second = chances.scatter(0, best.indices, -1.0).amax(dim=0)  # faster than topk on this memory layout
    return torch.stack([entropy.clamp(0, 1), best.values[0] - second])


def label_uncertainty(chances: Tensor) -> Measures:
    """Entropy and margin of several labels, each on its own.

    The entropy is the mean of the labels' own in bits: that of all labels together, if they are independent,
    as a share of the largest. The margin is that of the label which is least decided, `|2p - 1|`: were it
    the other way, the set of labels would be the second likeliest.

    Args:
        chances: `(K, height, width)`.
    """
    bits = (torch.special.entr(chances) + torch.special.entr(1 - chances)) / math.log(2)
    return torch.stack([bits.mean(dim=0).clamp(0, 1), (2 * chances - 1).abs().amin(dim=0)])
