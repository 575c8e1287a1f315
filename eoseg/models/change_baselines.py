"""Change without gradients: differences of pixels, with a threshold that the differences give themselves.

Each date's bands are brought to mean 0 and standard deviation 1 by that date's own values, so that haze,
season or another sensor gain are no change. Labels are not used: this is what a network has to beat.
"""

import logging
import math

import numpy as np
import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError, DataError
from eoseg.models.dimensions import Dimensions
from eoseg.models.fitted import FittedBody
from eoseg.models.options import require_bool, require_one_of, require_whole
from eoseg.models.reservoir import Reservoir

logger = logging.getLogger(__name__)

_BINS = 256  # the grey levels of Otsu's paper; scikit-image takes as many


def image_differencing(
    dims: Dimensions,
    *,
    band: int = 0,
    difference: str = "difference",
    standardize: bool = True,
    window: int = 1,
    max_samples: int = 1_000_000,
) -> nn.Module:
    """Change where one band differs by more than Otsu's threshold.

    Singh 1989, https://doi.org/10.1080/01431168908903939; threshold of Otsu 1979,
    https://doi.org/10.1109/TSMC.1979.4310076.

    Args:
        band: Number of the band, counted from 1; 0 takes the mean over all bands.
        difference: "difference", or "log_ratio" for positive values with multiplicative noise (SAR intensity;
            not for decibels, which are logarithms already).
        standardize: Whether each date is brought to mean 0 and standard deviation 1 first. Better off for a
            calibrated sensor whose values are the same on both dates, such as SAR.
        window: Odd size in pixels of the mean filter that the bands go through first; 1 for none.
        max_samples: Pixels that are kept to find the threshold.
    """
    require_whole("band", band, 0, dims.channels)
    return Differencing(
        dims,
        band=band,
        difference=difference,
        standardize=standardize,
        window=window,
        max_samples=max_samples,
    )


def change_vector_analysis(
    dims: Dimensions,
    *,
    difference: str = "difference",
    standardize: bool = True,
    window: int = 1,
    max_samples: int = 1_000_000,
) -> nn.Module:
    """Change where the vector of all bands' differences is longer than Otsu's threshold.

    Bruzzone and Prieto 2000, https://doi.org/10.1109/36.843009; threshold of Otsu 1979,
    https://doi.org/10.1109/TSMC.1979.4310076.

    Args:
        difference: As for `image_differencing`.
        standardize: As for `image_differencing`.
        window: As for `image_differencing`.
        max_samples: As for `image_differencing`.
    """
    return Differencing(
        dims,
        band=None,
        difference=difference,
        standardize=standardize,
        window=window,
        max_samples=max_samples,
    )


