"""What every model of eoseg is to the rest of the program."""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.normalize import Normalize, Rescale
from eoseg.models.scaling import ScaleLogits, require_scaling
from eoseg.recipe import Scaling

type Kind = Literal["segmentation", "classification", "change", "series", "pretraining"]
"""What a network takes and gives; see `Network`."""


class Network(nn.Module):
    """Raw pixel values in, logits out: normalisation followed by a model (the body).

    | kind | image | logits |
    |---|---|---|
    | segmentation | `(B, C, H, W)` | `(B, K, H, W)` |
    | classification | `(B, C, H, W)` | `(B, K)` |
    | change | `(B, 2, C, H, W)`, earlier date first | `(B, K, H, W)` |
    | series | `(B, T, C, H, W)`, with the days of the year | `(B, K, H, W)` |
    | pretraining | `(B, C, H, W)` | standardised values `(B, C, H, W)` |

    A body takes standardised values in which invalid pixels are 0, the mean; where it says `wants_raw`, it
    takes raw values in which they are the band's mean.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        bands: Sequence[str],
        output_stride: int,
        kind: Kind = "segmentation",
        regression: bool = False,
    ) -> None:
        """Put the normalisation before a model.

        Args:
            body: Takes heights and widths that are multiples of `output_stride`.
            bands: Names of the C bands, in order.
            output_stride: Heights and widths are multiples of this. Shifting the image by it shifts the
                inner part of the logits by it, where the model is translation-equivariant at all.
            kind: What the body takes and gives.
            regression: Whether the output is a quantity: the last layer then takes it to its own unit.
        """
        super().__init__()
        if output_stride < 1:
            raise ConfigError(f"output_stride is a positive number of pixels, found {output_stride}.")
        self.normalize = Normalize(bands)
        self.body = body
        self.rescale = Rescale() if regression else None
        self.calibration: ScaleLogits | None = None
        self.output_stride = output_stride
        self.kind: Kind = kind
        # With the channels of a pixel side by side, a training step of a U-Net on a CPU takes a fifth less.
        self.to(memory_format=torch.channels_last)

    def check_size(self, height: int, width: int) -> None:
        """Refuse sizes that are no multiples of the output stride.

        Raises:
            ConfigError: With the nearest sizes that fit.
        """
        for name, size in (("height", height), ("width", width)):
            if size < 1 or size % self.output_stride:
                below = size // self.output_stride * self.output_stride
                above = below + self.output_stride
                nearest = f"{below} or {above}" if below else str(above)
                raise ConfigError(
                    f"The network takes heights and widths that are multiples of {self.output_stride} "
                    f"pixels, found {name} {size}. The nearest {name} that fits: {nearest}."
                )

    def forward(self, image: Tensor, valid: Tensor, days: Tensor | None = None) -> Tensor:
        """Map raw pixel values to logits.

        Args:
            image: `(B, C, H, W)`, or `(B, T, C, H, W)` for change and series; raw values.
            valid: Bool `(B, H, W)` or `(B, T, H, W)`, True where `image` has values.
            days: Day of the year of each date, `(B, T)`, 1 to 366; series only.

        Returns:
            Logits `(B, K, H, W)`, or `(B, K)` of chips; a quantity in its unit.

        Raises:
            ConfigError: Height or width is no multiple of `output_stride`, the days are missing, or a
                network with global pooling is to be trained on a batch of one chip.
            BandError: The image has another number of bands.
            CheckpointError: The normalisation was never set.
        """
        self.check_size(*image.shape[-2:])
        standardised = self.prepare(image, valid)
        try:
            logits = self._run(standardised, valid, days)
        except ValueError as error:
            # torch's batch norm, where a layer has pooled each chip to a single pixel
            if "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                "This network pools each chip to one pixel and cannot be trained on a batch of a single chip "
                "(batch normalisation needs at least 2). Use a batch_size of 2 or more and drop the last, "
                "smaller batch, or take arch unet or fcn."
            ) from error
        return self.finish(logits)

    def finish(self, logits: Tensor) -> Tensor:
        """What follows the body: a quantity gets its unit, logits of a calibrated network are scaled."""
        if self.rescale is not None:
            logits = cast(Tensor, self.rescale(logits))
        return logits if self.calibration is None else cast(Tensor, self.calibration(logits))

    def calibrate(self, scaling: Scaling | None, num_classes: int) -> None:
        """Scale the logits from now on, or leave them as the body gives them.

        Args:
            scaling: The numbers.
            num_classes: K.

        Raises:
            CheckpointError: The numbers are for another K.
        """
        if scaling is None:
            self.calibration = None
            return
        require_scaling(scaling, num_classes)
        self.calibration = ScaleLogits(scaling).to(self.normalize.mean.device)

    def prepare(self, image: Tensor, valid: Tensor) -> Tensor:
        """What the body takes: standardised values, or raw ones where it wants them."""
        standardised = cast(Tensor, self.normalize(image, valid))  # refused here, where it does not fit
        if getattr(self.body, "wants_raw", False):
            return torch.where(valid.unsqueeze(-3), image.float(), self.normalize.mean.view(-1, 1, 1))
        if standardised.ndim == 4:
            standardised = standardised.contiguous(memory_format=torch.channels_last)
        return standardised

    def flat(self, steps: int = 1) -> nn.Module:
        """The body as a module of one input `(B, T*C, H, W)`, to be tried out on strips and small images.

        Args:
            steps: T.
        """
        return self.body if self.takes_one_date else _Flat(self.body, self.kind, steps)

    @property
    def takes_one_date(self) -> bool:
        """Whether the body takes images of one date."""
        return self.kind not in ("change", "series")

    def _run(self, image: Tensor, valid: Tensor, days: Tensor | None) -> Tensor:
        dates = image.ndim == 5
        if dates == self.takes_one_date:
            expected = "(B, C, H, W)" if self.takes_one_date else "(B, T, C, H, W)"
            raise ConfigError(
                f"A network for {self.kind} takes images {expected}; found shape {tuple(image.shape)}."
            )
        if self.kind == "series":
            if days is None:
                raise ConfigError("A network for series needs the day of the year of each date; found none.")
            return cast(Tensor, self.body(image, valid, days))
        if self.kind == "change" and getattr(self.body, "wants_raw", False):
            return cast(Tensor, self.body(image, valid))  # it judges gaps itself
        return cast(Tensor, self.body(image))


class _Flat(nn.Module):
    """A body for several dates that takes them one after the other in the channels."""

    def __init__(self, body: nn.Module, kind: Kind, steps: int) -> None:
        super().__init__()
        self.body = body
        self.kind = kind
        self.steps = steps

    def forward(self, image: Tensor) -> Tensor:
        batch, _, height, width = image.shape
        dated = image.reshape(batch, self.steps, -1, height, width)  # (B, T, C, H, W)
        if self.kind == "change":
            return cast(Tensor, self.body(dated))
        valid = torch.ones_like(dated[:, :, 0], dtype=torch.bool)
        days = torch.linspace(1.0, 365.0, self.steps, device=image.device).expand(batch, -1)
        return cast(Tensor, self.body(dated, valid, days))
