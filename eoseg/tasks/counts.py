"""What an epoch adds up, exact for any number of processes. None of it is part of a checkpoint."""

from abc import ABC, abstractmethod
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eoseg.batch import IGNORE
from eoseg.selective import STEPS, SelectiveCurve

BINS = STEPS
"""Steps of a probability between 0 and 1 in which `ProbabilityCounts` counts."""


class Sums(nn.Module, ABC):
    """Sums on the task's device that start at 0 in each epoch and are added over processes at its end."""

    def reset(self) -> None:
        """Start afresh."""
        for buffer in self.buffers():
            buffer.zero_()

    def sum_over_processes(self) -> None:
        """Add up what all processes have; call it once, at the end of an epoch."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for buffer in self.buffers():
                torch.distributed.all_reduce(buffer)

    @abstractmethod
    def update(self, output: Tensor, target: Tensor) -> None:
        """Count one batch."""


class ClassCounts(Sums):
    """An int64 confusion matrix `(K, K)`, rows reference, columns map."""

    matrix: Tensor

    def __init__(self, num_classes: int) -> None:
        """Start at 0 for K classes."""
        super().__init__()
        self.num_classes = num_classes
        shape = (num_classes, num_classes)
        self.register_buffer("matrix", torch.zeros(shape, dtype=torch.int64), persistent=False)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count pairs.

        Args:
            output: Int64 classes.
            target: Int64 classes of the same shape, or `IGNORE`.
        """
        known = target != IGNORE
        pairs = target[known] * self.num_classes + output[known]
        counts = torch.bincount(pairs, minlength=self.num_classes**2)
        self.matrix += counts.view(self.num_classes, self.num_classes)


class ProbabilityCounts(Sums):
    """How often the second of two classes got which probability: int64 `(2, BINS)`, rows reference.

    From it follows the confusion matrix of any threshold, so that one can be chosen once an epoch is over.
    """

    histogram: Tensor

    def __init__(self) -> None:
        """Start at 0."""
        super().__init__()
        self.register_buffer("histogram", torch.zeros((2, BINS), dtype=torch.int64), persistent=False)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count probabilities.

        Args:
            output: Probability of the second class, 0 to 1.
            target: Int64 0 or 1 of the same shape, or `IGNORE`.
        """
        known = target != IGNORE
        places = (output[known].float() * BINS).long().clamp_(0, BINS - 1)
        counts = torch.bincount(target[known] * BINS + places, minlength=2 * BINS)
        self.histogram += counts.view(2, BINS)

    def matrix_at(self, threshold: float) -> NDArray[np.int64]:
        """The confusion matrix `(2, 2)` where the second class is mapped from `threshold` on.

        Args:
            threshold: A probability, taken to the nearest step of 1 / `BINS`.
        """
        counts = cast(NDArray[np.int64], self.histogram.cpu().numpy())
        place = round(threshold * BINS)
        below, above = counts[:, :place].sum(axis=1), counts[:, place:].sum(axis=1)
        return np.stack([below, above], axis=1)

    def curve_at(self, threshold: float) -> SelectiveCurve:
        """How accurate the map of a threshold is where it is surest, by the probability of what is mapped.

        Args:
            threshold: As in `matrix_at`.
        """
        counts = cast(NDArray[np.int64], self.histogram.cpu().numpy())
        place = round(threshold * BINS)
        count, right = np.zeros((2, BINS), np.int64)
        count[place:], right[place:] = counts.sum(axis=0)[place:], counts[1, place:]
        # The first class has one minus the probability of the second: the steps in reverse.
        count[BINS - place :] += counts.sum(axis=0)[:place][::-1]
        right[BINS - place :] += counts[0, :place][::-1]
        return SelectiveCurve(count, right)

    def best_threshold(self) -> float:
        """The threshold with the highest F1 of the second class; the middle one where several share it.

        Without any pixel of the second class there is nothing to choose by: 0.5.
        """
        counts = self.histogram.cpu().numpy()
        found = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # pixels at or above each step, (2, BINS)
        false, true = found
        total = counts[1].sum()
        if total == 0:
            return 0.5
        f1 = 2 * true / (true + false + total)
        best = np.flatnonzero(np.isclose(f1, f1.max(), rtol=0, atol=1e-12))
        place = int(best[len(best) // 2])
        return max(place, 1) / BINS  # never 0, which would map the second class everywhere


class LabelCounts(Sums):
    """For labels of which a chip may have several: int64 `(K, 2, 2)`, reference then map, 1 for present."""

    tables: Tensor

    def __init__(self, num_classes: int) -> None:
        """Start at 0 for K labels."""
        super().__init__()
        shape = (num_classes, 2, 2)
        self.register_buffer("tables", torch.zeros(shape, dtype=torch.int64), persistent=False)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count labels.

        Args:
            output: Int64 0 or 1, `(B, K)`.
            target: The same for the reference.
        """
        for reference in (0, 1):
            for mapped in (0, 1):
                self.tables[:, reference, mapped] += ((target == reference) & (output == mapped)).sum(dim=0)


class LossMean:
    """The mean of a loss over all samples of an epoch, alike for any number of processes.

    Batches are weighted by their samples and added up in float64.
    """

    def __init__(self) -> None:
        """Start at nothing."""
        self._losses: list[Tensor] = []
        self._samples: list[int] = []

    def reset(self) -> None:
        """Start afresh."""
        self._losses, self._samples = [], []

    def update(self, loss: Tensor, samples: int) -> None:
        """Add the mean loss of a batch; nothing is moved off the device yet."""
        self._losses.append(loss.detach())
        self._samples.append(samples)

    def over_processes(self, device: torch.device) -> float | None:
        """The mean over all processes, or None without a sample; call it once on each, at the end.

        Args:
            device: Where the processes exchange what they have.
        """
        count = torch.tensor(self._samples, dtype=torch.float64)
        losses = torch.stack(self._losses).double().cpu() if self._losses else count
        total = torch.stack([(losses * count).sum(), count.sum()])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            total = total.to(device)
            torch.distributed.all_reduce(total)
        weighted, samples = total.tolist()
        return weighted / samples if samples else None


class ValueSums(Sums):
    """Float64 sums over pixels with a value, from which all errors of a regression follow.

    Deviations are taken from a fixed value near the mean, so that large means cost no digits.
    """

    sums: Tensor

    def __init__(self) -> None:
        """Start at 0."""
        super().__init__()
        self.center = 0.0
        self.register_buffer("sums", torch.zeros(6, dtype=torch.float64), persistent=False)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add pixels.

        Args:
            output: Estimated values.
            target: Reference values of the same shape, NaN for none.
        """
        known = ~target.isnan()
        reference = target[known].double() - self.center
        error = output[known].double() - self.center - reference
        ones = torch.ones_like(error)
        parts = (ones, error, error.abs(), error**2, reference, reference**2)
        self.sums += torch.stack([part.sum() for part in parts])
