"""What is added up to judge and to correct probabilities, in bounded memory, over all processes."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.batch import IGNORE
from eoseg.calibration import BINS, Bins, Reliability
from eoseg.selective import STEPS, SelectiveCurve
from eoseg.tasks.counts import Sums

SAMPLE = 100_000
"""Pixels or chips from which a calibration is fitted at most."""

_LEAST = 1e-12  # as in `eoseg.calibration`
_EMPTY = torch.iinfo(torch.int64).max


class ConfidenceSums(Sums):
    """How sure answers are and how many of them are right, cheap enough for each validation of a training.

    In bins of the likeliest class (see `eoseg.calibration`), and in whole numbers by the class that is
    mapped, which a threshold may make another one (see `eoseg.selective`).
    """

    likeliest: Tensor
    likeliest_confidence: Tensor
    mapped: Tensor

    def __init__(self) -> None:
        """Start at 0."""
        super().__init__()
        whole = torch.int64
        self.register_buffer("likeliest", torch.zeros((2, BINS), dtype=whole), persistent=False)
        self.register_buffer("likeliest_confidence", torch.zeros(BINS, dtype=torch.float64), persistent=False)
        self.register_buffer("mapped", torch.zeros((2, STEPS), dtype=whole), persistent=False)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count answers that are the likeliest class.

        Args:
            output: Their probabilities, float32 `(N,)`.
            target: Whether they are right, bool `(N,)`.
        """
        self.add_likeliest(output, target)
        self.add_mapped(output, target)

    def add_likeliest(self, confidence: Tensor, right: Tensor) -> None:
        """Count likeliest classes; see `update`."""
        places = _bins(confidence)
        self.likeliest += torch.stack([_count(places, BINS), _count(places[right], BINS)])
        _add(self.likeliest_confidence, places, confidence)

    def add_mapped(self, confidence: Tensor, right: Tensor) -> None:
        """Count mapped classes; see `update`."""
        places = (confidence * STEPS).long().clamp_(0, STEPS - 1)
        self.mapped += torch.stack([_count(places, STEPS), _count(places[right], STEPS)])

    def bins(self) -> Bins:
        """Of the likeliest class, once summed over processes."""
        count, right = _copy(self.likeliest)
        return Bins(count, right, _copy(self.likeliest_confidence))

    def curve(self) -> SelectiveCurve:
        """Of what is mapped, once summed over processes."""
        return SelectiveCurve(*_copy(self.mapped))


