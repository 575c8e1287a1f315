"""Pretraining: an encoder learns from scenes without labels by reconstructing them."""

from typing import ClassVar, cast

import torch
from torch import Tensor

from eoseg.batch import Batch
from eoseg.errors import ConfigError, DataError
from eoseg.metrics import score_values
from eoseg.models import Kind, build_network, network_config
from eoseg.models.autoencoder import Autoencoder
from eoseg.recipe import Schema
from eoseg.tasks.counts import Sums, ValueSums
from eoseg.tasks.finetune import FinetuneConfig
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig
from eoseg.tasks.task import Task

_SEED = 20
"""Of the patches that are hidden in validation: the same in every epoch, so that epochs compare."""


class PretrainTask(Task):
    """Train an encoder to reconstruct standardised images, whole or with hidden patches.

    Its checkpoint is a value of `weights` for every architecture over the same encoder. Figures are in
    standard deviations of the bands, over the pixels that were hidden (all of them without hiding).
    """

    kind: ClassVar[Kind] = "pretraining"
    monitor = "val/rmse"
    monitor_mode = "min"

    def __init__(
        self,
        schema: Schema,
        chip_size: int,
        *,
        arch: str = "autoencoder",
        encoder: str | None = None,
        weights: str | None = None,
        finetune: FinetuneConfig = FinetuneConfig(),  # noqa: B008 (frozen)
        network_args: dict[str, int | float | str | bool] | None = None,
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008 (frozen)
        scheduler: SchedulerConfig = SchedulerConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """Build the task.

        Args:
            schema: Bands; comes from the data, whose labels are not looked at.
            chip_size: Height and width of a chip in pixels; comes from the data.
            arch: autoencoder.
            encoder: Any convolutional encoder of segmentation_models_pytorch or timm.
            weights: What to start from: nothing by default, "imagenet", or the name of torchgeo weights.
            finetune: How the network goes on from `weights`: new_bands, freeze, unfreeze_every, lr_decay,
                lora_rank and lora_alpha.
            network_args: Further options of the architecture, such as mask_ratio.
            optimizer: Any optimiser of torch.optim: name, lr and args.
            scheduler: cosine, onecycle, plateau, constant or any class of torch.optim.lr_scheduler:
                name, warmup and args.

        Raises:
            ConfigError: An option is unknown, the parts do not fit together, or an image has several dates.
        """
        if schema.time != "single":
            found = "pairs" if schema.time == "pair" else "series"
            raise ConfigError(
                f"PretrainTask learns from single images; found {found} of dates. Name all images in "
                "'images', without 'after' and without {date}."
            )
        network = build_network(
            arch,
            kind=self.kind,
            bands=schema.bands,
            num_classes=len(schema.bands),
            encoder=encoder,
            weights=weights,
            new_bands=finetune.new_bands,
            args=network_args,
            chip_size=chip_size,
        )
        if not isinstance(network.body, Autoencoder):
            raise ConfigError(f"'{arch}' reconstructs nothing. Use arch autoencoder.")
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

    def make_counts(self) -> Sums:
        """Sums of errors."""
        return ValueSums()

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Loss of one batch: the mean squared error of hidden valid pixels.

        Raises:
            DataError: The loss is no longer a finite number.
        """
        image = self.network.prepare(batch["image"], batch["valid"])  # (B, C, H, W)
        generator = None if stage == "train" else torch.Generator().manual_seed(_SEED)
        rebuilt, judged = cast(Autoencoder, self.network.body).reconstruct(image, generator)
        known = (judged & batch["valid"][:, None]).expand_as(image)
        loss = (rebuilt - image)[known].square().mean() if known.any() else rebuilt.sum() * 0.0
        self.check_and_log(loss, batch, stage)
        if stage != "train":
            self.counts(stage).update(rebuilt, image.masked_fill(~known, torch.nan))
        return loss

    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean squared error of all valid pixels."""
        target = self.target(batch)
        known = ~target.isnan()
        return (logits - target)[known].square().mean()

    def count(self, logits: Tensor, batch: Batch, stage: str) -> None:
        """Add the errors of all valid pixels to the counts of a stage."""
        self.counts(stage).update(logits, self.target(batch))

    def target(self, batch: Batch) -> Tensor:
        """The standardised image, NaN where it is invalid."""
        image = self.network.prepare(batch["image"], batch["valid"])
        return image.masked_fill(~batch["valid"][:, None], torch.nan)

    def figures(self, stage: str) -> dict[str, float | None]:
        """RMSE and MAE in standard deviations, and the share of the variance that is reconstructed.

        Raises:
            DataError: The split holds no valid pixel.
        """
        scores = score_values(*cast(ValueSums, self.counts(stage)).sums.tolist())
        if scores.rmse is None:
            raise DataError(f"The {stage} split holds no valid pixel. Change the split.")
        return {"rmse": scores.rmse, "mae": scores.mae, "r2": scores.r2}
