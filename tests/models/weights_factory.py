"""Files of weights, written where a download would have left them."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor


def cache(hub: Path, repo: str, revision: str, state: dict[str, Tensor]) -> None:
    """Write a state dict as huggingface_hub keeps it after a download."""
    folder = hub / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / revision
    snapshot.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in state.items()}, snapshot / "model.safetensors")
    (snapshot / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(revision)


def serve(state: dict[str, Tensor], folder: Path, monkeypatch: pytest.MonkeyPatch, entry) -> None:
    """Write a state dict and point the weights' address to it. As in its libraries, its name holds its hash.

    Args:
        entry: Of an enumeration of weights of torchgeo or torchvision.
    """
    file = folder / "weights.pth"
    torch.save(state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file = file.rename(folder / f"weights-{digest[:8]}.pth")
    monkeypatch.setattr(entry.value, "url", file.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