class ReliabilitySums(Sums):
    """Bins of each class, and sums of the Brier score and the log likelihood; see `eoseg.calibration`."""

    each: Tensor
    each_confidence: Tensor
    errors: Tensor

    def __init__(self, num_classes: int) -> None:
        """Start at 0 for K classes."""
        super().__init__()
        self.num_classes = num_classes
        whole, real = torch.int64, torch.float64
        self.register_buffer("each", torch.zeros((2, num_classes, BINS), dtype=whole), persistent=False)
        self.register_buffer(
            "each_confidence", torch.zeros((num_classes, BINS), dtype=real), persistent=False
        )
        self.register_buffer("errors", torch.zeros(2, dtype=real), persistent=False)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Count pixels or chips.

        Args:
            output: Probabilities, float32 `(N, K)`.
            target: Int64 classes `(N,)`.
        """
        size = self.num_classes
        places = _bins(output) + torch.arange(size, device=output.device) * BINS  # (N, K)
        of_truth = places.gather(1, target[:, None])
        counts = torch.stack([_count(places, size * BINS), _count(of_truth, size * BINS)])
        self.each += counts.view(2, size, BINS)
        _add(self.each_confidence, places, output)
        exact = output.double()
        right = exact.gather(1, target[:, None]).squeeze(1)
        squared = exact.square().sum() - 2 * right.sum() + len(right)
        self.errors += torch.stack([squared, -right.clamp_min(_LEAST).log().sum()])

    def reliability(self, names: Sequence[str], likeliest: Bins) -> Reliability:
        """The figures, once summed over processes.

        Args:
            names: The K classes.
            likeliest: What `ConfidenceSums` has of the same pixels.
        """
        count, right = _copy(self.each)
        squared, surprise = self.errors.tolist()
        return Reliability(
            names=tuple(names),
            likeliest=likeliest,
            each=Bins(count, right, _copy(self.each_confidence)),
            squared=squared,
            surprise=surprise,
        )


class LogitSample(Sums):
    """Logits and classes of a random sample of pixels or chips: the same ones for any number of processes.

    Each gets a number by the hash of its chip's name and its place in it; those with the smallest are kept.
    """

    numbers: Tensor
    logits: Tensor
    classes: Tensor

    def __init__(self, num_classes: int, *, size: int = SAMPLE) -> None:
        """Start without any.

        Args:
            num_classes: K.
            size: Pixels or chips to keep at most.
        """
        super().__init__()
        self.size = size
        self.register_buffer("numbers", torch.full((size,), _EMPTY), persistent=False)
        self.register_buffer("logits", torch.zeros((size, num_classes)), persistent=False)
        self.register_buffer("classes", torch.zeros(size, dtype=torch.int64), persistent=False)

    def reset(self) -> None:
        """Start afresh."""
        super().reset()
        self.numbers.fill_(_EMPTY)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Refused: without the chips' names there is nothing to choose by; see `add`."""
        raise NotImplementedError("a sample is drawn by the chips' names: use add")

    def add(self, logits: Tensor, target: Tensor, ids: Sequence[str]) -> None:
        """Take from a batch what belongs to the sample.

        Args:
            logits: `(B, K, ...)`.
            target: Int64 classes `(B, ...)`, or `IGNORE`.
            ids: Names of the chips.
        """
        flat, truth = logits.detach().float().movedim(1, -1), target
        pixels = truth[0].numel()
        numbers = torch.from_numpy(np.stack([hash_places(name, pixels) for name in ids])).to(truth.device)
        kept = (truth != IGNORE) & (numbers.view(truth.shape) < self.numbers.max())
        self._merge(numbers.view(truth.shape)[kept], flat[kept], truth[kept])

    def sum_over_processes(self) -> None:
        """Keep the smallest numbers of all processes."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        rank = torch.distributed.get_rank()
        parts = [_gather(buffer) for buffer in (self.numbers, self.logits, self.classes)]
        for other, (numbers, logits, classes) in enumerate(zip(*parts, strict=True)):
            if other != rank:
                self._merge(numbers, logits, classes)

    def sample(self) -> tuple[Tensor, Tensor]:
        """Logits `(N, K)` and classes `(N,)` in the order of their numbers, on the CPU."""
        held = int((self.numbers != _EMPTY).sum())
        return self.logits[:held].cpu(), self.classes[:held].cpu()

    def _merge(self, numbers: Tensor, logits: Tensor, classes: Tensor) -> None:
        every = torch.cat([self.numbers, numbers])
        order = every.sort(stable=True)
        chosen = order.indices[: self.size]
        self.logits.copy_(torch.cat([self.logits, logits])[chosen])
        self.classes.copy_(torch.cat([self.classes, classes])[chosen])
        self.numbers.copy_(order.values[: self.size])


def hash_places(name: str, places: int) -> NDArray[np.int64]:
    """A number for each place of a chip, `(places,)`, as good as random, 0 to 2^63 - 1.

    SplitMix64 (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195) from a seed that is the name's
    hash.
    """
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    mixed = np.uint64(seed) + np.arange(1, places + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)


def _gather(buffer: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(buffer) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, buffer.contiguous())
    return parts


def _bins(chances: Tensor) -> Tensor:
    """Number of the bin of each probability, as `eoseg.calibration.bin_of` gives it."""
    edges = torch.linspace(0, 1, BINS + 1, device=chances.device)
    return (torch.bucketize(chances, edges, right=True) - 1).clamp_(0, BINS - 1)


def _add(sums: Tensor, places: Tensor, chances: Tensor) -> None:
    # Not bincount with weights, which has no reproducible form on a GPU.
    sums.view(-1).index_add_(0, places.flatten(), chances.flatten().double())


def _count(places: Tensor, length: int) -> Tensor:
    return torch.bincount(places.flatten(), minlength=length)


def _copy(sums: Tensor) -> NDArray[Any]:
    """As numpy, in memory of its own: the next epoch counts in the tensor's."""
    return sums.cpu().numpy().copy()
