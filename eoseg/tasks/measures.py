"""What validation and test add up beside the confusion matrix: blocks, reliability, pixels left out."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eoseg.batch import IGNORE, Batch
from eoseg.calibration import Bins, Reliability
from eoseg.selective import SelectiveCurve
from eoseg.spatial_blocks import Blocks, BlockSums
from eoseg.tasks.counts import Sums
from eoseg.tasks.reliability import ConfidenceSums, LogitSample, ReliabilitySums

_PLACE = re.compile(r"(?P<scene>.*)@(?P<row>-?\d+),(?P<col>-?\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What an epoch of validation or test has given beside its figures."""

    judged: bool
    """Whether it was an epoch of `validate` or `test`, in which everything is counted."""
    counted: int | None
    """Pixels that the chips stand for, labelled or not; None where the data do not say it."""
    eroded: int
    """Of these, labelled pixels at class borders that were left out by the protocol."""
    likeliest: Bins
    """How often the likeliest class is right, by its probability; of several labels, the likelier sides."""
    curve: SelectiveCurve
    """How often what is mapped is right, by its probability."""
    reliability: Reliability | None
    blocks: Blocks | None


class PixelSums(Sums):
    """Pixels that chips stand for, and those left out at class borders."""

    sums: Tensor

    def __init__(self) -> None:
        """Start at 0."""
        super().__init__()
        self.register_buffer("sums", torch.zeros(2, dtype=torch.int64), persistent=False)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add the pixels of some chips, and how many of them were left out at borders."""
        self.sums += torch.stack([output.sum(), target.sum()])


class Measures(nn.Module):
    """The sums of one stage. None of it is part of a checkpoint."""

    def __init__(self, names: Sequence[str], *, multilabel: bool = False) -> None:
        """Start without counts.

        Args:
            names: The K classes.
            multilabel: Whether each holds on its own; reliability of each and blocks are then not counted.
        """
        super().__init__()
        self.names = tuple(names)
        self.multilabel = multilabel
        self.pixels = PixelSums()
        self.confidence = ConfidenceSums()
        self.reliability = ReliabilitySums(len(self.names))
        self.sample: LogitSample | None = None
        self._blocks: BlockSums | None = None
        self._judges = False

    def reset(self, *, judge: bool) -> None:
        """Start afresh.

        Args:
            judge: Whether to count blocks and the reliability of each class too, which a training does
                without.
        """
        self._judges = judge
        self._blocks = None
        for sums in (self.pixels, self.confidence, self.reliability, self.sample):
            if sums is not None:
                sums.reset()

    def keep_logits(self) -> None:
        """Keep a sample of logits from now on, to calibrate with."""
        self.sample = LogitSample(len(self.names)).to(self.reliability.each.device)

    def count_pixels(self, batch: Batch) -> None:
        """Add the pixels that the data say were left out."""
        if "counted" in batch:
            self.pixels.update(batch["counted"], batch.get("eroded", torch.zeros_like(batch["counted"])))

    def update(
        self, logits: Tensor, classes: Tensor, target: Tensor, ids: Sequence[str], unit: Callable[[str], str]
    ) -> None:
        """Count a batch.

        Args:
            logits: `(B, K, ...)`.
            classes: What is mapped, `(B, ...)`.
            target: The reference, of the same shape, or `IGNORE`.
            ids: Names of the chips.
            unit: Gives what stays together with a chip that has no place.
        """
        self._count_chances(logits.float(), classes, target)
        if not self._judges or self.multilabel:
            return
        if self.sample is not None:
            self.sample.add(logits, target, ids)
        reference = target.masked_fill(target == IGNORE, -1).cpu().numpy()
        self._count_blocks(reference, classes.cpu().numpy(), ids, unit)

    def sum_over_processes(self) -> None:
        """Add up what all processes have; call it once, at the end of an epoch."""
        self.pixels.sum_over_processes()
        self.confidence.sum_over_processes()
        if not self._judges:
            return
        self.reliability.sum_over_processes()
        if self.sample is not None:
            self.sample.sum_over_processes()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self._gather_blocks()

    def measured(self) -> Measured:
        """What was counted, once summed over processes."""
        counted, eroded = (int(value) for value in self.pixels.sums.tolist())
        judged = self._judges and self._blocks is not None
        likeliest = self.confidence.bins()
        return Measured(
            judged=self._judges,
            counted=counted or None,
            eroded=eroded,
            likeliest=likeliest,
            curve=self.confidence.curve(),
            reliability=self.reliability.reliability(self.names, likeliest) if judged else None,
            blocks=self._blocks.blocks() if judged and self._blocks is not None else None,
        )

    def _count_chances(self, logits: Tensor, classes: Tensor, target: Tensor) -> None:
        """Add the probabilities of all labelled pixels, chips or labels."""
        known = target != IGNORE
        truth, mapped = target[known], classes[known]
        if self.multilabel:
            share = logits[known].sigmoid()  # (N,)
            self.confidence.update(torch.where(mapped == 1, share, 1 - share), mapped == truth)
            return
        chances = logits.movedim(1, -1)[known].softmax(dim=1)  # (N, K)
        best = chances.max(dim=1)
        self.confidence.add_likeliest(best.values, best.indices == truth)
        self.confidence.add_mapped(chances.gather(1, mapped[:, None]).squeeze(1), mapped == truth)
        if self._judges:
            self.reliability.update(chances, truth)

    def _count_blocks(
        self,
        reference: NDArray[np.int64],
        classes: NDArray[np.int64],
        ids: Sequence[str],
        unit: Callable[[str], str],
    ) -> None:
        dense = reference.ndim == 3 and reference[0].size > 1
        for name, truth, mapped in zip(ids, reference, classes, strict=True):
            place = _PLACE.fullmatch(name)
            placed = dense or place is not None
            if self._blocks is None:
                self._blocks = BlockSums(self.names, placed=placed)
            if placed:
                scene = name if place is None else place["scene"]
                row, col = (0, 0) if place is None else (int(place["row"]), int(place["col"]))
                self._blocks.add_pixels(scene, row, col, np.atleast_2d(truth), np.atleast_2d(mapped))
            elif truth.item() >= 0:
                self._blocks.add_item(unit(name), int(truth.item()), int(mapped.item()))

    def _gather_blocks(self) -> None:
        own = None if self._blocks is None else self._blocks.blocks()
        parts: list[Blocks | None] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, own)
        held = [part for part in parts if part is not None]
        if not held:
            return
        total = BlockSums(self.names, placed=held[0].side is not None)
        for part in held:
            total.add(part)
        self._blocks = total
