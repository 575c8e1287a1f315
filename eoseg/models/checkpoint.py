"""Reading checkpoints, without running any code that they might hold.

A checkpoint is a Lightning checkpoint whose key "eoseg" holds `Recipe.to_dict()` and whose
"state_dict" holds the network under "network.".
"""

import textwrap
from pathlib import Path

import torch
from torch import Tensor

from eoseg.errors import CheckpointError, EosegError, OutputError
from eoseg.models.build import build_from_recipe
from eoseg.models.checkpoint_file import NETWORK_PREFIX, load_values, read_checkpoint
from eoseg.models.network import Network
from eoseg.recipe import Recipe

__all__ = ["export_checkpoint", "load_network", "read_checkpoint"]

_LIGHTNING_KEYS = ("pytorch-lightning_version", "epoch", "global_step")
"""What Lightning asks of each checkpoint, beside the weights."""


def load_network(path: str | Path) -> tuple[Network, Recipe]:
    """Rebuild a trained network, in evaluation mode and on the CPU.

    Raises:
        CheckpointError: The file is not a checkpoint of eoseg, or its weights do not fit its recipe.
    """
    recipe, state = read_checkpoint(path)
    network = _build(path, recipe)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {path} do not fit its network ({_misfit(network, state)}). Use the versions of "
            "eoseg, segmentation-models-pytorch and timm that wrote it."
        ) from error
    if network.output_stride != recipe.output_stride:
        raise CheckpointError(
            f"{path} says output stride {recipe.output_stride}, its network has {network.output_stride}. Use "
            "the eoseg version that wrote it."
        )
    return network.eval(), recipe


def export_checkpoint(source: str | Path, target: str | Path, *, recipe: Recipe | None = None) -> Path:
    """Write what prediction and evaluation need of a checkpoint: network and recipe.

    States of the optimiser, of schedules and of callbacks are left out, which makes the file about a
    third as large. Lightning reads it for `test` and `validate`; to resume training, keep the source.

    Args:
        source: A checkpoint of eoseg.
        target: Where to write; a file of that name is replaced, and only once the new one is complete.
        recipe: To write in place of the source's own, for the same network.

    Returns:
        The path of the new file.

    Raises:
        CheckpointError: The source is not a checkpoint of eoseg.
        OutputError: The target cannot be written.
    """
    own, state = read_checkpoint(source)
    whole = load_values(source)
    values = {key: whole[key] for key in _LIGHTNING_KEYS if key in whole}
    values["eoseg"] = (recipe or own).to_dict()
    values["state_dict"] = {NETWORK_PREFIX + key: value for key, value in state.items()}
    path = Path(target)
    part = path.with_name(f"{path.name}.part")
    try:
        torch.save(values, part)
        part.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's writer on a full disk or missing folder
        part.unlink(missing_ok=True)
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise OutputError(f"The checkpoint {path} cannot be written: {reason}.") from error
    return path


def _build(path: str | Path, recipe: Recipe) -> Network:
    try:
        return build_from_recipe(recipe)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except EosegError as error:
        raise CheckpointError(f"The network of {path} cannot be built here: {error}") from error


def _misfit(network: Network, state: dict[str, Tensor]) -> str:
    """Say in a few words how weights differ from a network."""
    own = network.state_dict()
    missing = sorted(own.keys() - state.keys())
    extra = sorted(state.keys() - own.keys())
    other = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    parts = [
        f"{len(keys)} {what}, such as {keys[0]}"
        for what, keys in (("missing", missing), ("unknown", extra), ("of another shape", other))
        if keys
    ]
    return "; ".join(parts) or "their values cannot be copied"
