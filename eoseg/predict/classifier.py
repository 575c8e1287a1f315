"""From the pixels of tiles to what is written of them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product as combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.errors import CheckpointError, ConfigError
from eoseg.geo.tiles import Tile
from eoseg.models.network import Network
from eoseg.models.sampled_dropout import DropoutSample
from eoseg.models.symmetries import SYMMETRIES
from eoseg.predict.out_of_range import OUT_OF_RANGE, Ranges
from eoseg.predict.passes import Passes
from eoseg.predict.product import Layers, Product
from eoseg.predict.reader import TileImage
from eoseg.predict.runner import Runner
from eoseg.predict.running_mean import RunningMean
from eoseg.predict.uncertainty import mutual_information

_ONE_PASS = Passes()


@dataclass(frozen=True, slots=True)
class TileResult:
    """The result for the core of a tile."""

    source: TileImage
    layers: Layers
    """What the product makes of it: the map first."""


class Classifier:
    """One network or several, in evaluation mode on their device."""

    def __init__(
        self,
        networks: Sequence[Network],
        product: Product,
        *,
        device: torch.device,
        steps: int = 1,
        days: NDArray[np.float32] | None = None,
        passes: Passes = _ONE_PASS,
        dropout: Sequence[DropoutSample] = (),
        ranges: Ranges | None = None,
    ) -> None:
        """Move the networks to their device.

        Args:
            networks: Are put into evaluation mode and moved. They take the same images.
            product: What their output means.
            device: Where they run.
            steps: T, the number of dates.
            days: Day of the year of each date `(T,)`; of series only.
            passes: Of which the result is the mean, with what the product wants to know of their differences.
            dropout: Of each network, where there are several samples of it.
            ranges: The values of training, where the product wants to know what lies outside of them.
        """
        self._networks = [network.eval().to(device) for network in networks]
        self.runs: list[Runner] = [*self._networks]
        """What computes logits: the networks themselves, or something faster in place of each."""
        self._device = device
        self._steps = steps
        self._days = None if days is None else torch.from_numpy(days).to(device)
        self.product = product
        self._averaged, self._dropout, self._ranges = passes, dropout, ranges
        self.passes = 0
        """Forward passes so far."""

    def classify(self, tiles: Sequence[TileImage]) -> list[TileResult]:
        """Classify the cores of tiles whose reads have one size.

        Raises:
            CheckpointError: The network gives another number of outputs, or values that are no numbers.
            torch.OutOfMemoryError: The tiles do not fit the memory of the GPU.
        """
        found = zip(tiles, self.logits(tiles), strict=True)
        return [TileResult(tile, self.product.decode(one, tile.core_valid)) for tile, one in found]

    @torch.inference_mode()
    def logits(self, tiles: Sequence[TileImage]) -> list[Tensor]:
        """Logits of the cores of tiles, `(K, height, width)`; see `classify`."""
        return [self._cut(tile.tile, one) for tile, one in zip(tiles, self._forward(tiles), strict=True)]

    def tensors(self, tiles: Sequence[TileImage]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Raw values, where they are valid, and days of tiles, on the device."""
        image = torch.from_numpy(_stack([tile.image for tile in tiles])).to(self._device)
        valid = torch.from_numpy(_stack([tile.valid for tile in tiles])).to(self._device)
        days = None if self._days is None else self._days.expand(len(tiles), -1)  # (B, T)
        return image, valid, days

    def example(self, count: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Valid values at the training mean, as `tensors` gives those of tiles."""
        mean = self._networks[0].normalize.mean.float()
        dates = () if self._networks[0].takes_one_date else (self._steps,)
        image = mean[:, None, None].expand(count, *dates, -1, height, width).contiguous()
        valid = torch.ones((count, *dates, height, width), dtype=torch.bool, device=mean.device)
        return image, valid, None if self._days is None else self._days.expand(count, -1)

    @torch.inference_mode()
    def _forward(self, tiles: Sequence[TileImage]) -> Tensor:
        """Logits `(B, K, H, W)`, or `(B, K)` of chips, with the product's extras as more channels."""
        image, valid, days = self.tensors(tiles)
        if self._averaged.count > 1:
            logits = self._mean(image, valid, days)
        else:
            logits = self._pass(self.runs[0], image, valid, days)
        if self._ranges is None or OUT_OF_RANGE not in self.product.extras:
            return logits
        outside = self._ranges.outside(image, valid, of_chips=self._is_of_chips)
        return torch.cat([logits, outside.to(logits)], dim=1)

    def _mean(self, image: Tensor, valid: Tensor, days: Tensor | None) -> Tensor:
        """Logits of the mean over all passes, and what their differences say.

        Each network, and each sample of it by dropout, is first averaged over the symmetries: only where it
        then differs from others do these tell what no network knows.
        """
        product, place = self.product, ((None, None) if self._is_of_chips else ())
        overall = RunningMean(deviation="spread" in product.extras)
        entropy = RunningMean() if "mutual_information" in product.extras else None
        for run, sample in combinations(range(len(self.runs)), range(self._averaged.samples)):
            own = RunningMean()
            with self._drawn(run, sample):
                for each in SYMMETRIES[: self._averaged.symmetries]:
                    logits = self._pass(self.runs[run], each.apply(image), each.apply(valid), days)
                    scores = each.undo(product.scores(logits[..., *place]))
                    overall.add(scores)  # (B, K, H, W); of chips height and width are 1
                    if entropy is not None:
                        own.add(scores)
            if entropy is not None:
                entropy.add(product.entropy(own.mean))
        channels = [product.logits(overall.mean)]
        if overall.deviation is not None:
            channels.append(product.spread(overall.mean, overall.deviation))
        if entropy is not None:
            channels.append(mutual_information(product.entropy(overall.mean), entropy.mean))
        logits = torch.cat(channels, dim=1)
        return logits[..., 0, 0] if self._is_of_chips else logits

    def _drawn(self, network: int, sample: int) -> AbstractContextManager[None]:
        """The context in which a network is a sample of itself by dropout, where such are wanted."""
        return self._dropout[network].drawn(sample) if self._dropout else nullcontext()

    def _pass(self, run: Runner, image: Tensor, valid: Tensor, days: Tensor | None) -> Tensor:
        logits = run(image, valid, days)
        self.passes += 1
        size = () if self._is_of_chips else tuple(image.shape[-2:])
        if logits.shape[1:] != (self.product.outputs, *size):
            raise CheckpointError(
                f"The network gives logits of shape {tuple(logits.shape)}; the recipe has "
                f"{self.product.outputs} classes and the image {tuple(image.shape[-2:])} pixels. Train again."
            )
        return logits  # (B, K, H, W), or (B, K) of chips

    def _cut(self, tile: Tile, logits: Tensor) -> Tensor:
        """The part of the logits of a read that is its core's, `(K, h, w)`."""
        if self._is_of_chips:
            return logits[:, None, None].expand(-1, tile.core.height, tile.core.width)
        return logits[:, *tile.core.slices_in(tile.read)]

    @property
    def _is_of_chips(self) -> bool:
        return self._networks[0].kind == "classification"


def pick_device(name: str, *, cpu_only: bool = False, local: int = 0) -> torch.device:
    """Find the device to run on.

    Args:
        name: "auto" for a GPU where there is one, or a name such as "cpu" or "cuda:1".
        local: Place of this process among those on this machine: with "auto" each takes a GPU in turn.
        cpu_only: Whether the model runs on the CPU alone, as those that are fitted in one go do.

    Raises:
        ConfigError: There is no such device, or the model cannot run there.
    """
    if name == "auto":
        if cpu_only or not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", local % torch.cuda.device_count())
    try:
        device = torch.device(name)
        if cpu_only and device.type not in ("cpu", "meta"):
            raise ConfigError(
                f"This model runs on the CPU, on all its cores; found --device {name}. Use --device cpu or "
                "auto."
            )
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"There is no device '{name}' here. Use --device auto, cpu, cuda or cuda:N."
        ) from error
    if device.type == "meta":
        raise ConfigError("The device 'meta' computes nothing. Use --device auto, cpu, cuda or cuda:N.")
    return device


def _stack[T: np.generic](arrays: Sequence[NDArray[T]]) -> NDArray[T]:
    """Stack arrays; one alone is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
