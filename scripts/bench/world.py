"""What the benches work on: scenes that look like land, networks, and their checkpoints."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import nn
from torch.nn import functional

from eoseg.models import Network, build_network
from eoseg.recipe import BandStatistics, Recipe, Schema, Statistics, parse_classes

CLASSES = ("water", "wood", "maize", "wheat", "meadow", "town", "road", "rock")
BLOCK = 512
_BASE = 2048  # larger scenes repeat a square of this side
_NOISE = 60  # standard deviation: uint16 then compresses to some 60 %, as Sentinel-2 does


def band_names(count: int) -> tuple[str, ...]:
    """Names of so many bands."""
    return tuple(f"B{number:02}" for number in range(1, count + 1))


def make_land(
    side: int, bands: int, *, seed: int = 0, contrast: float = 2200, spectra_seed: int | None = None
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Fields with curved borders, a texture of several octaves, and a little noise.

    Args:
        side: Height and width in pixels.
        bands: How many.
        seed: Of everything.
        contrast: Between the classes; texture and noise have a standard deviation of some 170.
        spectra_seed: Of the classes' spectra, for scenes that share them; as `seed` by default.

    Returns:
        Values `(bands, side, side)` of 200 to 4000 or so, and the class of each pixel `(side, side)`.
    """
    generator = torch.Generator().manual_seed(seed)

    def smooth(cell: int) -> torch.Tensor:
        coarse = torch.randn(1, 1, side // cell + 2, side // cell + 2, generator=generator)
        return functional.interpolate(coarse, size=(side, side), mode="bicubic")[0, 0]

    bend = [24 * smooth(128) + 6 * smooth(32) for _ in range(2)]
    steps = torch.arange(side, dtype=torch.float32)
    rows = ((steps[:, None] + bend[0]) / 70).floor().long()
    cols = ((steps[None, :] + bend[1]) / 90).floor().long()
    classes = ((rows * 7919 + cols * 104729) % 613 % len(CLASSES)).to(torch.uint8)
    texture = sum(strength * smooth(cell) for cell, strength in ((256, 120), (64, 80), (16, 60), (6, 40)))
    own = torch.Generator().manual_seed(seed if spectra_seed is None else spectra_seed)
    spectra = 1700 + contrast * (torch.rand(len(CLASSES), bands, generator=own) - 0.5)
    image = np.empty((bands, side, side), np.uint16)
    for band in range(bands):
        noise = _NOISE * torch.randn(side, side, generator=generator)
        values = spectra[:, band][classes.long()] + texture * (0.6 + 0.1 * band) + noise
        image[band] = values.clamp(100, 9000).numpy().astype(np.uint16)
    return image, classes.numpy()


def write_scene(path: Path, side: int, bands: int = 4) -> Path:
    """A tiled and compressed uint16 scene with a slanted edge without values, written row of blocks by row.

    A file of that name is taken as it is.
    """
    if path.exists():
        return path
    base, _ = make_land(min(side, _BASE), bands)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": bands,
        "height": side,
        "width": side,
        "dtype": "uint16",
        "nodata": 0,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 6 if side <= 4096 else 1,  # what is read costs the same
        "num_threads": "all_cores",
        "bigtiff": "if_safer",
        "crs": "EPSG:32632",
        "transform": Affine(10, 0, 500_000, 0, -10, 5_400_000),
    }
    new = path.with_suffix(".new.tif")
    with rasterio.open(new, "w", **profile) as dataset:
        for number, name in enumerate(band_names(bands), start=1):
            dataset.set_band_description(number, name)
        for row in range(0, side, BLOCK):
            height = min(BLOCK, side - row)
            lines = np.arange(row, row + height) % base.shape[1]
            strip = np.tile(base[:, lines], (1, 1, -(-side // base.shape[2])))[:, :, :side]
            for line in range(height):
                strip[:, line, : 20 + (row + line) // 40] = 0
            dataset.write(strip, window=Window(0, row, side, height))
    return new.rename(path)


def make_network(bands: int = 4, *, depth: int = 5, encoder: str = "resnet18") -> Network:
    """A U-Net with random weights, which cost what trained ones do."""
    torch.manual_seed(0)
    network = build_network(
        "unet", bands=band_names(bands), num_classes=len(CLASSES), args=_args(depth, encoder)
    )
    network.normalize.set_statistics(_statistics(bands))
    return network.eval()


def make_recipe(network: Network, *, depth: int = 5, encoder: str = "resnet18") -> Recipe:
    """The recipe of a network that `make_network` made."""
    bands = network.normalize.bands
    return Recipe(
        task="SegmentationTask",
        schema=Schema(bands, parse_classes(CLASSES)),
        statistics=_statistics(len(bands)),
        network={"kind": "segmentation", "arch": "unet", "args": _args(depth, encoder)},
        chip_size=256,
        output_stride=network.output_stride,
    )


def write_checkpoint(path: Path, network: Network, recipe: Recipe) -> Path:
    """What `eoseg fit` would have written, as far as `eoseg predict` reads it."""
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"eoseg": recipe.to_dict(), "state_dict": state}, path)
    return path


class Cheap(nn.Module):
    """Takes the values of the bands for logits, so that what is left is the engine."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Each pixel gets the class whose band is largest."""
        return image


def make_cheap(bands: int = 4) -> tuple[Network, Recipe]:
    """A network that costs nothing beside the normalisation, and its recipe: a class for each band."""
    network = Network(Cheap(), bands=band_names(bands), output_stride=1).eval()
    network.normalize.set_statistics(_statistics(bands))
    described = {"kind": "segmentation", "arch": "unet", "args": _args(5, "resnet18")}
    schema = Schema(band_names(bands), parse_classes(CLASSES[:bands]))
    statistics = replace(_statistics(bands), class_pixels=(1,) * bands)
    recipe = Recipe("SegmentationTask", schema, statistics, described, 256, network.output_stride)
    return network, recipe


def _args(depth: int, encoder: str) -> dict[str, Any]:
    described: dict[str, Any] = {"encoder": encoder}
    if depth != 5:
        described |= {"depth": depth, "channels": 8}
    return described


def _statistics(bands: int) -> Statistics:
    entries = tuple(
        BandStatistics(name, 1700.0, 800.0, 100.0, 500.0, 3500.0, 9000.0) for name in band_names(bands)
    )
    return Statistics(entries, "uint16", pixels=1, valid_pixels=1, class_pixels=(1,) * len(CLASSES))
