"""Panels as files in the run folder and as images of W&B."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eoseg.batch import IGNORE
from eoseg.errors import OutputError
from eoseg.figures import (
    NO_LABEL,
    Rgb,
    contact_sheet,
    enlarge,
    legend_image,
    png_bytes,
    scale_image,
    side_by_side,
)
from eoseg.models import Kind
from eoseg.recipe import Schema, Statistics
from eoseg.tracking.panels import Panel, error_classes, value_scales

_PANEL_SIZE = 256
"""Smaller chips are enlarged to at least this many pixels in the PNG files."""


def write_panels(
    folder: Path, panels: Sequence[Panel], schema: Schema, *, kind: Kind, statistics: Statistics
) -> None:
    """Write one PNG strip per chip and what its colours mean, or one sheet of all classified chips.

    Args:
        folder: Where to; made where it is missing.
        panels: At least one.
        schema: Classes or quantity.
        kind: That of the task.
        statistics: Those of the training pixels.

    Raises:
        OutputError: A file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "classification":
            (folder / "chips.png").write_bytes(png_bytes(sheet(panels)))
            return
        (folder / "legend.png").write_bytes(png_bytes(legend(panels, schema, kind, statistics)))
        for number, panel in enumerate(panels):
            place = re.sub(r"[^\w.,-]+", "_", panel.id)[-80:]
            (folder / f"{number:02d}_{place}.png").write_bytes(png_bytes(strip(panel)))
    except OSError as error:
        raise OutputError(
            f"Panels cannot be written to '{folder}': {error}. Check the folder and the free space."
        ) from error


def wandb_images(panel: Panel, schema: Schema, kind: Kind) -> list[Any]:
    """The chip as `wandb.Image`.

    Classes per pixel are masks over the last image (prediction, truth and error), which can be switched;
    the earlier date of a change comes as an image of its own before it, the dates of a series as a strip. A
    quantity comes as one strip, a classified chip with the answer in its caption.
    """
    import wandb

    if panel.answer is not None:
        (image,) = panel.images.values()
        return [wandb.Image(image, caption=panel.caption)]
    if not panel.masks:
        return [wandb.Image(strip(panel), caption=panel.caption)]
    *earlier, (_, last) = panel.images.items()
    if kind == "series":
        earlier = [(", ".join(panel.images), side_by_side(list(panel.images.values())))]
    names = {**dict(enumerate(schema.class_names)), IGNORE: "no label"}
    errors = {entry.values[0]: entry.name for entry in error_classes(schema, kind)} | {IGNORE: "no label"}
    masks = {
        "prediction": {"mask_data": panel.masks["prediction"], "class_labels": names},
        "truth": {"mask_data": panel.masks["truth"], "class_labels": names},
        "error": {"mask_data": panel.masks["error"], "class_labels": errors},
    }
    return [
        *(wandb.Image(image, caption=f"{panel.id}, {name}") for name, image in earlier),
        wandb.Image(last, masks=masks, caption=panel.caption),
    ]


def strip(panel: Panel) -> Rgb:
    """One row of pictures: the images, and in the classes' own colours truth, prediction and errors."""
    pictures = [*panel.images.values(), *panel.results.values()]
    return side_by_side([enlarge(picture, at_least=_PANEL_SIZE) for picture in pictures])


def sheet(panels: Sequence[Panel]) -> Rgb:
    """Classified chips in rows, with what each is and what the network takes it for."""
    chips = [picture for panel in panels for picture in panel.images.values()]
    return contact_sheet(chips, [panel.answer for panel in panels if panel.answer is not None])


def legend(panels: Sequence[Panel], schema: Schema, kind: Kind, statistics: Statistics) -> Rgb:
    """What the pictures of a strip are, from left to right, and what their colours mean."""
    images = (
        "dates" if kind == "series" else " | ".join(panels[0].images)
    )  # the dates differ from chip to chip
    title = " | ".join([images, *panels[0].results])
    if schema.quantity is not None:
        unit = f", {schema.quantity.unit}" if schema.quantity.unit else ""
        return scale_image(*value_scales(statistics), label=f"{schema.quantity.name}{unit}", title=title)
    errors = [(entry.name, entry.color) for entry in error_classes(schema, kind)]
    return legend_image(schema.classes, extra=[*errors, ("no label", NO_LABEL)], title=title)
