"""The stages of what a network was given pretrained weights for, in the order that an image passes them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.network import Network

_PARTS = ("encoder", "trunk")
"""What bodies call the part that pretrained weights fill; see `eoseg.models.pretrained`."""

_LEAST = 4
"""A part with fewer layers at its top is looked into: a transformer's blocks lie in one container."""


@dataclass(frozen=True)
class Stage:
    """Some layers that are frozen, or learn at one rate, together."""

    name: str
    """As in the network, such as "layer4" or "blocks.11"."""
    modules: tuple[nn.Module, ...]
    parameters: tuple[nn.Parameter, ...]
    """All that a gradient reaches."""


def pretrained_part(network: Network) -> nn.Module:
    """The encoder or trunk of a network.

    Raises:
        ConfigError: It has neither.
    """
    for name in _PARTS:
        part = getattr(network.body, name, None)
        if isinstance(part, nn.Module):
            return part
    raise ConfigError(
        "This network has neither an encoder nor a trunk that could be pretrained, so nothing of it can be "
        "frozen or learn at another rate. Leave finetune out, or choose an arch over an encoder."
    )


def stages_of(network: Network, *, chip_size: int, steps: int = 1) -> list[Stage]:
    """Divide the pretrained part into stages, first to last.

    Layers count in the order in which a trial image passes them. Normalisation goes with the layer before
    it, and values that belong to no layer (a transformer's embedded positions) with the first stage. For a
    ResNet these are its first convolution and its four groups of blocks, for a vision transformer its patch
    embedding and each block.

    Args:
        network: The network.
        chip_size: Height and width of a chip in pixels.
        steps: T, the number of dates of a sample.

    Raises:
        ConfigError: The network has no such part.
    """
    part = pretrained_part(network)
    units = _units(part)
    passed = _order(network, [module for _, module in units], chip_size, steps)
    stages: list[tuple[str, list[nn.Module]]] = []
    for name, module in (units[number] for number in passed):
        if stages and all(parameter.ndim < 2 for parameter in module.parameters()):
            stages[-1][1].append(module)
        else:
            stages.append((name, [module]))
    held = [[p for module in modules for p in module.parameters()] for _, modules in stages]
    known = {id(parameter) for parameters in held for parameter in parameters}
    held[0] = [*(p for p in part.parameters() if id(p) not in known), *held[0]]
    return [
        Stage(name, tuple(modules), tuple(p for p in parameters if p.requires_grad))
        for (name, modules), parameters in zip(stages, held, strict=True)
    ]


def _units(part: nn.Module) -> list[tuple[str, nn.Module]]:
    """Layers at the top of a module by name; where there are few, those inside the largest of them."""
    units = _children("", part)
    while len(units) < _LEAST:
        inner = [
            number
            for number, (_, module) in enumerate(units)
            if (len(units) == 1 or isinstance(module, nn.Sequential | nn.ModuleList))
            and _children("", module)
        ]
        if not inner:
            break
        largest = max(inner, key=lambda number: sum(p.numel() for p in units[number][1].parameters()))
        units[largest : largest + 1] = _children(units[largest][0], units[largest][1])
    return units


def _children(prefix: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Those with parameters."""
    return [
        (f"{prefix}.{name}".removeprefix("."), child)
        for name, child in module.named_children()
        if any(True for _ in child.parameters())
    ]


def _order(network: Network, units: list[nn.Module], chip_size: int, steps: int) -> list[int]:
    """Numbers of the units in the order in which an image first passes them; those that it does not, not."""
    seen: dict[int, None] = {}

    def note(number: int) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:  # noqa: ARG001
            seen.setdefault(number)

        return hook

    # A list of layers is not called itself, but its layers are.
    hooks = [
        module.register_forward_pre_hook(note(number))  # type: ignore[arg-type]
        for number, unit in enumerate(units)
        for module in unit.modules()
    ]
    was_training = network.training
    network.eval()  # batch statistics stay as they are
    try:
        with torch.no_grad():
            network.flat(steps)(network.trial_image(chip_size, steps))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return list(seen)
