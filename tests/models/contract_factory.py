"""Every entry of MODELS as a small network, with images of its kind and, where it is fitted, a sample."""

from dataclasses import dataclass
from typing import Any

import torch
from network_factory import BANDS, make_statistics
from torch import Tensor

from eoseg.models import MODELS, Network, build_network
from eoseg.models.change_post import PostClassification
from eoseg.models.classical_methods import METHODS, REGRESSORS
from eoseg.models.fitted import FittedBody
from eoseg.recipe import Plain, Recipe, Schema, parse_classes

CLASSES = 4
STEPS = 5
SMALL: dict[str, dict[str, Plain]] = {
    "segmentation/unet": {"depth": 3, "channels": 4},
    "segmentation/plain_unet": {"depth": 3, "width": 4},
    "segmentation/fcn": {"channels": 8},
    "segmentation/deeplabv3plus": {"channels": 8},
    "segmentation/upernet": {"channels": 8},
    "segmentation/segformer": {"encoder": "mit_b0", "channels": 8},
    "classification/vgg": {"depth": 11},
    "classification/vit": {"patch": 16},
    "classification/timm": {"name": "mobilenetv3_small_050"},
    "change/fc_siam_conc": {"depth": 3, "channels": 4},
    "change/fc_siam_diff": {"depth": 3, "channels": 4},
    "change/changevit": {"patch": 16, "channels": 8},
    "series/utae": {"channels": 4, "width": 32, "heads": 8},
    "series/convlstm": {"hidden": 8},
    "pretraining/autoencoder": {"depth": 3, "channels": 4},
}
"""Options that make a model quick; one that is not named here is built as it comes."""

_QUICK: dict[str, Plain] = {"trees": 8, "rounds": 8}
_RAW_MEAN, _RAW_STD = 100.0, 20.0


@dataclass(frozen=True)
class Case:
    """One entry of MODELS."""

    kind: Any
    name: str

    @property
    def is_change_baseline(self) -> bool:
        """Whether it knows change and no change alone."""
        return self.key in {
            "change/image_differencing",
            "change/change_vector_analysis",
            "change/post_classification",
        }

    @property
    def key(self) -> str:
        """Kind and name."""
        return f"{self.kind}/{self.name}"

    @property
    def is_regression(self) -> bool:
        """Whether it estimates a quantity."""
        return self.name.endswith("_regressor")

    @property
    def is_fitted(self) -> bool:
        """Whether it learns in one go."""
        return self.name in {*METHODS, *REGRESSORS} or self.is_change_baseline

    def outputs(self, bands: int) -> int:
        """K."""
        if self.kind == "pretraining":
            return bands
        return 1 if self.is_regression else 2 if self.is_change_baseline else CLASSES

    def options(self, bands: int) -> dict[str, Plain]:
        """Small ones."""
        if self.name == "post_classification":
            return {"inner": _inner_recipe(BANDS[bands]).to_dict()}
        known = MODELS[self.kind][self.name]
        names = known.__signature__.parameters if hasattr(known, "__signature__") else ()
        quick = {name: value for name, value in _QUICK.items() if name in names}
        if self.name.endswith("gradient_boosting_regressor"):
            quick["rounds"] = 40
        return {**quick, **SMALL.get(self.key, {})}

    def build(self, bands: int, *, chip_size: int = 64) -> Network:
        """The network with fixed random weights; one that is fitted has learned nothing yet."""
        torch.manual_seed(0)
        steps = {"change": 2, "series": STEPS}.get(self.kind, 1)
        network = build_network(
            self.name,
            kind=self.kind,
            bands=BANDS[bands],
            num_classes=self.outputs(bands),
            args=self.options(bands),
            chip_size=chip_size,
            steps=steps,
            regression=self.is_regression,
        )
        network.normalize.set_statistics(make_statistics(BANDS[bands]))
        return network

    def ready(self, bands: int) -> Network:
        """The network, fitted where it needs to be, in evaluation mode."""
        network = self.build(bands)
        if isinstance(network.body, PostClassification):
            network.body.inner.normalize.set_statistics(make_statistics(BANDS[bands]))
        if isinstance(network.body, FittedBody):
            image, valid, days, target = self.sample(bands)
            prepared = network.prepare(image, valid)
            network.body.collect(prepared, valid, target, days=days)
            network.body.fit()
        return network.eval()

    def smallest(self, network: Network) -> tuple[int, int]:
        """Height and width of the smallest image that this network takes, chips apart."""
        side = 64 if self.kind == "classification" else network.output_stride
        return side, side

    def images(
        self, bands: int, size: tuple[int, int], *, batch: int = 2
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Raw values around the mean with a few invalid pixels, which hold NaN; valid; days of series."""
        generator = torch.Generator().manual_seed(0)
        dates = {"change": (2,), "series": (STEPS,)}.get(self.kind, ())
        image = _RAW_MEAN + _RAW_STD * torch.randn(batch, *dates, bands, *size, generator=generator)
        valid = torch.rand(batch, *dates, *size, generator=generator) > 0.05
        return image.masked_fill(~valid.unsqueeze(-3), float("nan")), valid, self._days(batch)

    def sample(self, bands: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Images whose classes are levels of brightness, all but free of noise; with their targets."""
        rows, cols = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
        level = target = (2 * (rows >= 8) + (cols >= 8)).expand(2, 16, 16)
        if self.kind == "classification":
            target = torch.arange(96) % CLASSES
            level = target.view(-1, 1, 1).expand(-1, 16, 16)
        elif self.kind == "change":
            target = (level == 3).long()  # in a quarter stripes trade places, which leaves mean and deviation
            stripes = (cols % 2).expand_as(target)
            level = 3 * torch.stack([stripes, (stripes + target) % 2], dim=1)  # (B, 2, H, W)
        elif self.kind == "series":
            level = level.unsqueeze(1).expand(-1, STEPS, -1, -1)  # (B, T, H, W)
        elif self.is_regression:
            target = target - 1.5
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(*level.shape[:-2], bands, *level.shape[-2:], generator=generator)
        spread = 0.05 * (1 + level.unsqueeze(-3))
        image = _RAW_MEAN + _RAW_STD * (level.unsqueeze(-3) - 1.5 + spread * noise)
        return image, torch.ones(level.shape, dtype=torch.bool), self._days(len(image)), target

    def _days(self, batch: int) -> Tensor | None:
        return torch.linspace(10.0, 350.0, STEPS).expand(batch, -1) if self.kind == "series" else None


CASES = [Case(kind, name) for kind, models in MODELS.items() for name in models]


def _inner_recipe(bands: list[str]) -> Recipe:
    return Recipe(
        task="SegmentationTask",
        schema=Schema(tuple(bands), parse_classes(["dark", "bright"])),
        statistics=make_statistics(bands),
        network={"kind": "segmentation", "arch": "softmax_regression", "args": {}},
        chip_size=16,
        output_stride=1,
    )
