"""Networks with a known reach, recipes that fit them, and the plain whole-image result."""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Kind, Network
from eoseg.predict import PredictOptions, Rank
from eoseg.predict.preparation import prepare
from eoseg.predict.work import Work
from eoseg.recipe import (
    IGNORE,
    BandStatistics,
    Quantity,
    Recipe,
    Schema,
    Statistics,
    parse_classes,
)

BANDS = ("B02", "B03", "B04")
CLASSES = ("water", "wood", "field", "town")


def make_recipe(
    bands: Sequence[str] = BANDS,
    *,
    dtype: str = "uint8",
    values: tuple[float, float, float, float] = (0, 10, 245, 255),
    stride: int = 1,
    chip_size: int = 64,
    threshold: float | None = None,
    classes: Sequence[str] = CLASSES,
    quantity: Quantity | None = None,
    **schema: object,
) -> Recipe:
    """A recipe whose bands had minimum, 2nd and 98th percentile and maximum `values`.

    With a quantity there are no classes, and labels of mean 10 and standard deviation 5.
    """
    minimum, low, high, maximum = values
    entries = [
        BandStatistics(name, (low + high) / 2, (high - low) / 4, minimum, low, high, maximum)
        for name in bands
    ]
    return Recipe(
        task="SegmentationTask",
        schema=Schema(
            tuple(bands), () if quantity else parse_classes(list(classes)), quantity=quantity, **schema
        ),
        statistics=Statistics(
            tuple(entries),
            dtype,
            1000,
            1000,
            (1000,) if quantity else (250,) * len(classes),
            target=BandStatistics(quantity.name, 10, 5, 0, 1, 19, 20) if quantity else None,
        ),
        network={"kind": "segmentation", "arch": "unet", "args": {}},
        chip_size=chip_size,
        output_stride=stride,
        threshold=threshold,
    )


def make_network(
    body: nn.Module, *, stride: int = 1, recipe: Recipe | None = None, kind: Kind | None = None
) -> Network:
    """A network with a recipe's statistics, ready to be called; of the kind that the recipe's dates need."""
    chosen = recipe or make_recipe()
    kinds: dict[str, Kind] = {"single": "segmentation", "pair": "change", "series": "series"}
    network = Network(
        body,
        bands=chosen.schema.bands,
        output_stride=stride,
        kind=kind or kinds[chosen.schema.time],
        regression=chosen.schema.quantity is not None,
    )
    network.normalize.set_statistics(chosen.statistics)
    if network.rescale is not None:
        network.rescale.set_statistics(chosen.statistics)
    return network.eval()


