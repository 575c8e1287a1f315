"""Fixed chips of a split, to be looked at: what the network saw, what is true, what it says."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor

from eoseg.batch import IGNORE, Batch
from eoseg.errors import ConfigError
from eoseg.figures import (
    DETECTIONS,
    ERRORS,
    Rgb,
    class_image,
    detection_mask,
    difference_image,
    error_mask,
    rgb_image,
    value_image,
)
from eoseg.models import Kind
from eoseg.recipe import MapClass, Schema, Statistics
from eoseg.tasks.task import usable
from eoseg.tracking.chip_rows import named

_MOST_DATES = 4
"""Dates of a series that are shown."""


class ChipSource(Protocol):
    """What the pictures need of a datamodule."""

    batch_size: int
    chip_size: int

    @property
    def statistics(self) -> Statistics:
        """Values over the training pixels."""

    def panel_chips(self, stage: str, count: int) -> Batch:
        """The same chips in every epoch and for any number of processes."""

    def places(self, ids: Sequence[str]) -> list[tuple[float, float] | None]:
        """Longitude and latitude of the middle of chips, None where nobody can say."""


class PicturedTask(Protocol):
    """What the pictures need of a task, beside being a LightningModule."""

    schema: Schema
    kind: Kind

    def answer(self, image: Tensor, valid: Tensor, days: Tensor | None, *, stage: str) -> Tensor:
        """Logits, or estimated values, as the figures are computed from."""

    def predict_classes(self, logits: Tensor) -> Tensor:
        """Classes, where the task has them."""

    def target(self, batch: Batch) -> Tensor:
        """What is to be learned."""


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """One chip, to be looked at."""

    id: str
    images: dict[str, Rgb]
    """What the network saw, by name; several where there are several dates."""
    results: dict[str, Rgb] = field(default_factory=dict)
    """Pictures of the truth, the prediction and the errors, of the images' size."""
    masks: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """Truth, prediction and error as classes, where there are classes per pixel."""
    answer: tuple[str, str] | None = None
    """Of a whole chip: its reference, "" where there is none, and the network's answer."""
    place: tuple[float, float] | None = None
    """Longitude and latitude of its middle, where they are known."""
    loss: float | None = None
    """Its loss, where it was chosen by it."""

    @property
    def caption(self) -> str:
        """What it shows: the chip, where it lies, its loss, its classes."""
        parts = [self.id]
        if self.place is not None:
            parts.append("lon {:.5f}, lat {:.5f}".format(*self.place))
        if self.loss is not None:
            parts.append(f"loss {self.loss:.3f}")
        if self.answer is not None:
            parts.append(f"{self.answer[0] or 'no label'}, answer {self.answer[1]}")
        return ": ".join([parts[0], "; ".join(parts[1:])]) if parts[1:] else self.id


def error_classes(schema: Schema, kind: Kind) -> tuple[MapClass, ...]:
    """What the values of a panel's errors mean: found and missed changes, or right and wrong."""
    return DETECTIONS if kind == "change" and len(schema.classes) == 2 else ERRORS


def make_panels(module: LightningModule, source: ChipSource, stage: str, count: int) -> list[Panel]:
    """Let the network answer for the fixed chips of a split.

    Args:
        module: The task; its mode is the same afterwards.
        source: The datamodule.
        stage: "val" or "test".
        count: How many chips to ask for.

    Raises:
        ConfigError: The chips have no labels, so that there is nothing to compare.
    """
    batch = source.panel_chips(stage, count)
    if not {"mask", "label", "value"} & set(batch):
        raise ConfigError(
            "Panels show what is true, but these chips have no labels. Set run.panels_every to 0."
        )
    panels = panels_of(
        cast(PicturedTask, module),
        batch,
        _answers(module, batch, source.batch_size, stage),
        source.statistics,
    )
    return located(panels, source)


def located(panels: Sequence[Panel], source: ChipSource) -> list[Panel]:
    """The same panels, with their places."""
    places = source.places([panel.id for panel in panels])
    return [replace(panel, place=place) for panel, place in zip(panels, places, strict=True)]


