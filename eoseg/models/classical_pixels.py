"""Estimators of scikit-learn as bodies of networks that see pixels, at one date or at several."""

from typing import override

from torch import Tensor

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError
from eoseg.models.classical_body import ClassicalBody
from eoseg.models.classical_methods import Method
from eoseg.models.dimensions import Dimensions
from eoseg.models.features import PixelFeatures, flatten_series


class PixelBody(ClassicalBody):
    """Learns from pixels and their surroundings."""

    def __init__(self, dims: Dimensions, method: Method, *, features: str = "bands", window: int = 0) -> None:
        """Choose the features.

        Args:
            dims: Sizes of input and output.
            method: What learns from the features.
            features: "bands", or "texture" for mean, deviation and gradient of the surroundings too; see
                `eoseg.models.features.PixelFeatures`.
            window: Of texture: side of the surroundings in pixels, odd; 0 for 9.

        Raises:
            ConfigError: An option has another value, or a method for classes is to give a single number.
        """
        if dims.classes == 1 and not method.regression:
            raise ConfigError(
                f"{method.name} gives classes, found one output. For a quantity take random_forest_regressor "
                "or gradient_boosting_regressor."
            )
        super().__init__(dims, method)
        self.features = PixelFeatures(features, window)
        self.halo = self.features.halo
        """Pixels around a pixel that its logits depend on: with them a tile is exact."""

    @override
    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:
        labelled = valid & (~target.isnan() if self.method.regression else target != IGNORE)
        self.keep_pixels(labelled, target, lambda chosen: self.features.at(image, chosen))

    def forward(self, image: Tensor) -> Tensor:
        """Map standardised values `(B, C, H, W)` to logits `(B, K, H, W)`, or to standardised quantities."""

        def features(images: slice, rows: slice) -> Tensor:
            top, bottom = max(rows.start - self.halo, 0), min(rows.stop + self.halo, height)
            whole = self.features(image[images, :, top:bottom])
            return whole[:, :, rows.start - top : rows.stop - top]

        batch, channels, height, width = image.shape
        return self.map_pixels(batch, height, width, features, self.features.count(channels))


class SeriesBody(ClassicalBody):
    """Learns from the values of all dates of a pixel, gaps filled; see `flatten_series`.

    Each place in the table stands for one date, so all samples have the same dates.
    """

    halo = 0

    @override
    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:
        times = self._check(image, days)
        labelled = valid.any(dim=1) & (target != IGNORE)

        def features(chosen: Tensor) -> Tensor:
            series = image.permute(0, 3, 4, 1, 2)[chosen]  # (n, T, C)
            seen = valid.permute(0, 2, 3, 1)[chosen]  # (n, T)
            filled = flatten_series(
                series[..., None, None], seen[..., None, None], times[chosen.nonzero()[:, 0]]
            )
            return filled.flatten(1)  # (n, T * C)

        self.keep_pixels(labelled, target, features)

    def forward(self, image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        """Map a series to logits.

        Args:
            image: Standardised values `(B, T, C, H, W)`.
            valid: Bool `(B, T, H, W)`.
            days: Day of the year `(B, T)`.

        Returns:
            `(B, K, H, W)`.

        Raises:
            ConfigError: The series has another number of dates.
        """
        days = self._check(image, days)
        batch, steps, channels, height, width = image.shape

        def features(images: slice, rows: slice) -> Tensor:
            return flatten_series(image[images, :, :, rows], valid[images, :, rows], days[images])

        return self.map_pixels(batch, height, width, features, steps * channels)

    def _check(self, image: Tensor, days: Tensor | None) -> Tensor:
        if image.shape[1] != self.dims.steps or days is None:
            raise ConfigError(
                f"{self.method.name} takes series of {self.dims.steps} dates with their days, found "
                f"{image.shape[1]} dates{'' if days is not None else ' without days'}. Give the same dates, "
                "or take a model such as ltae."
            )
        return days
