import sys

import pytest
import torch

from eoseg.errors import ConfigError
from eoseg.models import build_network
from eoseg.models.adapters import add_lora
from eoseg.models.lora import merge_lora
from eoseg.models.network import Network

BANDS = ["red", "green", "blue"]


def transformer() -> Network:
    torch.manual_seed(0)
    return build_network(
        "vit", kind="classification", bands=BANDS, num_classes=3, chip_size=16, args={"patch": 8}
    ).eval()


def test_adapters_change_nothing_at_first_and_are_all_that_is_trained_of_the_trunk() -> None:
    pytest.importorskip("peft")
    network, image = transformer(), torch.randn(2, 3, 16, 16)
    before = network.body(image)
    assert add_lora(network, rank=4, alpha=8) == 24  # two dense layers in each of twelve blocks
    torch.testing.assert_close(network.body(image), before)
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert {name for name in trained if "lora_" not in name} == {"body.head.weight", "body.head.bias"}
    assert len(trained) == 2 + 2 * 24


def test_merged_weights_give_what_the_adapted_network_gives() -> None:
    pytest.importorskip("peft")
    network, image = transformer(), torch.randn(2, 3, 16, 16)
    plain = network.body(image)
    add_lora(network, rank=2, alpha=6)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "lora_B" in name:
                value.normal_(generator=torch.Generator().manual_seed(1), std=0.1)
    adapted = network.body(image)
    assert not torch.allclose(adapted, plain, atol=1e-3)
    again = transformer()
    again.load_state_dict(merge_lora(network.state_dict(), 6.0))
    torch.testing.assert_close(again.body(image), adapted, rtol=1e-4, atol=1e-5)


def test_convolutions_have_no_attention_to_adapt() -> None:
    with pytest.raises(ConfigError, match=r"LoRA adapts the attention of vision transformers.* has none"):
        add_lora(build_network("unet", bands=BANDS, num_classes=3), rank=4, alpha=8)


def test_without_peft_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r'LoRA needs peft. Install it: pip install "eoseg\[lora\]"'):
        add_lora(transformer(), rank=4, alpha=8)
