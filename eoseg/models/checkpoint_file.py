"""The file of a checkpoint, read without running any code that it might hold.

A checkpoint is a Lightning checkpoint whose key "eoseg" holds `Recipe.to_dict()` and whose
"state_dict" holds the network under "network.". Models start from such files too, so this module knows
no network: `eoseg.models.checkpoint` rebuilds them.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eoseg.errors import CheckpointError, EosegError
from eoseg.models.lora import has_lora, merge_lora
from eoseg.recipe import Recipe

NETWORK_PREFIX = "network."
"""What the names of the network's values start with in a checkpoint's state dict."""

LORA_KEY = "eoseg_lora"
"""Key of a checkpoint whose weights hold adapters of LoRA beside them: `{"alpha": ...}`."""


def read_checkpoint(path: str | Path) -> tuple[Recipe, dict[str, Tensor]]:
    """Read recipe and weights.

    Returns:
        The recipe, and the network's state dict on the CPU, with adapters of LoRA added to its weights.

    Raises:
        CheckpointError: The file is missing, broken, or not a checkpoint of eoseg.
    """
    values = load_values(path)
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
        key.removeprefix(NETWORK_PREFIX): value.clone()
        for key, value in values["state_dict"].items()
        if key.startswith(NETWORK_PREFIX) and isinstance(value, Tensor)
    }
    if not state:
        raise CheckpointError(f"{path} holds a recipe but no weights of a network. Use another checkpoint.")
    if has_lora(state):
        state = merge_lora(state, values.get(LORA_KEY, {}).get("alpha"))
    return recipe, state


def load_values(path: str | Path) -> Any:
    """Everything that a checkpoint holds, mapped from the file rather than read.

    Raises:
        CheckpointError: The file is missing, broken, or holds more than tensors and plain values.
    """
    path = Path(path)
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
