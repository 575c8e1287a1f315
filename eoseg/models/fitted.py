"""Models that are fitted to a sample in one go instead of step by step along gradients."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from eoseg.errors import CheckpointError


class FittedBody(nn.Module, ABC):
    """The body of a network that learns by `collect` and `fit`, not by gradients.

    A task calls `collect` with each training batch, then `fit` once. What was learned is kept in buffers,
    so that it travels in the state dict like any weights. Buffers whose size is known only after `fit`
    (a stored estimator) are taken from a state dict whatever size they have.
    """

    is_fitted: Tensor
    output_stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("is_fitted", torch.tensor(False))

    @abstractmethod
    def collect(self, image: Tensor, valid: Tensor, target: Tensor, *, days: Tensor | None = None) -> None:
        """Keep a bounded sample of a training batch.

        Args:
            image: Standardised values, as the body's `forward` takes them.
            valid: Bool, the image's shape without channels.
            target: Int64 classes `(B, H, W)` with `IGNORE`, `(B,)` for chips, 0 and 1 `(B, K)` for chips with
                several labels; standardised values `(B, H, W)` with NaN for a quantity.
            days: Day of the year of each date `(B, T)`; for series only.
        """

    @abstractmethod
    def fit(self, class_weights: list[float] | None = None) -> None:
        """Learn from what was collected, then forget it.

        Args:
            class_weights: One weight per class, where the task has them.

        Raises:
            DataError: The sample is empty or holds a single class.
            ConfigError: The model takes no class weights.
        """

    def require_fitted(self) -> None:
        """Refuse to predict before `fit`.

        Raises:
            CheckpointError: Nothing was learned yet.
        """
        if not self.is_fitted:
            raise CheckpointError("The model was never fitted. Train it, or load a checkpoint.")

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, buffer in list(self._buffers.items()):
            stored = state_dict.get(prefix + name)
            if buffer is not None and isinstance(stored, Tensor) and stored.shape != buffer.shape:
                self._buffers[name] = torch.empty_like(stored, device=buffer.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
