"""Semantic segmentation: one class per pixel."""

from typing import Literal

from torch import Tensor

from eoseg.batch import IGNORE, Batch
from eoseg.errors import ConfigError
from eoseg.losses import Loss, LossTerm, build_loss
from eoseg.models import build_network
from eoseg.recipe import Plain, Schema, Statistics
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig
from eoseg.tasks.task import Task


class SegmentationTask(Task):
    """Train a network to give each pixel a class."""

    def __init__(
        self,
        schema: Schema,
        chip_size: int,
        *,
        arch: str = "unet",
        encoder: str = "resnet18",
        weights: str | None = None,
        network_args: dict[str, int | float | str | bool] | None = None,
        loss: str | list[LossTerm] = "cross_entropy",
        class_weights: list[float] | Literal["balanced"] | None = None,
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008 (frozen)
        scheduler: SchedulerConfig = SchedulerConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """Build the task.

        Args:
            schema: Bands and classes; comes from the data.
            chip_size: Height and width of a chip in pixels; comes from the data.
            arch: unet, fcn, deeplabv3plus, upernet or segformer.
            encoder: Any encoder of segmentation_models_pytorch or timm, such as resnet34 or mit_b0.
            weights: Weights of the encoder to start from: none by default, "imagenet", or the name of
                torchgeo weights such as ResNet18_Weights.SENTINEL2_ALL_MOCO.
            network_args: Further arguments of the architecture.
            loss: cross_entropy, focal, dice, jaccard, lovasz or tversky; or a list of terms with name,
                weight and args, which are summed.
            class_weights: One weight per class, or "balanced" (from the training pixels).
            optimizer: Any optimiser of torch.optim: name, lr and args.
            scheduler: cosine, onecycle, plateau, constant or any class of torch.optim.lr_scheduler:
                name, warmup and args.

        Raises:
            ConfigError: An option is unknown, or the parts do not fit together.
        """
        network = build_network(
            arch,
            bands=schema.bands,
            num_classes=len(schema.classes),
            encoder=encoder,
            weights=weights,
            args=network_args,
        )
        config: dict[str, Plain] = {"arch": arch, "encoder": encoder, "args": dict(network_args or {})}
        super().__init__(
            schema,
            chip_size,
            network=network,
            network_config=config,
            optimizer=optimizer,
            scheduler=scheduler,
        )
        self._loss_terms = loss
        self._class_weights = class_weights
        # Built here already, so that an impossible combination fails before any data is read.
        self.loss = self._build_loss(
            [1.0] * len(schema.classes) if class_weights == "balanced" else class_weights
        )

    def use_statistics(self, statistics: Statistics) -> None:
        """Set the normalisation and, where asked for, the balanced class weights."""
        super().use_statistics(statistics)
        if self._class_weights == "balanced":
            self.loss = self._build_loss(list(statistics.balanced_weights)).to(self.device)

    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss over labelled valid pixels."""
        loss: Tensor = self.loss(logits, self.target(batch))
        return loss

    def predict_classes(self, logits: Tensor) -> Tensor:
        """The class with the highest logit, `(B, K, H, W)` to `(B, H, W)`."""
        return logits.max(dim=1).indices  # twice as fast as argmax on channels-last tensors

    def target(self, batch: Batch) -> Tensor:
        """The mask, `IGNORE` wherever the image has no value."""
        return batch["mask"].masked_fill(~batch["valid"], IGNORE)

    def _build_loss(self, class_weights: list[float] | None) -> Loss:
        if class_weights is not None and len(class_weights) != len(self.schema.classes):
            raise ConfigError(
                f"class_weights has {len(class_weights)} values for {len(self.schema.classes)} classes; "
                "give one for each."
            )
        return build_loss(self._loss_terms, num_classes=len(self.schema.classes), class_weights=class_weights)
