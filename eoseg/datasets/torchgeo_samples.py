"""From a sample of torchgeo to a sample of eoseg: which keys, which shapes, which values mean what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.batch import IGNORE
from eoseg.datasets.chips import ChipItem
from eoseg.errors import ConfigError, DataError, unknown_name
from eoseg.recipe import MapClass, Time

_UNKNOWN = -1

type Target = Literal["mask", "label", "labels"]
"""A class per pixel, one class per chip, or any number of classes per chip."""


@dataclass(frozen=True)
class Form:
    """The shape of a data set's samples, seen on one of them."""

    bands: int
    time: Time
    target: Target
    height: int
    width: int
    labels: int = 0
    """Of chips with several classes, the length of the label."""


class Reading:
    """How the samples of a data set are read."""

    def __init__(
        self,
        form: Form,
        classes: Sequence[MapClass],
        *,
        channels: Sequence[int],
        ignore: Sequence[int],
        nodata: float | None,
        steps: int,
    ) -> None:
        """Prepare to read.

        Args:
            form: The shape of the samples.
            classes: The classes, with the values that stand for them.
            channels: Places of the bands to use, in the order to use them.
            ignore: Values that mean "no label".
            nodata: Value of a band that means "no value".
            steps: T, to which series are filled up with dates that are nowhere valid.
        """
        self.form = form
        self.steps = steps
        self._classes = len(classes)
        self._all = list(channels) == list(range(form.bands))
        self._channels = torch.tensor(list(channels))
        self._nodata = nodata
        self._lookup = _lookup(classes, ignore)

    def item(self, sample: Mapping[str, Any], name: str, days: Sequence[int] | None) -> ChipItem:
        """Read a sample.

        Args:
            sample: What a data set of torchgeo yields.
            name: What identifies it.
            days: Days of the year of a series.

        Raises:
            DataError: It has another form than the first one, or holds an unknown class.
        """
        image = image_of(sample, name)  # ([T,] C, H, W)
        form = form_of(sample, name)
        if _kind(form) != _kind(self.form):
            raise DataError(
                f"The image '{name}' has {_describe(form)}, the first one {_describe(self.form)}; all "
                "must be of one kind."
            )
        valid = torch.isfinite(image).all(dim=-3)  # ([T,] H, W)
        if not self._all:
            image = image.index_select(-3, self._channels)
        if self._nodata is not None:
            valid &= (image != self._nodata).all(dim=-3)
        if not valid.all():
            image = image.masked_fill(~valid.unsqueeze(-3), 0)
        item: ChipItem = {"image": image, "valid": valid, "id": name}
        if self.form.time == "series":
            item = self._filled_up(item, days)
        elif self.form.time == "pair" and len(image) != 2:
            raise DataError(f"'{name}' has {len(image)} dates; expected 2, as the first image has.")
        return self._with_target(item, sample)

    def class_of(self, value: int) -> int:
        """The class that a label value stands for, or `IGNORE`."""
        return int(self._look_up(torch.tensor(value), "label"))

    def _filled_up(self, item: ChipItem, days: Sequence[int] | None) -> ChipItem:
        """Give a series its days, and T dates."""
        dates = len(item["image"])
        if days is None or len(days) != dates or dates > self.steps:
            raise DataError(
                f"The series '{item['id']}' has {dates} images and {len(days or ())} dates, of at most "
                f"{self.steps}; each image needs one. Download the data set again."
            )
        missing = self.steps - dates
        image = torch.cat([item["image"], item["image"].new_zeros(missing, *item["image"].shape[1:])])
        valid = torch.cat([item["valid"], item["valid"].new_zeros(missing, *item["valid"].shape[1:])])
        filled = torch.tensor([*days, *[days[-1]] * missing], dtype=torch.float32)
        return {**item, "image": image, "valid": valid, "days": filled}

    def _with_target(self, item: ChipItem, sample: Mapping[str, Any]) -> ChipItem:
        if self.form.target == "mask":
            classes = self._look_up(_mask_of(sample, item["id"]), item["id"])
            return {
                **item,
                "mask": classes.masked_fill(~usable_pixels(item["valid"], self.form.time), IGNORE),
            }
        label = torch.as_tensor(sample["label"])
        if self.form.target == "labels":
            if len(label) != self._classes:
                raise DataError(
                    f"The label of '{item['id']}' has {len(label)} places for {self._classes} classes. Name "
                    "as many classes, in its order."
                )
            return {**item, "label": (label > 0).long()}
        return {**item, "label": self._look_up(label.reshape(()), item["id"])}

    def _look_up(self, values: Tensor, name: str) -> Tensor:
        if values.is_floating_point() and not torch.equal(values, values.round()):
            raise DataError(
                f"The labels of '{name}' are fractions, such as {float(values.flatten()[0]):.3g}; expected "
                "numbers of classes. A quantity cannot be learned through TorchGeoData."
            )
        whole = values.long()
        known = whole.clamp(0, len(self._lookup) - 1)
        classes = torch.where(whole == known, self._lookup[known], _UNKNOWN)
        if bool((classes == _UNKNOWN).any()):
            value = int(whole[classes == _UNKNOWN].flatten()[0])
            held = torch.nonzero(self._lookup != _UNKNOWN).flatten().tolist()
            raise DataError(
                f"'{name}' has the label value {value}, which stands for no class. Known are "
                f"{', '.join(map(str, held))} ({IGNORE} for no label). Name it in 'classes' or in 'ignore'."
            )
        return classes


