"""Estimators of scikit-learn as bodies of networks that see whole chips."""

from collections.abc import Mapping
from typing import Any, cast, override

import torch
from torch import Tensor, nn

from eoseg.batch import IGNORE
from eoseg.errors import ConfigError
from eoseg.models.chip_statistics import chip_statistics
from eoseg.models.classical_body import ClassicalBody
from eoseg.models.classical_methods import Method
from eoseg.models.dimensions import Dimensions
from eoseg.models.network import Network
from eoseg.recipe import Plain, Recipe


class ChipBody(ClassicalBody):
    """Learns from one list of numbers per chip."""

    def __init__(
        self, dims: Dimensions, method: Method, *, checkpoint: str = "", inner: dict[str, Plain] | None = None
    ) -> None:
        """Choose the descriptor of a chip.

        Args:
            dims: Sizes of input and output.
            method: What learns from the descriptors.
            checkpoint: Path of a trained network for classification, whose features before its last layer
                are the descriptors. Without it they are `eoseg.models.chip_statistics`.
            inner: The recipe of that network, in place of the path: what the checkpoint of this model holds,
                which needs no other file.

        Raises:
            ConfigError: The network is not one for chips, or takes another number of bands.
        """
        super().__init__(dims, method)
        if checkpoint and inner is not None:
            raise ConfigError("checkpoint and inner name the same network: give one of them.")
        self.inner: nn.Module | None = None
        self.recipe_options: dict[str, Plain] | None = None
        """Options that build this body without another file; None where the given ones do."""
        if checkpoint or inner is not None:
            network, recipe = _open(checkpoint) if checkpoint else _rebuild(inner or {})
            _require_descriptors(network, recipe, dims)
            self.inner = network.requires_grad_(False).eval()
            self.bands = recipe.schema.bands
            self.inner_recipe = recipe

    @property
    def wants_raw(self) -> bool:
        """Whether `forward` takes raw values: a network standardises by its own statistics."""
        return self.inner is not None

    def remember(self, options: Mapping[str, Plain]) -> None:
        """Put the recipe of the inner network, if there is one, in place of its path.

        Args:
            options: With which this body was built.
        """
        if self.inner is not None:
            kept = {name: value for name, value in options.items() if name != "checkpoint"}
            self.recipe_options = {**kept, "inner": self.inner_recipe.to_dict()}

    @override
    def train(self, mode: bool = True) -> "ChipBody":
        super().train(mode)
        if self.inner is not None:
            self.inner.eval()
        return self

    @torch.no_grad()
    def describe(self, image: Tensor) -> Tensor:
        """Descriptors `(B, F)` of chips `(B, C, H, W)`."""
        if self.inner is None:
            return chip_statistics(image)
        network = cast(Network, self.inner)
        seen = torch.ones_like(image[:, 0], dtype=torch.bool)
        return cast(Tensor, cast(Any, network.body).features(network.prepare(image, seen))).float()

    @override
    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:
        labelled = (target != IGNORE).view(len(target), -1).all(dim=1)
        chosen = labelled.clone()
        chosen[labelled] = torch.from_numpy(self.sample.draw(int(labelled.sum())))
        if chosen.any():
            self.sample.add(self.describe(image[chosen]).numpy(), target[chosen].numpy())

    def forward(self, image: Tensor) -> Tensor:
        """Map chips `(B, C, H, W)` to logits `(B, K)`."""
        return self.predict_rows(self.describe(image))


def _require_descriptors(network: Network, recipe: Recipe, dims: Dimensions) -> None:
    if network.kind != "classification" or not hasattr(network.body, "features"):
        raise ConfigError(
            f"Descriptors of chips come from a network such as resnet, found a checkpoint of {recipe.task} "
            f"with '{recipe.network.get('arch')}'. Take one that ClassificationTask trained."
        )
    if len(recipe.schema.bands) != dims.channels:
        raise ConfigError(
            f"The checkpoint whose descriptors are learned takes the bands {', '.join(recipe.schema.bands)}; "
            f"found {dims.channels} bands. Choose the same ones."
        )
    if recipe.chip_size != dims.chip_size:
        raise ConfigError(
            f"The checkpoint whose descriptors are learned takes chips of {recipe.chip_size} pixels; found "
            f"chip_size {dims.chip_size}. Choose the same size."
        )


def _open(checkpoint: str) -> tuple[Network, Recipe]:
    from eoseg.models.checkpoint import load_network  # it imports all models

    return load_network(checkpoint)


def _rebuild(inner: Mapping[str, Plain]) -> tuple[Network, Recipe]:
    """A network with random weights, for the state dict that follows."""
    from eoseg.models.build import build_from_recipe  # it needs all models

    recipe = Recipe.from_dict(inner)
    return build_from_recipe(recipe), recipe
