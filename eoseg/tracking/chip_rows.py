"""What is known of single chips once a network has answered: a row of a table for each."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eoseg.batch import IGNORE, Batch
from eoseg.models import Kind
from eoseg.recipe import Schema
from eoseg.tasks.task import usable

type Cell = str | float | None


class AnsweringTask(Protocol):
    """What the rows need of a task."""

    schema: Schema
    kind: Kind

    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch."""

    def predict_classes(self, logits: Tensor) -> Tensor:
        """Classes, where the task has them."""

    def target(self, batch: Batch) -> Tensor:
        """What is to be learned."""


@dataclass(frozen=True, slots=True)
class ChipRow:
    """One chip."""

    id: str
    loss: float
    """That of the task, of this chip alone."""
    figures: dict[str, Cell]
    """Further columns by name, in their order."""


def chip_losses(task: AnsweringTask, logits: Tensor, batch: Batch) -> list[float]:
    """The loss of each chip alone."""
    losses = [
        task.compute_loss(logits[place : place + 1], part_of(batch, [place]))
        for place in range(len(batch["id"]))
    ]
    return [float(value) for value in torch.stack(losses).tolist()]  # one transfer from the device


def chip_rows(task: AnsweringTask, logits: Tensor, batch: Batch) -> list[ChipRow]:
    """The rows of a batch.

    Of classes: the entropy of the answer (0 sure, 1 all classes alike), the share of labelled pixels that are
    right, and the IoU of each class; None where a class is neither in the reference nor in the answer. Of a
    whole chip: its class and the answer. Of a quantity: the root mean square of the error.
    """
    losses = chip_losses(task, logits, batch)
    if task.schema.quantity is not None:
        error = logits[:, 0] - task.target(batch)  # (B, H, W)
        squares = error.square().nanmean(dim=(1, 2)).sqrt().tolist()
        figures: list[dict[str, Cell]] = [{"rmse": _number(value)} for value in squares]
    elif task.kind == "classification":
        figures = _answers(task, logits, batch)
    else:
        figures = _class_figures(task, logits, batch)
    return [ChipRow(*row) for row in zip(batch["id"], losses, figures, strict=True)]


def part_of(batch: Batch, places: Sequence[int]) -> Batch:
    """Some chips of a batch."""
    chosen = torch.tensor(list(places), dtype=torch.long, device=batch["image"].device)
    part: dict[str, Any] = {
        name: [batch["id"][place] for place in places] if name == "id" else cast(Tensor, held)[chosen]
        for name, held in batch.items()
    }
    return cast(Batch, part)


def rows_csv(rows: Sequence[ChipRow], places: Sequence[tuple[float, float] | None]) -> str:
    """Rows as CSV text: chip, longitude and latitude, loss, and what else is known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns_of(rows))
    writer.writerows(cells_of(row, place) for row, place in zip(rows, places, strict=True))
    return text.getvalue()


def columns_of(rows: Sequence[ChipRow]) -> list[str]:
    """Titles of the columns that `cells_of` fills."""
    return ["chip", "longitude", "latitude", "loss", *rows[0].figures]


def cells_of(row: ChipRow, place: tuple[float, float] | None) -> list[Cell]:
    """What is known of a chip, without pictures."""
    return [row.id, *(place or (None, None)), _number(row.loss), *row.figures.values()]


def entropy_of(logits: Tensor, *, multilabel: bool) -> Tensor:
    """Entropy of the probabilities, 0 sure to 1 all classes alike: `(B, K, ...)` to `(B, ...)`.

    Of several labels the mean over them, each present or absent. Shannon 1948, divided by its largest value.
    """
    if multilabel:
        share = logits.float().sigmoid()
        pair = torch.stack([share, 1 - share])  # (2, B, K)
        return cast(Tensor, torch.special.entr(pair).sum(dim=0).mean(dim=1) / math.log(2))
    if logits.shape[1] == 1:
        return torch.zeros_like(logits[:, 0])
    probabilities = functional.softmax(logits.float(), dim=1)
    return cast(Tensor, torch.special.entr(probabilities).sum(dim=1) / math.log(logits.shape[1]))


def _answers(task: AnsweringTask, logits: Tensor, batch: Batch) -> list[dict[str, Cell]]:
    names = task.schema.class_names
    truth, answers = task.target(batch).cpu().numpy(), task.predict_classes(logits).cpu().numpy()
    entropy = entropy_of(logits, multilabel=task.schema.multilabel).tolist()
    return [
        {
            "entropy": unsure,
            "reference": named(reference, names),
            "answer": named(answer, names),
            "right": float((reference == answer).mean()),
        }
        for unsure, reference, answer in zip(entropy, truth, answers, strict=True)
    ]


def named(answer: Any, names: Sequence[str]) -> str:
    """The name of a chip's class, or of all its labels; "" without a label."""
    values = np.asarray(answer)
    if values.ndim:
        return ", ".join(name for name, there in zip(names, values, strict=True) if there) or "none"
    return "" if values == IGNORE else names[int(values)]


def _class_figures(task: AnsweringTask, logits: Tensor, batch: Batch) -> list[dict[str, Cell]]:
    names, seen = task.schema.class_names, usable(batch, task.kind)  # (B, H, W)
    unsure = entropy_of(logits, multilabel=False).masked_fill(~seen, 0).sum(dim=(1, 2))
    entropy = (unsure / seen.sum(dim=(1, 2)).clamp(min=1)).tolist()
    target, answer = task.target(batch), task.predict_classes(logits)
    found: list[dict[str, Cell]] = []
    for mean, matrix in zip(entropy, _matrices(target, answer, len(names)), strict=True):
        right, total = np.diag(matrix), matrix.sum()
        union = matrix.sum(axis=0) + matrix.sum(axis=1) - right
        shares = {
            f"iou/{name}": int(hit) / int(either) if either else None
            for name, hit, either in zip(names, right, union, strict=True)
        }
        found.append({"entropy": mean, "right": int(right.sum()) / int(total) if total else None, **shares})
    return found


def _matrices(target: Tensor, answer: Tensor, count: int) -> Any:
    """A confusion matrix of each chip, int64 `(B, K, K)`."""
    chip = torch.arange(len(target), device=target.device).view(-1, 1, 1).expand_as(target)
    known = target != IGNORE
    pairs = (chip[known] * count + target[known]) * count + answer[known]
    counts = torch.bincount(pairs, minlength=len(target) * count**2)
    return counts.view(len(target), count, count).cpu().numpy()


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
