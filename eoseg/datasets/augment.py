"""Augmentation of training chips, on the device and after transfer: image, labels and valid together."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from eoseg.batch import IGNORE, Batch
from eoseg.datasets.config import AugmentConfig, AugmentStep
from eoseg.errors import ConfigError, unknown_name
from eoseg.recipe import Statistics, Time

_SYMMETRIES = 8
"""Four right-angle rotations, each with and without a flip."""

_MOVED = ("image", "valid", "mask", "value")
"""What lies on the pixels of a chip."""


class Augmenter:
    """The flips, rotations and kornia transforms of a configuration.

    Geometric transforms move image, mask or value, and valid together: the image as the transform
    interpolates, the labels to the nearest pixel. Pixels that come in from outside the chip, or whose
    value is mixed with an invalid one, become invalid, and every invalid pixel has no label.

    Photometric transforms expect values from 0 to 1. They see each band scaled so that the 2nd and
    98th percentile of the training pixels are 0 and 1, values beyond clipped; what they change is then
    scaled back and added to the raw values, so untouched pixels keep theirs.

    All dates of a chip are moved and recoloured alike, so that a transform makes no change of its own.
    """

    def __init__(self, config: AugmentConfig, *, seed: int) -> None:
        """Build the transforms.

        Args:
            config: Which ones.
            seed: Seed of the run.

        Raises:
            ConfigError: A transform or one of its arguments is unknown.
        """
        self._config = config
        self._time: Time = "single"
        self._steps = [(step.name, _build(step)) for step in config.more]
        self._seed = seed
        self._generator = torch.Generator()
        self._low = torch.zeros(0)
        self._span = torch.ones(0)

    def prepare(
        self, statistics: Statistics, chip_size: int, *, time: Time = "single", steps: int = 1
    ) -> None:
        """Learn the value ranges, and try every transform once on a chip of the right shape.

        Args:
            statistics: Of the training pixels.
            chip_size: Height and width of a chip in pixels.
            time: How many dates a chip has: where it has several, images are `(B, T, C, H, W)`.
            steps: T.

        Raises:
            ConfigError: A transform cannot take this number of bands, or changes the chip's size; or dates
                are to be swapped and the chips are no pairs.
        """
        self._config.check_time(time)
        self._time = time
        low = torch.tensor([band.low for band in statistics.bands], dtype=torch.float32)
        high = torch.tensor([band.high for band in statistics.bands], dtype=torch.float32)
        self._low = low[:, None, None]
        self._span = (high - low).clamp_min(1e-6)[:, None, None]
        dates, size = () if time == "single" else (steps,), (chip_size, chip_size)
        trial: Batch = {
            "image": torch.rand(2, *dates, len(low), *size) * self._span + self._low,
            "valid": torch.ones(2, *dates, *size, dtype=torch.bool),
            "mask": torch.zeros(2, *size, dtype=torch.int64),
            "id": ["", ""],
        }
        for name, step in self._steps:
            with torch.random.fork_rng(devices=[]):
                self._apply(name, step, trial)

    def __call__(self, batch: Batch, *, epoch: int, rank: int, number: int = 0) -> Batch:
        """Augment a batch; the draws follow from seed, epoch, rank and the batch's number alone.

        So a training that goes on inside an epoch augments as it would have done.

        Args:
            batch: Chips; it is not changed.
            epoch: Number of the epoch.
            rank: Number of the process.
            number: Number of the batch in the epoch.
        """
        place = np.random.SeedSequence([self._seed, epoch, rank, number])
        self._generator.manual_seed(int(place.generate_state(1)[0]))
        count = batch["image"].shape[0]
        if self._config.flips_and_rotations:
            batch = flip_and_rotate(batch, self._draw(_SYMMETRIES, count))
        if self._config.swap_dates:
            batch = swap_dates(batch, self._draw(2, count).bool())
        if self._steps:
            devices = [batch["image"].device] if batch["image"].is_cuda else []
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(int(self._draw(2**31, 1)))
                for name, step in self._steps:
                    batch = self._apply(name, step, batch)
        return batch

    def _draw(self, below: int, count: int) -> Tensor:
        return torch.randint(below, (count,), generator=self._generator)

    def _apply(self, name: str, step: nn.Module, batch: Batch) -> Batch:
        try:
            changed = self._move(step, batch) if _is_geometric(step) else self._recolor(step, batch)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ConfigError(
                f"The augmentation {name} does not take chips of {batch['image'].shape[-3]} bands and "
                f"{batch['image'].shape[-1]} px: {' '.join(str(error).split())}. Take it out of augment.more."
            ) from error
        if changed["image"].shape != batch["image"].shape:
            raise ConfigError(
                f"The augmentation {name} makes chips of {tuple(changed['image'].shape[-2:])} px; they must "
                f"stay {batch['image'].shape[-1]} px. Set its size so."
            )
        return changed

    def _move(self, step: Any, batch: Batch) -> Batch:
        from kornia.augmentation import AugmentationSequential

        image, valid = batch["image"], batch["valid"]
        # To kornia all dates are channels of one image. `valid` travels with them too: where it is no
        # longer 1, values were mixed with invalid ones.
        pixels = image.flatten(1, -3)  # (B, T * C, H, W)
        known = valid.flatten(1, -3) if valid.dim() == 4 else valid[:, None]  # (B, T, H, W)
        stack = torch.cat([pixels, known.float()], dim=1)
        labels = _label_planes(batch)
        keys, held = ["input", "mask"], [stack, labels]
        if labels is None:
            keys, held = keys[:1], held[:1]
        result = AugmentationSequential(step, data_keys=keys)(*held)
        moved, planes = result if labels is not None else (result, None)
        bands = pixels.shape[1]
        return self._with(
            batch,
            moved[:, :bands].reshape(*image.shape[:-2], *moved.shape[-2:]),
            (moved[:, bands:] > 0.999).reshape(*valid.shape[:-2], *moved.shape[-2:]),
            _labels_of(planes, batch),
        )

    def _recolor(self, step: Any, batch: Batch) -> Batch:
        image = batch["image"]
        low, span = self._low.to(image), self._span.to(image)
        changed: list[Tensor] = []
        for date in image.unbind(1) if image.dim() == 5 else (image,):
            scaled = ((date - low) / span).clamp(0, 1)
            # What was drawn for the first date holds for the others.
            new = step(scaled, params=step._params) if changed else step(scaled)
            changed.append(date + (new - scaled) * span)
        recolored = torch.stack(changed, dim=1) if image.dim() == 5 else changed[0]
        return self._with(batch, recolored, batch["valid"], _pixel_labels(batch))

    def _with(self, batch: Batch, image: Tensor, valid: Tensor, labels: dict[str, Tensor]) -> Batch:
        usable = valid
        if self._time != "single":
            usable = valid.all(dim=1) if self._time == "pair" else valid.any(dim=1)
        empty = {"mask": IGNORE, "value": torch.nan}
        known = {name: held.masked_fill(~usable, empty[name]) for name, held in labels.items()}
        image = image.masked_fill(~valid.unsqueeze(-3), 0)
        return cast(Batch, {**batch, "image": image, "valid": valid, **known})


def _pixel_labels(batch: Batch) -> dict[str, Tensor]:
    """The labels that lie on pixels; none where each chip has one."""
    return {name: cast(Tensor, batch.get(name)) for name in ("mask", "value") if name in batch}


def _label_planes(batch: Batch) -> Tensor | None:
    """Labels as floats without NaN, `(B, P, H, W)`: what `_labels_of` takes back."""
    planes = []
    if "mask" in batch:
        planes.append(batch["mask"].float())
    if "value" in batch:
        planes += [batch["value"].nan_to_num(0.0), (~batch["value"].isnan()).float()]
    return torch.stack(planes, dim=1) if planes else None


def _labels_of(planes: Tensor | None, batch: Batch) -> dict[str, Tensor]:
    labels: dict[str, Tensor] = {}
    if planes is not None and "mask" in batch:
        labels["mask"] = planes[:, 0].round().long()
    if planes is not None and "value" in batch:
        labels["value"] = planes[:, -2].masked_fill(planes[:, -1] < 0.5, torch.nan)
    return labels


def flip_and_rotate(batch: Batch, symmetries: Tensor) -> Batch:
    """Apply one of the eight symmetries of the square to each chip.

    Args:
        batch: Square chips.
        symmetries: Numbers 0 to 7, `(B,)`: quarter turns, plus 4 for a flip.

    Raises:
        ConfigError: The chips are not square.
    """
    height, width = batch["image"].shape[-2:]
    if height != width:
        raise ConfigError(f"Right-angle rotations need square chips; found {height} x {width} px.")
    turned: dict[str, Any] = dict(batch)
    for name in _MOVED:
        if name not in batch:
            continue
        held = turned[name].clone()
        for place, number in enumerate(symmetries.tolist()):
            chip = torch.rot90(held[place], number % 4, dims=(-2, -1))
            held[place] = chip.flip(-1) if number >= 4 else chip
        turned[name] = held
    return cast(Batch, turned)


def swap_dates(batch: Batch, swapped: Tensor) -> Batch:
    """Exchange the two dates of some chips; labels stay.

    Args:
        batch: Pairs, `(B, 2, C, H, W)`.
        swapped: Bool `(B,)`.
    """
    image, valid = batch["image"].clone(), batch["valid"].clone()
    places = swapped.to(image.device)
    image[places], valid[places] = batch["image"][places].flip(1), batch["valid"][places].flip(1)
    return {**batch, "image": image, "valid": valid}


def _build(step: AugmentStep) -> nn.Module:
    known = _kornia_classes()
    if step.name not in known:
        raise ConfigError(unknown_name("augmentation of kornia", step.name, known))
    import inspect

    arguments = inspect.signature(known[step.name]).parameters
    for name in step.args:
        if name not in arguments:
            raise ConfigError(unknown_name(f"argument of {step.name}", name, arguments))
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in step.args.items()}
    try:
        module: nn.Module = known[step.name](**values)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"The augmentation {step.name} refuses its arguments {step.args}: {' '.join(str(error).split())}."
        ) from error
    return module


def _kornia_classes() -> dict[str, Any]:
    """Transforms that keep one chip one chip: geometric and photometric ones."""
    from kornia import augmentation

    kinds = (augmentation.GeometricAugmentationBase2D, augmentation.IntensityAugmentationBase2D)
    held = {name: getattr(augmentation, name) for name in dir(augmentation)}
    return {
        name: entry
        for name, entry in held.items()
        if isinstance(entry, type) and issubclass(entry, kinds) and entry not in kinds and "Base" not in name
    }


def _is_geometric(step: nn.Module) -> bool:
    from kornia.augmentation import GeometricAugmentationBase2D

    return isinstance(step, GeometricAugmentationBase2D)
