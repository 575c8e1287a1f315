"""Low-rank adaptation of vision transformers (LoRA, Hu et al. 2021, https://arxiv.org/abs/2106.09685).

The dense layers of attention keep their weights W; what is trained is a product of two thin matrices that is
added to each: W + alpha / rank * B A. `peft` puts these in for training; `eoseg.models.lora` adds them up.
"""

from torch import nn

from eoseg.errors import ConfigError
from eoseg.models.network import Network
from eoseg.models.stages import pretrained_part

_LAYERS = ("qkv", "q", "k", "v", "kv", "proj")
"""Names of the dense layers of attention in timm and smp."""


def add_lora(network: Network, *, rank: int, alpha: float) -> int:
    """Put adapters into the attention of the encoder or trunk, and freeze all else of it.

    Args:
        network: Is changed; its outputs are as before, since B starts at 0.
        rank: Columns of B, at least 1.
        alpha: What the product is multiplied with, divided by the rank.

    Returns:
        The number of layers that are adapted.

    Raises:
        ConfigError: There is no attention, or peft is not installed.
    """
    part = pretrained_part(network)
    targets = [name for name, module in part.named_modules() if _is_attention(name, module)]
    if not targets:
        raise ConfigError(
            "LoRA adapts the attention of vision transformers, and this network has none. Leave lora_rank "
            "out, or take arch vit, changevit, or an encoder such as mit_b0."
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError('LoRA needs peft. Install it: pip install "eoseg[lora]".') from error
    # peft declares a whole number, and computes with any.
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0)  # type: ignore[arg-type]
    inject_adapter_in_model(config, part)
    return len(targets)


def _is_attention(name: str, module: nn.Module) -> bool:
    *above, last = name.split(".")
    return isinstance(module, nn.Linear) and last in _LAYERS and any("att" in word for word in above[-1:])
