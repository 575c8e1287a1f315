"""Fixed chips of a split, to be looked at: image, truth, prediction and errors."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor

from eoseg.batch import IGNORE, Batch
from eoseg.errors import ConfigError, OutputError
from eoseg.figures import class_image, enlarge, error_image, error_mask, png_bytes, rgb_image, side_by_side
from eoseg.recipe import Schema, Statistics

_PANEL_SIZE = 256
"""Smaller chips are enlarged to at least this many pixels in the PNG files."""

_ERROR_NAMES = {0: "right", 1: "wrong", IGNORE: "no label"}


class ChipSource(Protocol):
    """What the pictures need of a datamodule."""

    batch_size: int
    statistics: Statistics

    def panel_chips(self, stage: str, count: int) -> Batch:
        """The same chips in every epoch and for any number of processes."""


class PicturedTask(Protocol):
    """What the pictures need of a task, beside being a LightningModule."""

    schema: Schema

    def __call__(self, image: Tensor, valid: Tensor) -> Tensor:
        """Logits."""

    def predict_classes(self, logits: Tensor) -> Tensor:
        """Classes."""


class Panel(NamedTuple):
    """One chip, to be looked at."""

    id: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    errors: NDArray[np.uint8]


def make_panels(module: LightningModule, source: ChipSource, stage: str, count: int) -> list[Panel]:
    """Classify the fixed chips of a split.

    Args:
        module: The task; its mode is the same afterwards.
        source: The datamodule.
        stage: "val" or "test".
        count: How many chips to ask for.

    Raises:
        ConfigError: The chips have no masks, so that there is nothing to compare.
    """
    batch = source.panel_chips(stage, count)
    if "mask" not in batch:
        raise ConfigError("Panels show masks, but these chips have none. Set panels_every to 0.")
    task = cast(PicturedTask, module)
    was_training = module.training
    module.eval()
    predicted = []
    with torch.no_grad():
        for start in range(0, len(batch["id"]), source.batch_size):
            part = slice(start, start + source.batch_size)
            image, valid = batch["image"][part].to(module.device), batch["valid"][part].to(module.device)
            predicted.append(task.predict_classes(task(image, valid)).cpu())
    module.train(was_training)
    classes = torch.cat(predicted).numpy().astype(np.uint8)  # (B, H, W)
    return [_panel(batch, index, prediction, source.statistics) for index, prediction in enumerate(classes)]


def _panel(batch: Batch, index: int, prediction: NDArray[np.uint8], statistics: Statistics) -> Panel:
    valid = batch["valid"][index].numpy()
    truth = batch["mask"][index].numpy().astype(np.uint8)
    shown = np.where(valid, prediction, IGNORE).astype(np.uint8)
    image = rgb_image(batch["image"][index].numpy(), statistics, valid)
    return Panel(batch["id"][index], image, truth, shown, error_mask(truth, shown))


def write_panels(folder: Path, panels: Sequence[Panel], schema: Schema) -> None:
    """Write one PNG strip per chip: image, truth, prediction, errors.

    Raises:
        OutputError: A file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, panel in enumerate(panels):
            classes = [class_image(mask, schema.classes) for mask in (panel.truth, panel.prediction)]
            pictures = [panel.image, *classes, error_image(panel.errors)]
            strip = side_by_side([enlarge(picture, at_least=_PANEL_SIZE) for picture in pictures])
            place = re.sub(r"[^\w.,-]+", "_", panel.id)[-80:]
            (folder / f"{number:02d}_{place}.png").write_bytes(png_bytes(strip))
    except OSError as error:
        raise OutputError(
            f"Panels cannot be written to '{folder}': {error}. Check the folder and the free space."
        ) from error


def wandb_image(panel: Panel, schema: Schema) -> Any:
    """The chip as `wandb.Image` with the masks prediction, truth and error, which can be switched."""
    import wandb

    names = {**dict(enumerate(schema.class_names)), IGNORE: "no label"}
    masks = {
        "prediction": {"mask_data": panel.prediction, "class_labels": names},
        "truth": {"mask_data": panel.truth, "class_labels": names},
        "error": {"mask_data": panel.errors, "class_labels": _ERROR_NAMES},
    }
    return wandb.Image(panel.image, masks=masks, caption=panel.id)