class Convolutions(nn.Module):
    """3 x 3 convolutions: its reach is their number, its stride 1."""

    def __init__(self, layers: int, *, channels: int = 3, classes: int = 4, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        widths = [channels, *[8] * (layers - 1), classes]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)
        )
        for layer in self.layers:  # far pixels must matter for the comparison to mean anything
            nn.init.normal_(layer.weight, std=(2 / layer.weight[0].numel()) ** 0.5)

    def forward(self, image: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            image = layer(image).relu()
        return self.layers[-1](image)


class Pooled(nn.Module):
    """Convolution, halving, convolution, doubling: stride 2."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 4, 3, padding=1),
            nn.Upsample(scale_factor=2),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


class Constant(nn.Module):
    """Class 2 everywhere."""

    def forward(self, image: Tensor) -> Tensor:
        logits = image.new_zeros(len(image), 4, *image.shape[2:])
        logits[:, 2] = 1
        return logits


class Brightness(nn.Module):
    """The class says how bright the first band is: four equal steps of the standardised values."""

    def forward(self, image: Tensor) -> Tensor:
        centres = torch.tensor([-1.5, -0.5, 0.5, 1.5]).to(image).view(1, 4, 1, 1)
        return -((image[:, :1] - centres) ** 2)


class Global(nn.Module):
    """Each pixel against the mean of the whole image."""

    def forward(self, image: Tensor) -> Tensor:
        value = image[:, :1] - image[:, :1].mean(dim=(2, 3), keepdim=True)
        return torch.cat([value, -value, value - 1, -value - 1], dim=1)


class Ramp(nn.Module):
    """The result depends on the place in the image, without looking at other pixels."""

    def forward(self, image: Tensor) -> Tensor:
        rows = torch.linspace(-1, 1, image.shape[2]).to(image).view(1, 1, -1, 1)
        value = image[:, :1] + rows
        return torch.cat([value, -value, value, -value], dim=1)


class PairConvolutions(nn.Module):
    """`Convolutions` of both dates, subtracted: change between two dates."""

    def __init__(self, layers: int, *, classes: int = 4) -> None:
        super().__init__()
        self.one = Convolutions(layers, classes=classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.one(image[:, 1]) - self.one(image[:, 0])


class Later(nn.Module):
    """`Brightness` of the later date where the earlier one is dark, else class 0: order matters."""

    def forward(self, image: Tensor) -> Tensor:
        logits = Brightness()(image[:, 1])
        dark = image[:, 0, :1] < 0
        first = torch.zeros_like(logits)
        first[:, 0] = 1
        return torch.where(dark, logits, first)


class SeriesConvolutions(nn.Module):
    """The mean over a pixel's valid dates, weighed by the day of the year, then convolutions."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.after = Convolutions(layers)

    def forward(self, image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        weight = (valid * (days / 366)[:, :, None, None]).unsqueeze(2)  # (B, T, 1, H, W)
        return self.after((image * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-6))


class SeriesOfChips(nn.Module):
    """Leaves out dates that are valid nowhere in the image, so that the result depends on its size."""

    def forward(self, image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        seen = valid.flatten(2).any(dim=2)[:, :, None, None, None]  # (B, T, 1, 1, 1)
        mean = (image * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
        return Brightness()(mean)


class ThreeDates(SeriesConvolutions):
    """Takes series of three dates alone."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        if image.shape[1] != 3:
            raise ConfigError("needs 3 dates")
        return super().forward(image, valid, days)


class ChipBrightness(nn.Module):
    """One class per chip: how bright the first band is in the mean over the chip."""

    def forward(self, image: Tensor) -> Tensor:
        return Brightness()(3 * image.mean(dim=(2, 3), keepdim=True))[:, :, 0, 0]


class FittedWindow(FittedBody):
    """A stand-in for a forest: steps of the mean over a window of 5 pixels, which let no NaN pass."""

    halo = 2

    def __init__(self) -> None:
        super().__init__()
        self.is_fitted.fill_(True)

    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:
        raise NotImplementedError

    def fit(self, class_weights: list[float] | None = None) -> None:
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        mean = nn.functional.avg_pool2d(image[:, :1], 5, stride=1, padding=2)
        edges = torch.tensor([-0.5, 0.0, 0.5])
        number = torch.bucketize(mean[:, 0].nan_to_num().contiguous(), edges)  # (B, H, W)
        return nn.functional.one_hot(number, 4).permute(0, 3, 1, 2).float()


class NotANumber(nn.Module):
    """A network whose training diverged."""

    def forward(self, image: Tensor) -> Tensor:
        return image.new_full((len(image), 4, *image.shape[2:]), torch.nan)


def whole_logits(
    network: Network, image: np.ndarray, valid: np.ndarray, days: Sequence[float] | None = None
) -> torch.Tensor:
    """Logits `(K, H, W)` of a whole image in one pass, filled up to the stride with invalid pixels.

    The image may have a first axis of dates, and so has valid then.
    """
    height, width = valid.shape[-2:]
    below, right = (-size % network.output_stride for size in (height, width))
    more = ((0, below), (0, right))
    padded = np.pad(image.astype(np.float32), (*[(0, 0)] * (image.ndim - 2), *more))
    inside = np.pad(valid, (*[(0, 0)] * (valid.ndim - 2), *more))
    dated = None if days is None else torch.tensor([days], dtype=torch.float32)
    with torch.inference_mode():
        logits = network(torch.from_numpy(padded)[None], torch.from_numpy(inside)[None], dated)[0]
    return logits[:, :height, :width]


def whole_image(network: Network, image: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Classes of a whole image `(C, H, W)` in one pass."""
    known = np.ones(image.shape[1:], bool) if valid is None else valid
    classes = whole_logits(network, image, known).argmax(dim=0).numpy()
    return np.where(known, classes, IGNORE).astype(np.uint8)


def smooth_noise(height: int, width: int, *, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Uint8 `(bands, height, width)`: noise of several scales, so that far pixels differ."""
    rng = np.random.default_rng(seed)
    total = np.zeros((bands, height, width))
    for size in (1, 8, 64):
        coarse = rng.random((bands, height // size + 2, width // size + 2))
        total += coarse.repeat(size, 1).repeat(size, 2)[:, :height, :width]
    return (total / 3 * 255).astype(np.uint8)


def make_work(stack: ExitStack, scene: Path, *, rank: Rank | None = None, **options: object) -> Work:
    return prepare(
        stack,
        make_network(Brightness()),
        make_recipe(),
        str(scene),
        scene.with_name("map.tif"),
        rank=rank or Rank(),
        options=PredictOptions(**options),
        checkpoint=None,
    )
