"""Python objects of several processes."""

from collections.abc import Sequence

import torch


def is_shared() -> bool:
    """Whether several processes work together."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def of_all[T](mine: Sequence[T]) -> list[T]:
    """What all processes have, in the order of their ranks; every process must call it."""
    if not is_shared():
        return list(mine)
    found: list[list[T]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(found, list(mine))
    return [item for part in found for item in part]


def at_rank_zero[T](mine: Sequence[T]) -> list[T]:
    """What all processes have, on rank zero, and nothing elsewhere; every process must call it."""
    if not is_shared():
        return list(mine)
    first = torch.distributed.get_rank() == 0
    found: list[list[T]] | None = [[] for _ in range(torch.distributed.get_world_size())] if first else None
    torch.distributed.gather_object(list(mine), found)
    return [item for part in found or [] for item in part]
