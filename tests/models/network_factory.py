"""Networks and recipes for tests of models."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eoseg.models import Network, build_network
from eoseg.recipe import BandStatistics, Plain, Recipe, Schema, Statistics, parse_classes

BANDS = {1: ["grey"], 3: ["red", "green", "blue"], 13: [f"B{number:02}" for number in range(1, 14)]}


def make_statistics(
    bands: Sequence[str], means: Sequence[float] | None = None, stds: Sequence[float] | None = None
) -> Statistics:
    """Statistics with mean 100 and deviation 20 unless said otherwise."""
    means, stds = means or [100.0] * len(bands), stds or [20.0] * len(bands)
    return Statistics(
        bands=tuple(
            BandStatistics(name, mean, std, 0.0, 50.0, 150.0, 255.0)
            for name, mean, std in zip(bands, means, stds, strict=True)
        ),
        dtype="uint8",
        pixels=1000,
        valid_pixels=900,
        class_pixels=(300, 400, 200),
    )


def make_network(arch: str, bands: Sequence[str], **options: object) -> Network:
    """A small network with fixed random weights, ready to be called."""
    torch.manual_seed(0)
    encoder = "mit_b0" if arch == "segformer" else "resnet18"
    settings: dict[str, object] = {"encoder": encoder, "num_classes": 4, **options}
    network = build_network(arch, bands=bands, **settings)
    network.normalize.set_statistics(make_statistics(bands))
    return network


def make_image(
    bands: int, height: int, width: int, *, batch: int = 2, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Raw values around 100 with a few invalid pixels, which hold NaN."""
    generator = torch.Generator().manual_seed(seed)
    image = 100 + 20 * torch.randn(batch, bands, height, width, generator=generator)
    valid = torch.rand(batch, height, width, generator=generator) > 0.05
    return image.masked_fill(~valid[:, None], float("nan")), valid


def make_recipe(network: dict[str, Plain], *, output_stride: int = 32) -> Recipe:
    """A recipe for three bands and four classes."""
    bands = BANDS[3]
    return Recipe(
        task="SegmentationTask",
        schema=Schema(bands=tuple(bands), classes=parse_classes(["water", "wood", "field", "town"])),
        statistics=make_statistics(bands),
        network=network,
        chip_size=64,
        output_stride=output_stride,
    )


def shuffle_parameters(module: nn.Module) -> None:
    """Give every parameter a random value, those that start at zero too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def parameters(arch: str, **args: object) -> int:
    """Numbers of a network's body."""
    network = make_network(arch, BANDS[3], args=args)
    return sum(value.numel() for value in network.body.parameters())


def build(arch: str = "unet", encoder: str = "resnet18", **args: object) -> Network:
    """Build a network for three bands and three classes."""
    return build_network(arch, bands=BANDS[3], num_classes=3, encoder=encoder, args=args)
