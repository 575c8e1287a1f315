"""What all tasks share: one step for the three stages, exact metrics, a recipe in each checkpoint."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor, nn

from eoseg.batch import IGNORE, Batch
from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.metrics import Scores, score
from eoseg.models import Network
from eoseg.recipe import Plain, Recipe, Schema, Statistics
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig, build_optimizer, build_scheduler

MONITOR = "val/miou"
"""The validation score that chooses the checkpoint; higher is better."""


class DataSource(Protocol):
    """What a task asks of the datamodule that feeds it."""

    @property
    def statistics(self) -> Statistics:
        """Counts and values over the training pixels."""


class Task(LightningModule):
    """A network, its loss, its metrics and its optimiser. It never reads files.

    Call it as `task(image, valid) -> logits` with raw pixel values; see `eoseg.batch.Batch`.
    """

    def __init__(
        self,
        schema: Schema,
        chip_size: int,
        *,
        network: Network,
        network_config: dict[str, Plain],
        optimizer: OptimizerConfig,
        scheduler: SchedulerConfig,
    ) -> None:
        """Build the task.

        Args:
            schema: Bands and classes.
            chip_size: Height and width of a training chip in pixels.
            network: Raw values in, logits out.
            network_config: The arguments with which `build_network` makes the network again.
            optimizer: The optimiser and its learning rate.
            scheduler: How the learning rate changes.

        Raises:
            ConfigError: The chip size does not suit the network's output stride.
        """
        super().__init__()
        stride = network.output_stride
        if chip_size % stride:
            below, above = chip_size // stride * stride, -(-chip_size // stride) * stride
            nearest = f"{below} or {above}" if below else str(above)
            raise ConfigError(
                f"chip_size {chip_size} does not suit the network, whose sizes are multiples of {stride}. "
                f"Set chip_size to {nearest}."
            )
        self.schema = schema
        self.chip_size = chip_size
        self.network = network
        self.network_config = network_config
        self.optimizer_config = optimizer
        self.scheduler_config = scheduler
        self.statistics: Statistics | None = None
        self.provenance: dict[str, Plain] = {}
        self._counts = nn.ModuleDict({stage: _Counts(len(schema.classes)) for stage in ("val", "test")})

    @abstractmethod
    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar."""

    @abstractmethod
    def predict_classes(self, logits: Tensor) -> Tensor:
        """Int64 classes, in the shape of the target."""

    @abstractmethod
    def target(self, batch: Batch) -> Tensor:
        """Int64 classes to be learned, with `IGNORE`."""

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Map raw pixel values to logits.

        Args:
            image: Float32 `(B, C, H, W)`, raw file values.
            valid: Bool `(B, H, W)`, True where `image` has values.
        """
        return cast(Tensor, self.network(image, valid))

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Loss of one batch; outside training its counts go into the confusion matrix.

        Args:
            batch: What the datamodule yields.
            stage: "train", "val" or "test".

        Raises:
            DataError: The loss is no longer a finite number.
        """
        logits = self(batch["image"], batch["valid"])
        loss = self.compute_loss(logits, batch)
        if stage == "train" and not torch.isfinite(loss.detach()):
            raise DataError(
                f"The loss is {loss.item()} at step {self.global_step}, on chips "
                f"{', '.join(batch['id'][:4])}. Lower the learning rate, or look at these chips."
            )
        size = batch["image"].shape[0]
        self.log(
            f"{stage}/loss",
            loss,
            on_step=stage == "train",
            on_epoch=True,
            batch_size=size,
            sync_dist=stage != "train",
        )
        if stage != "train":
            cast(_Counts, self._counts[stage]).update(self.predict_classes(logits), self.target(batch))
        return loss

    def training_step(self, batch: Batch) -> Tensor:
        """Lightning's hook."""
        return self.step(batch, "train")

    def validation_step(self, batch: Batch) -> None:
        """Lightning's hook."""
        self.step(batch, "val")

    def test_step(self, batch: Batch) -> None:
        """Lightning's hook."""
        self.step(batch, "test")

    def on_validation_epoch_start(self) -> None:
        """Start counting afresh."""
        cast(_Counts, self._counts["val"]).reset()

    def on_test_epoch_start(self) -> None:
        """Start counting afresh."""
        cast(_Counts, self._counts["test"]).reset()

    def on_validation_epoch_end(self) -> None:
        """Log the scores of all processes' counts."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores of all processes' counts."""
        self._log_scores("test")

    def matrix(self, stage: str) -> NDArray[np.int64]:
        """The confusion matrix of the last epoch, summed over processes once the epoch has ended.

        Args:
            stage: "val" or "test".

        Returns:
            Int64 `(K, K)`, rows reference, columns map.
        """
        return cast(_Counts, self._counts[stage]).matrix.cpu().numpy()

    def scores(self, stage: str) -> Scores:
        """The figures of the last epoch, from `matrix`."""
        return score(self.matrix(stage), self.schema.class_names)

    def recipe(self) -> Recipe:
        """What a checkpoint says beside the weights.

        Raises:
            CheckpointError: The task has not seen training statistics yet.
        """
        if self.statistics is None:
            raise CheckpointError("A checkpoint needs training statistics: fit first, or load a checkpoint.")
        return Recipe(
            task=type(self).__name__,
            schema=self.schema,
            statistics=self.statistics,
            network=self.network_config,
            chip_size=self.chip_size,
            output_stride=self.network.output_stride,
            provenance=self.provenance,
        )

    def setup(self, stage: str) -> None:
        """Take the normalisation from the training statistics, unless a checkpoint brought its own."""
        if stage == "fit" and self.statistics is None:
            source = cast(DataSource, self.trainer.datamodule)  # type: ignore[attr-defined]
            self.use_statistics(source.statistics)

    def use_statistics(self, statistics: Statistics) -> None:
        """Set the network's normalisation, and whatever a task derives from the training pixels."""
        self.statistics = statistics
        self.network.normalize.set_statistics(statistics)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Lightning's hook."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = build_optimizer(self.optimizer_config, trained)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = build_scheduler(self.scheduler_config, optimizer, total_steps=steps, monitor=MONITOR)
        if schedule is None:
            return optimizer
        return cast(OptimizerLRScheduler, {"optimizer": optimizer, "lr_scheduler": schedule})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipe."""
        checkpoint["eoseg"] = self.recipe().to_dict()

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take the statistics from a checkpoint that was trained for the same bands and classes.

        Raises:
            CheckpointError: The file is not eoseg's, or is for other bands, classes or another network.
        """
        if "eoseg" not in checkpoint:
            raise CheckpointError("The file is not a checkpoint of eoseg: it has no recipe.")
        recipe = Recipe.from_dict(checkpoint["eoseg"])
        for what, theirs, ours in (
            ("task", recipe.task, type(self).__name__),
            ("bands", recipe.schema.bands, self.schema.bands),
            ("classes", recipe.schema.class_names, self.schema.class_names),
            ("network", recipe.network, self.network_config),
        ):
            if theirs != ours:
                raise CheckpointError(
                    f"The checkpoint was made for {what} {theirs}, the configuration says {ours}. Use the "
                    "config.yaml beside the checkpoint."
                )
        self.use_statistics(recipe.statistics)
        self.provenance = recipe.provenance

    def _log_scores(self, stage: str) -> None:
        counts = cast(_Counts, self._counts[stage])
        counts.sum_over_processes()
        if self.trainer.sanity_checking:
            return
        scores = self.scores(stage)
        if scores.mean_iou is None:
            raise DataError(f"The {stage} split holds no labelled pixel. Change the split or the labels.")
        figures = {
            "miou": scores.mean_iou,
            "oa": scores.overall_accuracy,
            "balanced_accuracy": scores.balanced_accuracy,
            "kappa": scores.kappa,
            "mean_f1": scores.mean_f1,
            **{f"iou/{entry.name}": entry.iou for entry in scores.classes},
            **{f"f1/{entry.name}": entry.f1 for entry in scores.classes},
        }
        # An undefined figure is left out, never logged as 0 or NaN. The counts are already summed.
        self.log_dict({f"{stage}/{name}": value for name, value in figures.items() if value is not None})


class _Counts(nn.Module):
    """An int64 confusion matrix on the task's device, not part of the checkpoint."""

    matrix: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer(
            "matrix", torch.zeros(num_classes, num_classes, dtype=torch.int64), persistent=False
        )

    def reset(self) -> None:
        self.matrix.zero_()

    def update(self, classes: Tensor, target: Tensor) -> None:
        known = target != IGNORE
        pairs = target[known] * self.num_classes + classes[known]
        counts = torch.bincount(pairs, minlength=self.num_classes**2)
        self.matrix += counts.view(self.num_classes, self.num_classes)

    def sum_over_processes(self) -> None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.matrix)
