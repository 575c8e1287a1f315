import pytest
import torch

from eoseg.errors import CheckpointError
from eoseg.models.lora import has_lora, merge_lora


def adapted() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "attn.qkv.base_layer.weight": torch.randn(6, 4, generator=generator),
        "attn.qkv.base_layer.bias": torch.zeros(6),
        "attn.qkv.lora_A.default.weight": torch.randn(2, 4, generator=generator),
        "attn.qkv.lora_B.default.weight": torch.randn(6, 2, generator=generator),
        "head.weight": torch.ones(1, 6),
    }


def test_the_product_is_added_under_the_usual_name() -> None:
    state = adapted()
    merged = merge_lora(state, 8.0)
    assert set(merged) == {"attn.qkv.weight", "attn.qkv.bias", "head.weight"}
    down, up = state["attn.qkv.lora_A.default.weight"], state["attn.qkv.lora_B.default.weight"]
    torch.testing.assert_close(
        merged["attn.qkv.weight"], state["attn.qkv.base_layer.weight"] + 4.0 * up @ down
    )
    assert has_lora(state)
    assert not has_lora(merged)


@pytest.mark.parametrize("missing", ["attn.qkv.lora_B.default.weight", "attn.qkv.base_layer.weight", "alpha"])
def test_half_an_adapter_is_refused(missing: str) -> None:
    state = adapted()
    state.pop(missing, None)
    with pytest.raises(CheckpointError, match=r"adapter of 'attn.qkv' is incomplete"):
        merge_lora(state, None if missing == "alpha" else 8.0)
