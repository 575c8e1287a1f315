"""Weights with low-rank adapters beside them, as checkpoints hold them; see `eoseg.models.adapters`.

Whoever reads such a checkpoint gets the sum, so that prediction needs neither peft nor the option.
"""

from collections.abc import Mapping

from torch import Tensor

from eoseg.errors import CheckpointError

_BASE, _DOWN, _UP = ".base_layer.", ".lora_A.default.weight", ".lora_B.default.weight"
"""Of peft's names: the layer's own values, A and B."""


def has_lora(state: Mapping[str, Tensor]) -> bool:
    """Whether weights hold adapters."""
    return any(name.endswith(_DOWN) for name in state)


def merge_lora(state: Mapping[str, Tensor], alpha: float | None) -> dict[str, Tensor]:
    """Weights with the adapters added to the layers that they adapt, under the layers' usual names.

    Args:
        state: Of a network with adapters.
        alpha: As for `add_lora`.

    Raises:
        CheckpointError: `alpha` is not known, or half of an adapter is missing.
    """
    merged = {name.replace(_BASE, "."): value for name, value in state.items() if ".lora_" not in name}
    for name, down in state.items():
        if not name.endswith(_DOWN):
            continue
        layer = name.removesuffix(_DOWN)
        up = state.get(layer + _UP)
        if up is None or alpha is None or f"{layer}.weight" not in merged:
            raise CheckpointError(
                f"The LoRA adapter of '{layer}' is incomplete. Use a checkpoint that 'eoseg fit' wrote."
            )
        weight = merged[f"{layer}.weight"]
        added = alpha / down.shape[0] * (up.double() @ down.double())
        merged[f"{layer}.weight"] = (weight.double() + added).to(weight.dtype)
    return merged
