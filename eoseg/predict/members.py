"""The networks of an ensemble: several trainings whose mean is mapped.

Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474. The networks may be of other architectures,
with a normalisation and a calibration of their own, which are part of each; what they take and what they give
must be the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from eoseg.errors import ConfigError
from eoseg.models.checkpoint import load_network
from eoseg.models.network import Network
from eoseg.recipe import Recipe

_OTHER_PIXELS = 0.1  # by which share pixel sizes may differ and count as the same


@dataclass(frozen=True, slots=True)
class Member:
    """A trained network."""

    network: Network
    recipe: Recipe
    checkpoint: Path | None = None
    """Where it comes from."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "a network" if self.checkpoint is None else f"'{self.checkpoint}'"


def load_members(checkpoints: Sequence[Path]) -> list[Member]:
    """Read checkpoints.

    Raises:
        CheckpointError: A file is no checkpoint of eoseg.
    """
    return [Member(*load_network(path), path) for path in checkpoints]


type _Trait = tuple[str, Callable[[Member], object]]

_TRAITS: tuple[_Trait, ...] = (
    ("kind", lambda member: member.network.kind),
    ("bands", lambda member: ", ".join(member.recipe.schema.bands)),
    ("classes", lambda member: ", ".join(member.recipe.schema.class_names) or "none"),
    ("quantity", lambda member: _quantity(member.recipe)),
    ("labels per chip", lambda member: "several" if member.recipe.schema.multilabel else "one"),
    ("time", lambda member: member.recipe.schema.time),
    ("number of dates", lambda member: member.recipe.schema.steps),
)
"""What must be the same in all networks, by names that a user understands."""

_OF_CHIPS: _Trait = ("chip size", lambda member: f"{member.recipe.chip_size} px")


def require_alike(members: Sequence[Member], *, any_pixel_size: bool = False) -> None:
    """Refuse networks whose results cannot be averaged.

    Args:
        members: The networks, the first of which says what is mapped.
        any_pixel_size: Whether they may have been trained on pixels of other sizes.

    Raises:
        ConfigError: They take or give something else, or two are the same.
    """
    first, *others = members
    of_chips = first.network.kind == "classification"
    for other in others:
        for what, trait in (*_TRAITS, *([_OF_CHIPS] if of_chips else [])):
            own, found = trait(first), trait(other)
            if own != found:
                raise ConfigError(
                    f"The networks of an ensemble have the same {what}: {first.name} has {own}, "
                    f"{other.name} has {found}. Leave it out, or train it on the same task."
                )
        if not any_pixel_size:
            _require_pixels_alike(first, other)
    for number, member in enumerate(members):
        twin = next((other for other in members[:number] if _is_same(other, member)), None)
        if twin is not None:
            raise ConfigError(
                f"{member.name} holds the same network as {twin.name}: that would only make the ensemble "
                "look surer than it is. Give each network once."
            )


def _require_pixels_alike(first: Member, other: Member) -> None:
    own, found = (member.recipe.schema.pixel_metres for member in (first, other))
    if own and found and abs(found / own - 1) > _OTHER_PIXELS:
        raise ConfigError(
            f"A scene is read at one pixel size: {first.name} was trained on {own:.4g} m, {other.name} on "
            f"{found:.4g} m. Choose one with --pixel-size, or leave it out."
        )


def _quantity(recipe: Recipe) -> str:
    quantity = recipe.schema.quantity
    return "none" if quantity is None else f"{quantity.name} in {quantity.unit or 'no unit'}"


def _is_same(first: Member, second: Member) -> bool:
    """Whether two networks are one, in whatever files they are."""
    own, other = first.network.state_dict(), second.network.state_dict()
    return (
        first.recipe.network == second.recipe.network
        and type(first.network.body) is type(second.network.body)
        and own.keys() == other.keys()
        and all(own[key].shape == other[key].shape for key in own)
        and all(torch.equal(own[key].cpu(), other[key].cpu()) for key in own)
    )
