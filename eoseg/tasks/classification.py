"""Scene classification: one class, or several labels, per chip."""

from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from eoseg.batch import IGNORE, Batch
from eoseg.errors import ConfigError, DataError
from eoseg.losses import Loss
from eoseg.metrics import score_labels
from eoseg.models import Kind
from eoseg.tasks.class_task import ClassTask
from eoseg.tasks.counts import LabelCounts, Sums


class ClassificationTask(ClassTask):
    """Train a network to give each chip a class, or each of several labels.

    Chips that come with a mask instead of a label take the class of most of their labelled pixels.
    """

    kind: ClassVar[Kind] = "classification"
    default_arch: ClassVar[str] = "resnet"
    monitor = "val/mean_f1"

    def make_counts(self) -> Sums:
        """A confusion matrix, or one per label."""
        if self.schema.multilabel:
            return LabelCounts(len(self.schema.classes))
        return super().make_counts()

    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss over chips; of several labels, the mean binary cross-entropy."""
        target = self.target(batch)
        if not self.schema.multilabel:
            loss: Tensor = self.loss(logits[:, :, None, None], target[:, None, None])  # chips of one pixel
            return loss
        each = functional.binary_cross_entropy_with_logits(
            logits.float(), target.float(), reduction="none"
        )  # (B, K)
        weights = self.loss.class_weights
        return (each * weights).mean(dim=0).sum() / weights.sum()

    def predict_classes(self, logits: Tensor) -> Tensor:
        """The likeliest class `(B,)`, or 0 and 1 for each label `(B, K)`."""
        return (logits > 0).long() if self.schema.multilabel else super().predict_classes(logits)

    def target(self, batch: Batch) -> Tensor:
        """Int64 `(B,)`, or 0 and 1 for each label `(B, K)`.

        Raises:
            DataError: Chips that should have several labels have one each, or the other way round.
        """
        if "label" in batch:
            label = batch["label"]
            classes = len(self.schema.classes)
            expected = (len(batch["id"]), classes) if self.schema.multilabel else (len(batch["id"]),)
            if label.shape != expected:
                raise DataError(
                    f"Labels of shape {expected} were expected; found {tuple(label.shape)}. Set multilabel "
                    "where a chip may have several classes, and leave it out elsewhere."
                )
            return label
        if self.schema.multilabel:
            raise DataError("Chips with several labels need 'label'; these come with a mask alone.")
        mask = batch["mask"].masked_fill(~batch["valid"], IGNORE)
        return majority(mask, len(self.schema.classes))

    def label_tables(self, stage: str) -> NDArray[np.int64]:
        """Of several labels, a table for each over the last epoch.

        Args:
            stage: "val" or "test".

        Returns:
            Int64 `(K, 2, 2)`, rows reference (0 absent, 1 present), columns answer.
        """
        counts = cast(LabelCounts, self.counts(stage))
        return cast(NDArray[np.int64], counts.tables.cpu().numpy())

    def figures(self, stage: str) -> dict[str, float | None]:
        """The figures of the last epoch."""
        if not self.schema.multilabel:
            return super().figures(stage)
        scores = score_labels(self.label_tables(stage), self.schema.class_names)
        if scores.mean_f1 is None:
            raise DataError(f"The {stage} split holds no labelled chip. Change the split or the labels.")
        return {
            "mean_f1": scores.mean_f1,
            "micro_f1": scores.micro_f1,
            "labels_right": scores.labels_right,
            **{f"f1/{name}": value for name, value in zip(self.schema.class_names, scores.f1, strict=True)},
            **self.trust_figures(stage),
        }

    def _build_loss(self, class_weights: list[float] | None) -> Loss:
        if self.schema.multilabel and self._loss_terms != "cross_entropy":
            raise ConfigError(
                "Where chips have several labels the loss is cross_entropy, of each label on its own; "
                f"found {self._loss_terms}. Leave loss out."
            )
        return super()._build_loss(class_weights)


def majority(mask: Tensor, num_classes: int) -> Tensor:
    """The most frequent class of each chip, `(B, H, W)` to `(B,)`; `IGNORE` where none is labelled.

    Of equally frequent classes the first is taken.
    """
    counts = torch.stack([(mask == number).sum(dim=(1, 2)) for number in range(num_classes)], dim=1)  # (B, K)
    best = counts.max(dim=1)
    return best.indices.masked_fill(best.values == 0, IGNORE)
