"""Pixel-wise regression: one number per pixel, such as canopy height."""

from typing import ClassVar, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from eoseg.batch import Batch
from eoseg.errors import ConfigError, DataError
from eoseg.metrics import score_values
from eoseg.models import Kind, build_network, network_config
from eoseg.recipe import Schema, Statistics
from eoseg.tasks.counts import Sums, ValueSums
from eoseg.tasks.finetune import FinetuneConfig
from eoseg.tasks.needs import require_labels, require_time
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig
from eoseg.tasks.task import Task, usable

_LOSSES = ("mse", "mae", "huber")


class RegressionTask(Task):
    """Train a network to estimate a quantity for each pixel."""

    kind: ClassVar[Kind] = "segmentation"
    monitor = "val/rmse"
    monitor_mode = "min"

    def __init__(
        self,
        schema: Schema,
        chip_size: int,
        *,
        arch: str = "unet",
        encoder: str | None = None,
        weights: str | None = None,
        finetune: FinetuneConfig = FinetuneConfig(),  # noqa: B008 (frozen)
        network_args: dict[str, int | float | str | bool] | None = None,
        loss: Literal["mse", "mae", "huber"] = "mse",
        huber_delta: float | None = None,
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008 (frozen)
        scheduler: SchedulerConfig = SchedulerConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """Build the task.

        Args:
            schema: Bands and quantity; comes from the data.
            chip_size: Height and width of a chip in pixels; comes from the data.
            arch: Name of a model for segmentation; 'eoseg models' lists them.
            encoder: Of architectures over an encoder: any of segmentation_models_pytorch or timm.
            weights: What to start from: nothing by default, "imagenet", the name of torchgeo weights, or a
                checkpoint of PretrainTask.
            finetune: How the network goes on from `weights`: new_bands, freeze, unfreeze_every, lr_decay,
                lora_rank and lora_alpha.
            network_args: Further options of the architecture.
            loss: mse (mean squared error), mae (mean absolute error) or huber (Huber 1964), all of errors
                divided by the standard deviation of the training labels.
            huber_delta: Of the huber loss: the error, in standard deviations, up to which it is squared; 1
                by default.
            optimizer: Any optimiser of torch.optim: name, lr and args.
            scheduler: cosine, onecycle, plateau, constant or any class of torch.optim.lr_scheduler:
                name, warmup and args.

        Raises:
            ConfigError: An option is unknown, or the parts do not fit together.
        """
        require_labels(type(self).__name__, schema)
        if schema.quantity is None:
            raise ConfigError(
                "RegressionTask estimates a quantity, but the data hold classes. Use SegmentationTask, or "
                "name the quantity in the data."
            )
        if loss not in _LOSSES:
            raise ConfigError(f"loss is one of {', '.join(_LOSSES)} for a quantity; found '{loss}'.")
        if huber_delta is not None and (loss != "huber" or huber_delta <= 0):
            raise ConfigError(
                f"huber_delta is a positive number, for loss huber; found {huber_delta} with loss {loss}."
            )
        require_time(type(self).__name__, self.kind, schema)
        network = build_network(
            arch,
            kind=self.kind,
            bands=schema.bands,
            num_classes=1,
            encoder=encoder,
            weights=weights,
            new_bands=finetune.new_bands,
            args=network_args,
            chip_size=chip_size,
            regression=True,
        )
        super().__init__(
            schema,
            chip_size,
            network=network,
            network_config=network_config(network, arch, encoder=encoder, args=network_args),
            optimizer=optimizer,
            scheduler=scheduler,
            finetune=finetune,
            weights=weights,
        )
        if self.fitted_body is not None and loss != "mse":
            raise ConfigError(f"'{arch}' is fitted in one go, so loss has no effect. Leave it out.")
        self._loss = loss
        self._delta = 1.0 if huber_delta is None else huber_delta

    def make_counts(self) -> Sums:
        """Sums of errors."""
        return ValueSums()

    def use_statistics(self, statistics: Statistics) -> None:
        """Set the normalisation of bands and labels."""
        super().use_statistics(statistics)
        if statistics.target is not None:
            for stage in ("val", "test"):
                cast(ValueSums, self.counts(stage)).center = statistics.target.mean

    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss over pixels with a value; 0 where a batch has none."""
        target = self.target(batch)
        known = ~target.isnan()
        error = (logits[:, 0][known] - target[known]) / self._scale()
        if error.numel() == 0:
            return logits.sum() * 0.0
        zeros = torch.zeros_like(error)
        if self._loss == "huber":
            return functional.huber_loss(error, zeros, delta=self._delta)
        return error.square().mean() if self._loss == "mse" else error.abs().mean()

    def count(self, logits: Tensor, batch: Batch, stage: str) -> None:
        """Add a batch to the sums of a stage."""
        self.counts(stage).update(logits[:, 0], self.target(batch))

    def target(self, batch: Batch) -> Tensor:
        """The values, NaN wherever the image has none."""
        return batch["value"].masked_fill(~usable(batch, self.kind), torch.nan)

    def fitted_target(self, batch: Batch) -> Tensor:
        """The values standardised: the network's last layer takes them to their unit again."""
        rescale = self.network.rescale
        assert rescale is not None  # the network is built for a regression
        return (self.target(batch) - rescale.mean) / rescale.std

    def figures(self, stage: str) -> dict[str, float | None]:
        """RMSE, MAE and bias in the quantity's unit, and R2.

        Raises:
            DataError: The split holds no value.
        """
        sums = cast(ValueSums, self.counts(stage)).sums.tolist()
        scores = score_values(*sums)
        if scores.rmse is None:
            raise DataError(f"The {stage} split holds no labelled pixel. Change the split or the labels.")
        return {"rmse": scores.rmse, "mae": scores.mae, "bias": scores.bias, "r2": scores.r2}

    def _scale(self) -> Tensor:
        rescale = self.network.rescale
        assert rescale is not None  # the network is built for a regression
        return rescale.std
