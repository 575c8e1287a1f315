"""Whether figures on chips hold for maps.

A network is trained and validated on chips, at whose edges its view ends. In a map it sees what lies
around. Where chips are much smaller than what the network looks at, it may have learned to rely on their
edges, and the map is worse than the figures on chips say. This is measured here, on labelled pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eoseg.datasets.chips import Chip, ChipDataset
from eoseg.datasets.reader import SceneReader
from eoseg.models.network import Network
from eoseg.predict.plan import default_halo
from eoseg.predict.receptive import network_context
from eoseg.recipe import IGNORE

NOTABLE = 0.05
"""Loss of accuracy from which a user should act."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How many labelled pixels of some chips are right, without and with what lies around the chips."""

    pixels: int
    right_alone: int
    right_in_place: int
    halo: int
    """Pixels that were added on each side: all that matters, where the network has such a limit."""

    @property
    def accuracy_alone(self) -> float:
        """Overall accuracy on chips, as in training and validation."""
        return self.right_alone / self.pixels

    @property
    def accuracy_in_place(self) -> float:
        """Overall accuracy on the same pixels as a map would have them."""
        return self.right_in_place / self.pixels

    @property
    def is_notable(self) -> bool:
        """Whether the map is clearly worse than the chips."""
        return self.accuracy_alone - self.accuracy_in_place > NOTABLE


@torch.inference_mode()
def measure_surroundings(network: Network, reader: SceneReader, chips: Sequence[Chip]) -> Surroundings | None:
    """Classify chips alone and in place, and compare both with the labels.

    Args:
        network: Is put into evaluation mode; runs on the CPU or wherever it is.
        reader: Reads the scenes of the chips.
        chips: A few are enough.

    Returns:
        None where the chips hold no labelled pixel, or the network gives no class per pixel.
    """
    if network.kind in ("classification", "pretraining") or network.rescale is not None:
        return None
    network.eval()
    device = network.normalize.mean.device
    halo = default_halo(network_context(network, steps=reader.index.schema.steps))
    dataset = ChipDataset(reader)
    pixels = alone = in_place = 0
    for chip in chips:
        item = dataset[chip]
        known = item["mask"] != IGNORE
        truth = item["mask"][known]
        image, valid = reader.read(chip.scene_id, chip.window.grow(halo))
        around = torch.from_numpy(image), torch.from_numpy(np.ascontiguousarray(valid)), item.get("days")
        rows, cols = chip.window.slices_in(chip.window.grow(halo))
        pixels += int(known.sum())
        in_chip = _classes(network, item["image"], item["valid"], item.get("days"), device)
        alone += _right(in_chip[known], truth)
        in_place += _right(_classes(network, *around, device)[rows, cols][known], truth)
    return Surroundings(pixels, alone, in_place, halo) if pixels else None


def _classes(
    network: Network, image: Tensor, valid: Tensor, days: Tensor | None, device: torch.device
) -> Tensor:
    dated = None if days is None else days[None].to(device)
    logits: Tensor = network(image[None].to(device), valid[None].to(device), dated)  # (1, K, H, W)
    return logits.max(dim=1).indices[0].cpu()


def _right(classes: Tensor, truth: Tensor) -> int:
    return int((classes == truth).sum())