def form_of(sample: Mapping[str, Any], name: str) -> Form:
    """The form of a sample.

    Raises:
        DataError: It yields none of the known keys, or shapes that do not belong together.
    """
    image = image_of(sample, name)
    height, width = image.shape[-2:]
    if image.ndim == 3:
        time: Time = "single"
    else:
        time = "pair" if len(image) == 2 else "series"
    bands = image.shape[-3]
    if "mask" in sample:
        mask = _mask_of(sample, name)
        if mask.shape != (height, width):
            raise DataError(
                f"The image '{name}' has {height} x {width} px, its mask the shape {tuple(mask.shape)}; both "
                "must be the same."
            )
        return Form(bands, time, "mask", height, width)
    label = torch.as_tensor(sample["label"])
    if label.numel() == 1:
        return Form(bands, time, "label", height, width)
    return Form(bands, time, "labels", height, width, label.numel())


def image_of(sample: Mapping[str, Any], name: str) -> Tensor:
    """The image of a sample, float32 `(C, H, W)`, or `(T, C, H, W)` with the earlier date first.

    Raises:
        DataError: There is none, or nothing to learn from it.
    """
    keys = set(sample)
    two = {"image1", "image2"} <= keys
    if not ((two or "image" in keys) and keys & {"mask", "label"}):
        raise DataError(
            f"'{name}' yields {', '.join(sorted(map(str, keys))) or 'nothing'}; expected image and mask, "
            "image and label, or image1, image2 and mask. This data set is for another task."
        )
    images = [sample["image1"], sample["image2"]] if two else [sample["image"]]
    if any(not isinstance(image, Tensor) or image.ndim not in ((3,) if two else (3, 4)) for image in images):
        shapes = ", ".join(str(tuple(getattr(image, "shape", ()))) for image in images)
        raise DataError(f"'{name}' yields images of shape {shapes}; expected (C, H, W) or (T, C, H, W).")
    image = torch.stack(images) if two else images[0]
    return cast(Tensor, image.float())


def usable_pixels(valid: Tensor, time: Time) -> Tensor:
    """Where a label can be learned from: both dates of a pair, any date of a series; bool `(H, W)`."""
    if time == "pair":
        return valid.all(dim=0)
    return valid.any(dim=0) if time == "series" else valid


def crop(item: ChipItem, row: int, col: int, size: int) -> ChipItem:
    """Cut a square out of an item; what lies outside is invalid and has no label.

    Args:
        item: An image.
        row: First row, at least 0.
        col: First column, at least 0.
        size: Height and width in pixels.
    """
    height, width = item["valid"].shape[-2:]
    rows, cols = slice(row, min(row + size, height)), slice(col, min(col + size, width))
    missing = (0, size - (cols.stop - col), 0, size - (rows.stop - row))  # right and bottom
    pad = torch.nn.functional.pad
    part: ChipItem = {**item, "id": f"{item['id']}@{row},{col}"}
    part["image"] = pad(item["image"][..., rows, cols], missing)
    part["valid"] = pad(item["valid"][..., rows, cols], missing, value=False)
    if "mask" in item:
        part["mask"] = pad(item["mask"][rows, cols], missing, value=IGNORE)
    return part


def own_values(classes: Sequence[MapClass], own: Sequence[MapClass] | None) -> list[MapClass]:
    """Classes by number: a value that is the name of one of the data set's own classes becomes its number.

    Args:
        classes: As the configuration names them.
        own: The data set's own classes, with the numbers that its labels hold; None where it names none.

    Raises:
        ConfigError: A value is no such name.
    """
    numbers = {entry.name: entry.values[0] for entry in own or ()}
    for value in (value for entry in classes for value in entry.values):
        if isinstance(value, str) and value not in numbers:
            raise ConfigError(unknown_name("class of this data set", value, numbers))
    return [
        MapClass(
            entry.name,
            tuple(numbers[value] if isinstance(value, str) else value for value in entry.values),
            entry.color,
        )
        for entry in classes
    ]


def _mask_of(sample: Mapping[str, Any], name: str) -> Tensor:
    """The mask, `(H, W)`; torchgeo gives those of pairs as `(1, H, W)`."""
    mask = torch.as_tensor(sample["mask"])
    if mask.ndim == 3 and len(mask) == 1:
        mask = mask[0]
    if mask.ndim != 2:
        raise DataError(
            f"The mask of '{name}' has the shape {tuple(mask.shape)}; expected one class per pixel."
        )
    return mask


def _lookup(classes: Sequence[MapClass], ignore: Sequence[int]) -> Tensor:
    """The class of each label value, `IGNORE` or `_UNKNOWN`."""
    given = {int(value): index for index, entry in enumerate(classes) for value in entry.values}
    lowest = min([*given, *ignore])
    if lowest < 0:
        raise ConfigError(f"Label values are at least 0; found {lowest}.")
    table: NDArray[np.int64] = np.full(max(IGNORE, *given, *ignore) + 1, _UNKNOWN, np.int64)
    table[[IGNORE, *ignore]] = IGNORE
    for value, index in given.items():
        table[value] = index
    return torch.from_numpy(table)


def _kind(form: Form) -> tuple[object, ...]:
    """What all samples have in common; a series may have any number of dates."""
    return form.bands, form.target, form.labels, form.time == "single"


def _describe(form: Form) -> str:
    target = f"{form.labels} labels" if form.labels else f"a {form.target}"
    dates = "one date" if form.time == "single" else "several dates"
    return f"{form.bands} bands, {dates} and {target}"
