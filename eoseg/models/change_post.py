"""Post-classification comparison: two maps of one trained network, compared."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.change_baselines import require_binary
from eoseg.models.dimensions import Dimensions
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Network
from eoseg.recipe import Plain, Recipe


def post_classification(
    dims: Dimensions, *, checkpoint: str | None = None, inner: dict[str, Plain] | None = None
) -> nn.Module:
    """Change where a trained segmentation network sees another class.

    Singh 1989, https://doi.org/10.1080/01431168908903939, section 2.6, with probabilities in place of
    the two maps: P(change) = 1 - sum over the classes k of P(k before) P(k after). Nothing is trained.

    Args:
        checkpoint: Path of a checkpoint of a network for segmentation, trained on single dates with the same
            bands.
        inner: The recipe of that network, in place of the path: what the checkpoint of this model holds,
            which needs no other file.
    """
    require_binary(dims)
    if (checkpoint is None) == (inner is None):
        raise ConfigError(
            "post_classification takes the checkpoint of a network for segmentation; set its option "
            f"'checkpoint' to the path of a .ckpt file{'' if inner is None else ' or inner, but not both'}."
        )
    network, recipe = _open(checkpoint) if checkpoint is not None else _rebuild(inner or {})
    if network.kind != "segmentation" or recipe.schema.quantity is not None or len(recipe.schema.classes) < 2:
        raise ConfigError(
            "post_classification compares classes per pixel; found a checkpoint of "
            f"{recipe.task} with {len(recipe.schema.classes)} classes. Take one of SegmentationTask."
        )
    if len(recipe.schema.bands) != dims.channels:
        raise ConfigError(
            f"The checkpoint that post_classification compares with takes the bands "
            f"{', '.join(recipe.schema.bands)}; found {dims.channels} bands. Choose the same ones."
        )
    return PostClassification(network, recipe)


class PostClassification(FittedBody):
    """The body of `post_classification`: raw values of two dates in, log-probabilities out."""

    wants_raw = True  # the inner network standardises by its own statistics

    def __init__(self, network: Network, recipe: Recipe) -> None:
        """Compare the classes of a network.

        Args:
            network: Maps raw values of one date to logits of classes. It is not trained any further.
            recipe: From which that network can be built again.
        """
        super().__init__()
        self.inner = network.requires_grad_(False).eval()
        self.output_stride = network.output_stride
        self.bands = recipe.schema.bands
        """Names of the bands that the inner network takes, in its order."""
        self.recipe_options: dict[str, Plain] = {"inner": recipe.to_dict()}
        """Options that build this body without another file."""

    def train(self, mode: bool = True) -> "PostClassification":
        """Change the mode, but for the inner network, which keeps predicting."""
        super().train(mode)
        self.inner.eval()
        return self

    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:
        """Keep nothing: all that is needed was learned by the inner network."""

    def fit(self, class_weights: list[float] | None = None) -> None:
        """Declare the model ready.

        Raises:
            ConfigError: Class weights are given.
        """
        if class_weights is not None:
            raise ConfigError("post_classification takes no class weights. Set class_weights to null.")
        self.is_fitted.fill_(True)

    def forward(self, image: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map raw values `(B, 2, C, H, W)` to log-probabilities `(B, 2, H, W)` of unchanged and changed.

        Args:
            image: Two dates of the bands that the inner network takes.
            valid: Bool `(B, 2, H, W)`; None where all are valid.
        """
        self.require_fitted()
        seen = torch.ones_like(image[:, :, 0], dtype=torch.bool) if valid is None else valid
        logits = self.inner(image.flatten(0, 1), seen.flatten(0, 1))  # (2 B, K, H, W)
        chances = logits.float().log_softmax(dim=1).view(-1, 2, *logits.shape[1:])  # (B, 2, K, H, W)
        same = chances.sum(dim=1).logsumexp(dim=1)  # (B, H, W), log of the sum of products
        same = same.clamp(max=-1e-6)  # the logarithm of no chance at all would be infinite
        return torch.stack([same, (-same.expm1()).log()], dim=1)  # (B, 2, H, W)


def _open(checkpoint: str) -> tuple[Network, Recipe]:
    from eoseg.models.checkpoint import load_network  # it imports all models

    return load_network(checkpoint)


def _rebuild(inner: Mapping[str, Plain]) -> tuple[Network, Recipe]:
    """A network with random weights, for the state dict that follows."""
    from eoseg.models.build import build_from_recipe  # it needs all models

    recipe = Recipe.from_dict(inner)
    return build_from_recipe(recipe), recipe