class Differencing(FittedBody):
    """The body of both methods: a magnitude per pixel, compared with a threshold.

    The logits are 0 and `slope * (magnitude - threshold)`: the probability of change is one half at the
    threshold. The slope is that of the posterior of two normal distributions with one variance, taken from
    the two groups that the threshold makes.
    """

    wants_raw = True
    has_own_threshold = True

    center: Tensor
    scale: Tensor
    floor: Tensor
    threshold: Tensor
    slope: Tensor

    def __init__(
        self,
        dims: Dimensions,
        *,
        band: int | None,
        difference: str,
        standardize: bool,
        window: int,
        max_samples: int,
    ) -> None:
        """Make a body that knows no threshold yet.

        Args:
            dims: Of two classes (unchanged, changed) and two dates.
            band: Counted from 1; 0 for the mean of all bands, None for the length of the vector.
            difference: See `image_differencing`.
            standardize: See `image_differencing`.
            window: See `image_differencing`.
            max_samples: See `image_differencing`.
        """
        super().__init__()
        require_binary(dims)
        require_one_of("difference", difference, ("difference", "log_ratio"))
        require_bool("standardize", standardize)
        require_whole("window", window, 1)
        if window % 2 == 0:
            raise ConfigError(f"window is an odd number of pixels, found {window}. Take {window + 1}.")
        require_whole("max_samples", max_samples, 2)
        self.band = band
        self.is_log = difference == "log_ratio"
        self.standardize = standardize
        self.window = window
        self._sample = Reservoir(max_samples, seed=0)
        self.register_buffer("center", torch.zeros(2, dims.channels))
        self.register_buffer("scale", torch.ones(2, dims.channels))
        self.register_buffer("floor", torch.tensor(0.0))
        self.register_buffer("threshold", torch.tensor(0.0))
        self.register_buffer("slope", torch.tensor(1.0))

    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:  # noqa: ARG002
        """Keep pixels that are valid on both dates, labelled or not.

        Args:
            image: Raw values `(B, 2, C, H, W)`.
            valid: Bool `(B, 2, H, W)`.
            target: Not used.
            days: Not used.

        Raises:
            DataError: A log ratio is asked of negative values.
        """
        smooth = _mean_filter(image, valid, self.window)
        both = valid.all(dim=1)  # (B, H, W)
        pixels = smooth.permute(0, 3, 4, 1, 2)[both]  # (n, 2, C)
        if self.is_log and bool((pixels < 0).any()):
            raise DataError(
                f"log_ratio takes values of at least 0, found {pixels.min().item():g}. Set difference: "
                "difference, which is right for decibels too."
            )
        chosen = self._sample.draw(len(pixels))
        rows = pixels.cpu().numpy()[chosen]
        self._sample.add(rows, np.zeros(len(rows)))  # labels play no part

    def fit(self, class_weights: list[float] | None = None) -> None:
        """Find mean and deviation of each date, then the threshold.

        Raises:
            ConfigError: Class weights are given.
            DataError: No pixel is valid on both dates, or all differ alike.
        """
        if class_weights is not None:
            raise ConfigError("A threshold of differences takes no class weights. Set class_weights to null.")
        sample = self._sample.take()
        if sample is None:
            raise DataError(
                "No pixel is valid on both dates, so there is no difference to find a threshold for. Check "
                "the nodata values of the two images."
            )
        pixels = torch.from_numpy(sample[0]).to(self.center.device)  # (n, 2, C)
        if self.is_log:
            positive = pixels[pixels > 0]
            self.floor.fill_(positive.min() if len(positive) else 1.0)
        values = self._logarithm(pixels)
        if self.standardize:
            deviation, mean = torch.std_mean(values.double(), dim=0, correction=0)  # (2, C)
            self.center.copy_(mean)
            self.scale.copy_(torch.where(deviation > 0, deviation, 1.0))
        magnitude = self._magnitude(values)  # (n,)
        threshold, slope = otsu(magnitude)
        self.threshold.fill_(threshold)
        self.slope.fill_(slope)
        self.is_fitted.fill_(True)
        logger.info(
            "Threshold of change %.4g from %d pixels; %.1f %% of them lie above.",
            threshold,
            len(pixels),
            100 * (magnitude >= threshold).double().mean().item(),
        )

    def forward(self, image: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map raw values `(B, 2, C, H, W)` to logits `(B, 2, H, W)`.

        Args:
            image: Finite where valid.
            valid: Bool `(B, 2, H, W)`: the mean filter leaves out the rest. None where all are valid.
        """
        self.require_fitted()
        values = self._logarithm(_mean_filter(image, valid, self.window))
        magnitude = self._magnitude(values.permute(0, 3, 4, 1, 2))  # (B, H, W)
        changed = self.slope * (magnitude - self.threshold)
        return torch.stack([torch.zeros_like(changed), changed], dim=1)  # (B, 2, H, W)

    def _logarithm(self, values: Tensor) -> Tensor:
        # black pixels count as the smallest positive value of the sample; clamp keeps NaN
        return values.clamp(min=self.floor).log() if self.is_log else values

    def _magnitude(self, values: Tensor) -> Tensor:
        """Map `(..., 2, C)` to `(...)`."""
        scaled = (values - self.center) / self.scale
        change = scaled[..., 1, :] - scaled[..., 0, :]  # (..., C)
        if self.band is None:
            length: Tensor = torch.linalg.vector_norm(change, dim=-1)
            return length
        return (change[..., self.band - 1] if self.band else change.mean(dim=-1)).abs()


def require_binary(dims: Dimensions) -> None:
    """Refuse anything but two dates and the classes unchanged and changed.

    Raises:
        ConfigError: With what was found.
    """
    if dims.steps != 2:
        raise ConfigError(
            f"A model of change takes 2 dates, found {dims.steps}. Name an earlier and a later."
        )
    if dims.classes != 2:
        raise ConfigError(
            f"This method tells 2 classes apart (unchanged, changed), found {dims.classes}. Take a network, "
            "such as fc_ef, for more."
        )


def otsu(values: Tensor) -> tuple[float, float]:
    """The threshold between two groups of values, from a histogram of 256 bins.

    Otsu 1979, https://doi.org/10.1109/TSMC.1979.4310076: the cut with the largest variance between the
    groups. As in scikit-image, the threshold is the middle of the last bin of the lower group.

    Returns:
        The threshold, and the slope of the log odds there: distance of the group means over the variance
        within the groups.

    Raises:
        DataError: All values are the same.
    """
    numbers = values.double().cpu()  # histc is not deterministic on a GPU
    low, high = numbers.min().item(), numbers.max().item()
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        raise DataError(
            f"All pixels differ by the same amount between the two dates ({low:g} to {high:g}), so there is "
            "no threshold. Check that the two images are not copies of each other."
        )
    counts = torch.histc(numbers, bins=_BINS, min=low, max=high)
    width = (high - low) / _BINS
    middles = low + width * (torch.arange(_BINS, dtype=torch.float64) + 0.5)
    below = counts.cumsum(0)[:-1]
    above = len(numbers) - below
    sums = (counts * middles).cumsum(0)
    distance = (sums[-1] - sums[:-1]) / above - sums[:-1] / below
    between = below * above * distance.square()  # n^2 times the variance between the groups
    best = int(between.argmax())
    total = ((middles - sums[-1] / len(numbers)).square() * counts).sum() / len(numbers)
    within = (total - between[best] / len(numbers) ** 2).clamp(min=width**2 / 12)  # at least that of a bin
    return middles[best].item(), (distance[best] / within).item()


def _mean_filter(image: Tensor, valid: Tensor | None, window: int) -> Tensor:
    """Mean over the valid pixels of a window: `(B, 2, C, H, W)` to the same shape, float32."""
    filled = image.float() if valid is None else image.float().masked_fill(~valid.unsqueeze(2), 0.0)
    if window == 1:
        return filled
    seen = torch.ones_like(filled[:, :, :1]) if valid is None else valid.unsqueeze(2).float()

    def total(values: Tensor) -> Tensor:
        pooled: Tensor = nn.functional.avg_pool2d(
            values.flatten(0, 1), window, stride=1, padding=window // 2, divisor_override=1
        )
        return pooled.view(values.shape)

    return total(filled) / total(seen).clamp(min=1)
