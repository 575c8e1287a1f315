"""Augmentation of training chips, on the device and after transfer: image, mask and valid together."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eoseg.batch import IGNORE, Batch
from eoseg.datasets.config import AugmentConfig, AugmentStep
from eoseg.errors import ConfigError, unknown_name
from eoseg.recipe import Statistics

_SYMMETRIES = 8
"""Four right-angle rotations, each with and without a flip."""


class Augmenter:
    """The flips, rotations and kornia transforms of a configuration.

    Geometric transforms move image, mask and valid together: the image as the transform interpolates,
    mask and valid to the nearest pixel. Pixels that come in from outside the chip, or whose value is
    mixed with an invalid one, become invalid, and every invalid pixel has the label `IGNORE`.

    Photometric transforms expect values from 0 to 1. They see each band scaled so that the 2nd and
    98th percentile of the training pixels are 0 and 1, values beyond clipped; what they change is then
    scaled back and added to the raw values, so untouched pixels keep theirs.
    """

    def __init__(self, config: AugmentConfig, *, seed: int) -> None:
        """Build the transforms.

        Args:
            config: Which ones.
            seed: Seed of the run.

        Raises:
            ConfigError: A transform or one of its arguments is unknown.
        """
        self._symmetries = config.flips_and_rotations
        self._steps = [(step.name, _build(step)) for step in config.more]
        self._seed = seed
        self._generator = torch.Generator()
        self._drawing: tuple[int, int] | None = None
        self._low = torch.zeros(0)
        self._span = torch.ones(0)

    def prepare(self, statistics: Statistics, chip_size: int) -> None:
        """Learn the value ranges, and try every transform once on a chip of the right shape.

        Raises:
            ConfigError: A transform cannot take this number of bands, or changes the chip's size.
        """
        low = torch.tensor([band.low for band in statistics.bands], dtype=torch.float32)
        high = torch.tensor([band.high for band in statistics.bands], dtype=torch.float32)
        self._low = low[None, :, None, None]
        self._span = (high - low).clamp_min(1e-6)[None, :, None, None]
        size = (2, chip_size, chip_size)
        trial: Batch = {
            "image": torch.rand(2, len(low), chip_size, chip_size) * self._span + self._low,
            "valid": torch.ones(size, dtype=torch.bool),
            "mask": torch.zeros(size, dtype=torch.int64),
            "id": ["", ""],
        }
        for name, step in self._steps:
            with torch.random.fork_rng(devices=[]):
                self._apply(name, step, trial)

    def __call__(self, batch: Batch, *, epoch: int, rank: int) -> Batch:
        """Augment a batch; the draws follow from seed, epoch, rank and the batch's place in the epoch.

        Args:
            batch: Chips with `mask`; it is not changed.
            epoch: Number of the epoch.
            rank: Number of the process.
        """
        if self._drawing != (epoch, rank):
            self._drawing = (epoch, rank)
            self._generator.manual_seed(
                int(np.random.SeedSequence([self._seed, epoch, rank]).generate_state(1)[0])
            )
        if self._symmetries:
            batch = flip_and_rotate(batch, self._draw(_SYMMETRIES, batch["image"].shape[0]))
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
                f"The augmentation {name} does not take chips of {batch['image'].shape[1]} bands and "
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

        bands = batch["image"].shape[1]
        # `valid` travels with the image too: where it is no longer 1, values were mixed with invalid ones.
        stack = torch.cat([batch["image"], batch["valid"][:, None].float()], dim=1)
        moved, mask = AugmentationSequential(step, data_keys=["input", "mask"])(
            stack, batch["mask"][:, None].float()
        )
        valid = moved[:, bands] > 0.999
        return _with(batch, moved[:, :bands], mask[:, 0].round().long(), valid)

    def _recolor(self, step: nn.Module, batch: Batch) -> Batch:
        image = batch["image"]
        low, span = self._low.to(image), self._span.to(image)
        scaled = ((image - low) / span).clamp(0, 1)
        changed = image + (step(scaled) - scaled) * span
        return _with(batch, changed, batch["mask"], batch["valid"])


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
    image, mask, valid = batch["image"].clone(), batch["mask"].clone(), batch["valid"].clone()
    for tensor in (image, mask, valid):
        for place, number in enumerate(symmetries.tolist()):
            turned = torch.rot90(tensor[place], number % 4, dims=(-2, -1))
            tensor[place] = turned.flip(-1) if number >= 4 else turned
    return {**batch, "image": image, "mask": mask, "valid": valid}


def _with(batch: Batch, image: Tensor, mask: Tensor, valid: Tensor) -> Batch:
    return {
        **batch,
        "image": image.masked_fill(~valid[:, None], 0),
        "mask": mask.masked_fill(~valid, IGNORE),
        "valid": valid,
    }


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
