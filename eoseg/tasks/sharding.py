"""FSDP: each process keeps a part of the weights, gradients and optimiser states, for large networks.

Zhao et al. 2023, https://arxiv.org/abs/2304.11277.
"""

from collections.abc import Callable
from functools import partial

from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.distributed.fsdp.wrap import lambda_auto_wrap_policy, size_based_auto_wrap_policy

from eoseg.errors import ConfigError
from eoseg.tasks.task import Task

_LEAST_PARAMETERS = 1_000_000
"""Of a part that is gathered on its own, in networks without blocks of a transformer."""


class ShardedTraining(FSDPStrategy):
    """Lightning's FSDP, by the blocks of the network, with checkpoints that hold all weights in one file.

    So any number of processes, or one, can go on from a checkpoint, test it, and map with it.
    """

    def __init__(self, task: Task) -> None:
        """Prepare for a task.

        Args:
            task: What is trained.

        Raises:
            ConfigError: The task averages its weights, which no process has as a whole; or there is nothing
                to train along gradients.
        """
        chosen = task.optimizer_config
        if chosen.average is not None or chosen.ema is not None:
            raise ConfigError(
                "With strategy fsdp no process has all weights, so optimizer.average and ema cannot "
                "be kept. Leave them out, or use strategy ddp."
            )
        if task.fitted_body is not None:
            raise ConfigError("A network that is fitted in one go has nothing to share. Leave strategy out.")
        super().__init__(auto_wrap_policy=wrap_policy(task.network), state_dict_type="full")


def wrap_policy(network: nn.Module) -> Callable[[nn.Module, bool, int], bool]:
    """Which parts are gathered on their own: each block of a transformer, else parts of a million weights."""
    blocks = {id(block) for block in transformer_blocks(network)}
    if blocks:
        return partial(lambda_auto_wrap_policy, lambda_fn=lambda module: id(module) in blocks)
    return partial(size_based_auto_wrap_policy, min_num_params=_LEAST_PARAMETERS)


def transformer_blocks(network: nn.Module) -> list[nn.Module]:
    """The repeated modules that hold an attention of their own: those of timm, smp and torch alike."""
    lists = [module for module in network.modules() if isinstance(module, (nn.ModuleList, nn.Sequential))]
    return [block for held in lists for block in held if len(held) > 1 and _attends(block)]


def _attends(block: nn.Module) -> bool:
    if isinstance(block, (nn.ModuleList, nn.Sequential)):
        return False  # a stage of blocks
    return any("attention" in type(part).__name__.lower() for part in block.children())
