"""Reading checkpoints, without running any code that they might hold.

A checkpoint is a Lightning checkpoint whose key "eoseg" holds `Recipe.to_dict()` and whose
"state_dict" holds the network under "network.".
"""

import pickle
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eoseg.errors import CheckpointError, EosegError, OutputError
from eoseg.models import Network, build_network
from eoseg.recipe import Recipe

_PREFIX = "network."
_LIGHTNING_KEYS = ("pytorch-lightning_version", "epoch", "global_step")
"""What Lightning asks of each checkpoint, beside the weights."""


def read_checkpoint(path: str | Path) -> tuple[Recipe, dict[str, Tensor]]:
    """Read recipe and weights.

    Returns:
        The recipe, and the network's state dict on the CPU.

    Raises:
        CheckpointError: The file is missing, broken, or not a checkpoint of eoseg.
    """
    values = _load(Path(path))
    if not isinstance(values, dict) or "state_dict" not in values:
        raise CheckpointError(f"{path} is not a checkpoint. Use a file that 'eoseg fit' wrote.")
    if not isinstance(values.get("eoseg"), dict):
        raise CheckpointError(
            f"{path} is a checkpoint, but not one of eoseg: it holds no recipe (bands, classes, "
            "normalisation). Use a file that 'eoseg fit' wrote."
        )
    recipe = _recipe(path, values["eoseg"])
    state = {
        # Cloned, so that the file is neither kept open nor held in memory with its optimiser states.
        key.removeprefix(_PREFIX): value.clone()
        for key, value in values["state_dict"].items()
        if key.startswith(_PREFIX) and isinstance(value, Tensor)
    }
    if not state:
        raise CheckpointError(f"{path} holds a recipe but no weights of a network. Use another checkpoint.")
    return recipe, state


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


def export_checkpoint(source: str | Path, target: str | Path) -> Path:
    """Write what prediction and evaluation need of a checkpoint: network and recipe.

    States of the optimiser, of schedules and of callbacks are left out, which makes the file about a
    third as large. Lightning reads it for `test` and `validate`; to resume training, keep the source.

    Args:
        source: A checkpoint of eoseg.
        target: Where to write; a file of that name is replaced, and only once the new one is complete.

    Returns:
        The path of the new file.

    Raises:
        CheckpointError: The source is not a checkpoint of eoseg.
        OutputError: The target cannot be written.
    """
    recipe, state = read_checkpoint(source)
    whole = _load(Path(source))
    values = {key: whole[key] for key in _LIGHTNING_KEYS if key in whole}
    values["eoseg"] = recipe.to_dict()
    values["state_dict"] = {_PREFIX + key: value for key, value in state.items()}
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


def _load(path: Path) -> Any:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(f"The checkpoint {path} {what}. Give the path of a .ckpt file.")
    try:
        if not zipfile.is_zipfile(path):  # torch has written zip archives only since 2020
            raise CheckpointError(
                f"{path} is not a checkpoint, or is cut off. Use a file that 'eoseg fit' wrote, or copy it "
                "again."
            )
        # Mapped, so that only what is used is read: two thirds are states of the optimiser.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is not a checkpoint that can be read safely: it holds more than tensors and plain "
            "values, or is no checkpoint at all. Nothing in it was run. Use a file that 'eoseg fit' wrote."
        ) from error
    except PermissionError as error:
        raise CheckpointError(f"The checkpoint {path} may not be read: {error.strerror}.") from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint; it may be broken or cut off. Copy it again, or use a "
            "file that 'eoseg fit' wrote."
        ) from error


def _recipe(path: str | Path, values: dict[str, Any]) -> Recipe:
    try:
        return Recipe.from_dict(values)
    except EosegError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _build(path: str | Path, recipe: Recipe) -> Network:
    config = recipe.network
    arch, encoder, args = config.get("arch"), config.get("encoder"), config.get("args", {})
    if not (isinstance(arch, str) and isinstance(encoder, str) and isinstance(args, dict)):
        raise CheckpointError(
            f"The recipe in {path} does not say which network it is for (arch, encoder, args). Train again, "
            "or use another checkpoint."
        )
    schema = recipe.schema
    try:
        return build_network(
            arch,
            bands=schema.bands,
            num_classes=len(schema.classes),
            encoder=encoder,
            weights=None,
            args=args,
        )
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