def panels_of(task: PicturedTask, batch: Batch, logits: Tensor, statistics: Statistics) -> list[Panel]:
    """Show chips beside what the network says of them.

    Args:
        task: The task.
        batch: The chips, on the CPU, with labels.
        logits: What the network says, on the CPU.
        statistics: The stretch of the images and the scale of a quantity.
    """
    truth = task.target(batch).numpy()
    places = range(len(batch["id"]))
    if task.schema.quantity is not None:
        values = logits[:, 0].float().numpy()  # (B, H, W)
        return [_value_panel(batch, place, truth[place], values[place], statistics) for place in places]
    classes = task.predict_classes(logits).numpy()  # (B, H, W), of chips (B,) or (B, K)
    if task.kind == "classification":
        names = task.schema.class_names
        return [
            Panel(
                batch["id"][place],
                _images(batch, place, task.kind, statistics),
                answer=(named(truth[place], names), named(classes[place], names)),
            )
            for place in places
        ]
    return [_class_panel(batch, place, truth[place], classes[place], task, statistics) for place in places]


def _answers(module: LightningModule, batch: Batch, batch_size: int, stage: str) -> Tensor:
    """Logits of all chips, on the CPU."""
    task = cast(PicturedTask, module)
    was_training = module.training
    module.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(batch["id"]), batch_size):
            part = slice(start, start + batch_size)
            image, valid = (batch[name][part].to(module.device) for name in ("image", "valid"))
            days = batch["days"][part].to(module.device) if "days" in batch else None
            found.append(task.answer(image, valid, days, stage=stage).cpu())
    module.train(was_training)
    return torch.cat(found)


def _class_panel(
    batch: Batch,
    place: int,
    truth: NDArray[Any],
    prediction: NDArray[Any],
    task: PicturedTask,
    statistics: Statistics,
) -> Panel:
    seen = usable(batch, task.kind)[place].numpy()
    truth = truth.astype(np.uint8)
    shown = np.where(seen, prediction, IGNORE).astype(np.uint8)
    meaning = error_classes(task.schema, task.kind)
    errors = detection_mask(truth, shown) if meaning is DETECTIONS else error_mask(truth, shown)
    return Panel(
        batch["id"][place],
        _images(batch, place, task.kind, statistics),
        results={
            "truth": class_image(truth, task.schema.classes),
            "prediction": class_image(shown, task.schema.classes),
            "errors": class_image(errors, meaning),
        },
        masks={"truth": truth, "prediction": shown, "error": errors},
    )


def value_scales(statistics: Statistics) -> tuple[float, float, float]:
    """Lowest and highest value and largest error of the colours, from the training labels alone.

    The same for all pictures of a run and of all runs on the same data, so that they compare.
    """
    target = statistics.target
    assert target is not None  # a quantity has statistics of its labels
    return target.low, target.high, 2 * target.std


def _value_panel(
    batch: Batch, place: int, truth: NDArray[Any], values: NDArray[Any], statistics: Statistics
) -> Panel:
    low, high, limit = value_scales(statistics)
    shown = np.where(batch["valid"][place].numpy(), values, np.nan)
    return Panel(
        batch["id"][place],
        _images(batch, place, "segmentation", statistics),
        results={
            "truth": value_image(truth, low, high),
            "estimate": value_image(shown, low, high),
            "error": difference_image(shown - truth, limit),
        },
    )


def _images(batch: Batch, place: int, kind: Kind, statistics: Statistics) -> dict[str, Rgb]:
    image, valid = batch["image"][place].numpy(), batch["valid"][place].numpy()
    if kind == "change":
        dates = {"before": 0, "after": 1}
    elif kind == "series":
        # A date without any pixel (a cloud over all of it) would be a white square.
        usable_dates = np.flatnonzero(valid.any(axis=(1, 2)))
        chosen = usable_dates if len(usable_dates) else np.arange(len(valid))
        steps = np.linspace(0, len(chosen) - 1, min(_MOST_DATES, len(chosen))).round().astype(int)
        days = batch["days"][place].tolist()
        dates = {f"date {date + 1}, day {days[date]:.0f}": int(date) for date in chosen[steps]}
    else:
        return {"image": rgb_image(image, statistics, valid)}
    return {name: rgb_image(image[date], statistics, valid[date]) for name, date in dates.items()}
