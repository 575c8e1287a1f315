"""How a pretrained network is taught what is new: what stays frozen, and at which rate the rest learns."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn, optim

from eoseg.errors import ConfigError
from eoseg.models import Network
from eoseg.models.adapters import add_lora
from eoseg.models.checkpoint_file import LORA_KEY, NETWORK_PREFIX
from eoseg.models.lora import has_lora, merge_lora
from eoseg.models.stages import Stage, pretrained_part, stages_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)  # no slots: jsonargparse reads defaults from __dict__
class FinetuneConfig:
    """How a network that starts from `weights` goes on from them.

    Without any of these all of it is trained at one rate. The encoder (of chip classifiers the trunk) is what
    the weights fill; decoder and last layers are always trained.

    Args:
        new_bands: What the first layer starts from for bands that the weights do not know by name: "average"
            of all their bands, "zero", or one of their bands, whose kernels are copied.
        freeze: Leave the whole encoder as it is, with its batch statistics.
        unfreeze_every: Epochs after which one more stage of the encoder is trained, the last one first
            (Howard and Ruder 2018, https://arxiv.org/abs/1801.06146); in the first of them none is.
        lr_decay: Above 0, below 1: each stage learns at this times the rate of the one after it, the last one
            at this times the rate of the decoder (Bao et al. 2021, https://arxiv.org/abs/2106.08254).
        lora_rank: Of vision transformers, train low-rank additions to the attention alone (LoRA, Hu et al.
            2021, https://arxiv.org/abs/2106.09685), of this rank: 4 to 16 are usual. Needs `eoseg[lora]`.
        lora_alpha: Strength of these additions; their product is multiplied with it and divided by the rank.
            Twice the rank by default.
    """

    new_bands: str = "average"
    freeze: bool = False
    unfreeze_every: int | None = None
    lr_decay: float | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("unfreeze_every", self.unfreeze_every), ("lora_rank", self.lora_rank)):
            if value is not None and value < 1:
                raise ConfigError(f"finetune.{name} is a whole number of at least 1; found {value}.")
        if self.lr_decay is not None and not 0 < self.lr_decay < 1:
            raise ConfigError(
                f"finetune.lr_decay is a factor above 0 and below 1; found {self.lr_decay}. 0.65 to 0.9 are "
                "usual."
            )
        if self.lora_alpha is not None and (self.lora_rank is None or self.lora_alpha <= 0):
            raise ConfigError(
                f"finetune.lora_alpha is a positive number, for a lora_rank; found {self.lora_alpha} with "
                f"lora_rank {self.lora_rank}."
            )
        alone = [name for name, chosen in (("freeze", self.freeze), ("lora_rank", self.lora_rank)) if chosen]
        others = [name for name in ("unfreeze_every", "lr_decay") if getattr(self, name) is not None]
        if len(alone) > 1 or (alone and others):
            raise ConfigError(
                f"finetune.{alone[0]} keeps the encoder's own weights as they are, so "
                f"{' and '.join([*alone[1:], *others])} would have no effect. Leave one out."
            )


class Finetuning(Callback):
    """Does to a network while training what a `FinetuneConfig` says."""

    def __init__(
        self, config: FinetuneConfig, network: Network, *, weights: str | None, chip_size: int, steps: int
    ) -> None:
        """Take the network as it was built.

        Args:
            config: What to do.
            network: Of the task.
            weights: What it started from.
            chip_size: Height and width of a chip in pixels.
            steps: T, the number of dates of a sample.

        Raises:
            ConfigError: It started from nothing, or has no part that does.
        """
        self.config = config
        self._network = network
        self._stages: list[Stage] = []
        if config == FinetuneConfig():
            return
        if weights is None:
            raise ConfigError(
                "finetune says how a network goes on from pretrained weights, but it starts from random "
                "ones. Set weights, or leave finetune out."
            )
        if config.freeze:
            pretrained_part(network).requires_grad_(False)
        elif config.unfreeze_every is not None or config.lr_decay is not None:
            self._stages = stages_of(network, chip_size=chip_size, steps=steps)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Add what LoRA trains, and say what is trained."""
        if stage != "fit" or self.config == FinetuneConfig():
            return
        if self.config.lora_rank is not None and not has_lora(self._network.state_dict()):
            layers = add_lora(self._network, rank=self.config.lora_rank, alpha=self._alpha)
            _log.info("LoRA of rank %d adapts %d layers of attention.", self.config.lora_rank, layers)
        every, names = self.config.unfreeze_every, [entry.name for entry in self._stages]
        if every is not None and trainer.max_epochs is not None and trainer.max_epochs >= 0:
            never = len(names) - max(0, trainer.max_epochs - 1) // every
            if never > 0:
                _log.warning(
                    "In %d epochs, with a stage more after each %d, %s of the encoder stay as they are. Set "
                    "finetune.unfreeze_every lower or trainer.max_epochs higher to train all.",
                    trainer.max_epochs,
                    every,
                    ", ".join(names[:never]),
                )
        trained = sum(p.numel() for p in pl_module.parameters() if p.requires_grad)
        total = sum(p.numel() for p in pl_module.parameters())
        _log.info("Fine-tuning: %s of %s values are trained%s.", f"{trained:,}", f"{total:,}", self._rates())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Open the stages that are due; batch statistics of closed ones stay as they are."""
        if self.config.freeze:
            pretrained_part(self._network).eval()
        if self.config.unfreeze_every is None:
            return
        closed = self._closed(trainer.current_epoch)
        for number, stage in enumerate(self._stages):
            is_open = number >= closed
            for module in stage.modules:
                module.train(is_open)
            for parameter in stage.parameters:
                # What waits for gradients of other processes was settled before the first epoch: there, those
                # of closed stages are computed and dropped.
                parameter.requires_grad_(is_open or trainer.world_size > 1)
        if trainer.current_epoch and closed < self._closed(trainer.current_epoch - 1):
            _log.info(
                "From epoch %d on '%s' is trained too.", trainer.current_epoch, self._stages[closed].name
            )

    def on_before_optimizer_step(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        optimizer: optim.Optimizer,  # noqa: ARG002
    ) -> None:
        """Drop the gradients of closed stages."""
        if self.config.unfreeze_every is not None:
            for stage in self._stages[: self._closed(trainer.current_epoch)]:
                for parameter in stage.parameters:
                    parameter.grad = None

    def groups(
        self, parameters: Iterable[nn.Parameter], lr: float
    ) -> list[nn.Parameter] | list[dict[str, Any]]:
        """What an optimiser trains: parameters, or groups of them with their own rates.

        Args:
            parameters: All of the task.
            lr: Rate of the decoder.
        """
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        decay = self.config.lr_decay
        if decay is None:
            return trained
        groups: list[dict[str, Any]] = []
        for depth, stage in enumerate(reversed(self._stages), start=1):
            if stage.parameters:
                groups.append({"params": list(stage.parameters), "lr": lr * decay**depth})
        staged = {id(parameter) for group in groups for parameter in group["params"]}
        return [{"params": [p for p in trained if id(p) not in staged], "lr": lr}, *groups]

    def write(self, checkpoint: dict[str, Any]) -> None:
        """Note in a checkpoint what is needed to add adapters to the weights."""
        if self.config.lora_rank is not None:
            checkpoint[LORA_KEY] = {"alpha": self._alpha}

    def read(self, checkpoint: dict[str, Any]) -> None:
        """Add a checkpoint's adapters to its weights where the network has none, as in `test`."""
        if LORA_KEY not in checkpoint or has_lora(self._network.state_dict()):
            return
        state: Mapping[str, Tensor] = checkpoint["state_dict"]
        own = {name: value for name, value in state.items() if name.startswith(NETWORK_PREFIX)}
        rest = {name: value for name, value in state.items() if name not in own}
        checkpoint["state_dict"] = rest | merge_lora(own, checkpoint[LORA_KEY]["alpha"])

    def _closed(self, epoch: int) -> int:
        """How many stages, from the first, are not trained in an epoch."""
        assert self.config.unfreeze_every is not None
        return max(0, len(self._stages) - epoch // self.config.unfreeze_every)

    @property
    def _alpha(self) -> float:
        rank = self.config.lora_rank or 0
        return float(2 * rank if self.config.lora_alpha is None else self.config.lora_alpha)

    def _rates(self) -> str:
        decay, count = self.config.lr_decay, len(self._stages)
        if decay is None:
            return ""
        return f", '{self._stages[0].name}' at {decay**count:.2g} of the decoder's rate"
