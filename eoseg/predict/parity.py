"""How closely another way to compute a network gives what the network gives."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from eoseg.models.onnx_graph import Output, decode
from eoseg.recipe import Statistics


@dataclass(frozen=True, slots=True)
class Parity:
    """Two results for the same images, compared."""

    pixels: int
    """Pixels, or chips, that were compared."""
    differing: int
    """Those of them that got another class, another set of labels, or clearly another value."""
    worst: float
    """Largest difference of a probability, or of a value in its unit; infinite where one is no number."""

    @property
    def share(self) -> float:
        """Share of the pixels that differ, 0 to 1."""
        return self.differing / self.pixels if self.pixels else 0.0

    def __add__(self, other: "Parity") -> "Parity":
        """Both comparisons as one."""
        return Parity(
            self.pixels + other.pixels, self.differing + other.differing, max(self.worst, other.worst)
        )


def measure_parity(
    reference_logits: Tensor, logits: Tensor, *, kind: Output, tolerance: float = 0.0
) -> Parity:
    """Compare logits with those of the network itself.

    Args:
        reference_logits: `(B, K, H, W)`, or `(B, K)` of chips; a quantity in its unit.
        logits: Of the same shape.
        kind: What the logits mean.
        tolerance: Of a quantity, by how much two values must differ to count as different.
    """
    return compare_outputs(
        decode(reference_logits, kind), decode(logits, kind), kind=kind, tolerance=tolerance
    )


def compare_outputs(reference: Tensor, other: Tensor, *, kind: Output, tolerance: float = 0.0) -> Parity:
    """Compare probabilities or values; see `measure_parity`.

    Raises:
        ValueError: The shapes differ.
    """
    if reference.shape != other.shape:
        raise ValueError(f"cannot compare {tuple(other.shape)} with {tuple(reference.shape)}")
    difference = (reference.float() - other.float()).abs().nan_to_num(nan=torch.inf)
    if kind == "classes":
        differs = (reference.argmax(dim=1) != other.argmax(dim=1)) | difference.isinf().any(dim=1)
    elif kind == "labels":
        differs = ((reference > 0.5) != (other > 0.5)).any(dim=1) | difference.isinf().any(dim=1)
    else:
        differs = (difference > tolerance).any(dim=1)
    return Parity(differs.numel(), int(differs.sum()), float(difference.max()) if difference.numel() else 0.0)


def training_like_image(statistics: Statistics, shape: tuple[int, ...], *, seed: int = 0) -> Tensor:
    """Raw values with the mean, the deviation and the range of the training pixels, and some gaps.

    Half of the variance is noise, half is smooth over some 16 pixels. Values are whole where the training
    files hold whole numbers. One pixel in fifty has no value, nor has a corner of each image.

    Args:
        statistics: Of the training pixels.
        shape: `(B, C, H, W)` or `(B, T, C, H, W)`.
        seed: Of the noise.

    Returns:
        Float32, NaN where there is no value.
    """
    generator = torch.Generator().manual_seed(seed)
    *planes, height, width = shape
    coarse = torch.randn(1, math.prod(planes), height // 16 + 2, width // 16 + 2, generator=generator)
    smooth = functional.interpolate(coarse, size=(height, width), mode="bilinear").view(shape)
    values = 0.5**0.5 * (smooth + torch.randn(shape, generator=generator))
    known = torch.tensor([[band.mean, band.std, band.minimum, band.maximum] for band in statistics.bands])
    mean, std, least, most = known.T[..., None, None]  # (C, 1, 1) each
    image: Tensor = (mean + std * values).clamp(least, most)
    if "int" in statistics.dtype:
        image = image.round()
    gaps = torch.rand((*planes[:-1], 1, height, width), generator=generator) < 0.02
    gaps[..., : height // 4, : width // 4] = True
    return image.masked_fill(gaps, torch.nan)
