"""What all tasks share: one step for the three stages, exact figures, a recipe in each checkpoint."""

import logging
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Protocol, cast

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn, optim

from eoseg.batch import Batch
from eoseg.errors import CheckpointError, ConfigError, LossError
from eoseg.models import FittedBody, Kind, Network
from eoseg.recipe import Plain, Recipe, Schema, Statistics
from eoseg.tasks.averaging import AverageWeights
from eoseg.tasks.counts import LossMean, Sums
from eoseg.tasks.finetune import FinetuneConfig, Finetuning
from eoseg.tasks.needs import require_chip_size, require_one_process, require_time
from eoseg.tasks.optim import BatchRule, OptimizerConfig, SchedulerConfig, build_optimizer, build_scheduler

_log = logging.getLogger(__name__)


class DataSource(Protocol):
    """What a task asks of the datamodule that feeds it."""

    batch_size: int

    @property
    def statistics(self) -> Statistics:
        """Counts and values over the training pixels."""


class Task(LightningModule, ABC):
    """A network, its loss, its figures and its optimiser. It never reads files.

    Call it as `task(image, valid) -> logits` with raw pixel values; see `eoseg.batch.Batch`.
    """

    kind: ClassVar[Kind]
    """What its networks take and give."""

    monitor: str
    """The validation figure that chooses the checkpoint."""
    monitor_mode: Literal["max", "min"] = "max"
    """Whether more or less of it is better."""

    def __init__(
        self,
        schema: Schema,
        chip_size: int,
        *,
        network: Network,
        network_config: dict[str, Plain],
        optimizer: OptimizerConfig,
        scheduler: SchedulerConfig,
        finetune: FinetuneConfig = FinetuneConfig(),  # noqa: B008 (frozen)
        weights: str | None = None,
    ) -> None:
        """Build the task.

        Args:
            schema: Bands and classes.
            chip_size: Height and width of a training chip in pixels.
            network: Raw values in, logits out.
            network_config: What `eoseg.models.network_config` says of the network.
            optimizer: The optimiser and its learning rate.
            scheduler: How the learning rate changes.
            finetune: How the network goes on from `weights`.
            weights: What the network started from, None for random values.

        Raises:
            ConfigError: The chip size does not suit the network's output stride, the data have another
                number of dates, or a network that is fitted in one go is given an optimiser.
        """
        super().__init__()
        require_time(type(self).__name__, self.kind, schema)
        require_chip_size(chip_size, network.output_stride)
        self.schema = schema
        self.chip_size = chip_size
        self.network = network
        self.network_config = network_config
        self.optimizer_config = optimizer
        self.scheduler_config = scheduler
        self.statistics: Statistics | None = None
        self.provenance: dict[str, Plain] = {}
        self._answer: Tensor | None = None
        averaged = optimizer.average is not None or optimizer.ema is not None
        self._average = AverageWeights(optimizer.average, decay=optimizer.ema) if averaged else None
        self._losses = {stage: LossMean() for stage in ("val", "test")}
        self._finetuning = Finetuning(
            finetune, network, weights=weights, chip_size=chip_size, steps=schema.steps
        )
        self._counts = nn.ModuleDict({stage: self.make_counts() for stage in ("val", "test")})
        if self.fitted_body is not None:
            self.automatic_optimization = False
            if optimizer != OptimizerConfig() or scheduler != SchedulerConfig():
                raise ConfigError(
                    f"'{network_config['arch']}' is fitted in one go, without steps along gradients, so "
                    "optimizer and scheduler have no effect. Leave them out."
                )

    @property
    def fitted_body(self) -> FittedBody | None:
        """The network's body where it is fitted in one go; not a second module of the task."""
        return self.network.body if isinstance(self.network.body, FittedBody) else None

    @abstractmethod
    def make_counts(self) -> Sums:
        """What an epoch of validation or test adds up."""

    @abstractmethod
    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar."""

    @abstractmethod
    def count(self, logits: Tensor, batch: Batch, stage: str) -> None:
        """Add a batch to the counts of a stage."""

    @abstractmethod
    def figures(self, stage: str) -> dict[str, float | None]:
        """The figures of the last epoch, None where one is not defined.

        Raises:
            DataError: The split holds no label.
        """

    @abstractmethod
    def target(self, batch: Batch) -> Tensor:
        """What is to be learned, with `IGNORE` (classes) or NaN (quantities) where nothing is known."""

    def fitted_target(self, batch: Batch) -> Tensor:
        """The target as a network that is fitted in one go learns it."""
        return self.target(batch)

    def counts(self, stage: str) -> Sums:
        """The counts of "val" or "test"."""
        return cast(Sums, self._counts[stage])

    def forward(self, image: Tensor, valid: Tensor, days: Tensor | None = None) -> Tensor:
        """Map raw pixel values to logits; see `eoseg.models.Network`."""
        return cast(Tensor, self.network(image, valid, days))

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Loss of one batch; outside training it is counted too.

        Args:
            batch: What the datamodule yields.
            stage: "train", "val" or "test".

        Raises:
            LossError: The loss is no longer a finite number.
        """
        logits = self(batch["image"], batch["valid"], batch.get("days"))
        loss = self.compute_loss(logits, batch)
        self.check_and_log(loss, batch, stage)
        if stage != "train":
            self.count(logits, batch, stage)
            self._answer = logits.detach()
        return loss

    def check_and_log(self, loss: Tensor, batch: Batch, stage: str) -> None:
        """Log the loss of a batch, or keep it for the mean over an epoch of validation or test.

        Raises:
            LossError: It is no longer a finite number.
        """
        samples = batch["image"].shape[0]
        if stage != "train":
            self._losses[stage].update(loss, samples)
            return
        if not torch.isfinite(loss.detach()):
            raise LossError(
                f"The loss is {loss.item()} at step {self.global_step}, on chips "
                f"{', '.join(batch['id'][:4])}. Lower the learning rate, or look at these chips.",
                samples=batch["id"],
            )
        # Of all processes: the first one's batches are a part of the epoch.
        self.log("train/loss", loss, on_step=True, on_epoch=True, sync_dist=True, batch_size=samples)

    def training_step(self, batch: Batch) -> Tensor | None:
        """Lightning's hook."""
        if self.fitted_body is None:
            return self.step(batch, "train")
        image = self.network.prepare(batch["image"], batch["valid"])
        self.fitted_body.collect(image, batch["valid"], self.fitted_target(batch), days=batch.get("days"))
        # Lightning counts batches by the steps of an optimiser, and saves no checkpoint before the first.
        cast(LightningOptimizer, self.optimizers()).step()
        return None

    def validation_step(self, batch: Batch) -> Tensor | None:
        """Lightning's hook; gives the logits to the callbacks."""
        if self.fitted_body is not None and self.trainer.sanity_checking:
            return None  # nothing is learned yet
        self.step(batch, "val")
        return self._answer

    def test_step(self, batch: Batch) -> Tensor | None:
        """Lightning's hook; gives the logits to the callbacks."""
        self.step(batch, "test")
        return self._answer

    def on_validation_epoch_start(self) -> None:
        """Start counting afresh; a network that is fitted in one go learns now."""
        self.counts("val").reset()
        self._losses["val"].reset()
        if self.fitted_body is None or self.trainer.state.fn != "fit" or self.trainer.sanity_checking:
            return
        self.fitted_body.fit(self.class_weights())
        self.trainer.should_stop = True  # one pass over the training chips is all it needs

    def class_weights(self) -> list[float] | None:
        """One weight per class, where the task has them."""
        return None

    def on_test_epoch_start(self) -> None:
        """Start counting afresh."""
        self.counts("test").reset()
        self._losses["test"].reset()

    def on_validation_epoch_end(self) -> None:
        """Log the figures of all processes' counts."""
        self._log_figures("val")

    def on_test_epoch_end(self) -> None:
        """Log the figures of all processes' counts."""
        self._log_figures("test")

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
            threshold=self.threshold_in_force(),
        )

    def threshold_in_force(self) -> float | None:
        """Probability from which the second class is mapped; None for the likeliest class."""
        return None

    def setup(self, stage: str) -> None:
        """Take the normalisation from the training statistics, unless a checkpoint brought its own.

        Raises:
            ConfigError: A network that is fitted in one go is to do so on a GPU or in several processes.
        """
        if self.fitted_body is not None:
            require_one_process(str(self.network_config["arch"]), self.trainer, stage)
        if stage == "fit" and self.statistics is None:
            source = cast(DataSource, self.trainer.datamodule)  # type: ignore[attr-defined]
            self.use_statistics(source.statistics)

    def use_statistics(self, statistics: Statistics) -> None:
        """Set the network's normalisation, and whatever a task derives from the training pixels."""
        self.statistics = statistics
        self.network.normalize.set_statistics(statistics)
        if self.network.rescale is not None:
            self.network.rescale.set_statistics(statistics)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Lightning's hook."""
        if self.fitted_body is not None:
            return optim.SGD([nn.Parameter(torch.zeros(()))], lr=0.0)  # counts steps; see training_step
        rule = self.batch_rule()
        if self.trainer.is_global_zero:
            _log.info("%s", rule)
        for logger in self.loggers:
            logger.log_hyperparams({"effective_batch": rule.effective, "learning_rate": rule.lr})
        trained = self._finetuning.groups(self.parameters(), rule.lr)
        optimizer = build_optimizer(self.optimizer_config, trained, batch=rule)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = build_scheduler(
            self.scheduler_config, optimizer, total_steps=steps, monitor=self.monitor, mode=self.monitor_mode
        )
        if schedule is None:
            return optimizer
        return cast(OptimizerLRScheduler, {"optimizer": optimizer, "lr_scheduler": schedule})

    def batch_rule(self) -> BatchRule:
        """How many chips a step learns from, and the learning rate for that many."""
        source = cast(DataSource, self.trainer.datamodule)  # type: ignore[attr-defined]
        return BatchRule(
            self.optimizer_config,
            batch_size=source.batch_size,
            processes=self.trainer.world_size,
            accumulated=self.trainer.accumulate_grad_batches,
        )

    def configure_gradient_clipping(
        self,
        optimizer: optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm of all gradients, though each process has a part of them; Lightning's hook."""
        sharded = getattr(self.trainer.model, "clip_grad_norm_", None)
        if sharded is None or gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val is not None:
            sharded(gradient_clip_val)

    def configure_callbacks(self) -> list[Callback]:
        """Fine-tune, and average the weights where asked for; Lightning's hook."""
        return [self._finetuning] if self._average is None else [self._finetuning, self._average]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipe."""
        checkpoint["eoseg"] = self.recipe().to_dict()
        self._finetuning.write(checkpoint)
        if self._average is not None:
            self._average.write(checkpoint)

    def require_fitting(self, recipe: Recipe) -> None:
        """Refuse the checkpoint of another task, of other bands and classes, or of another network.

        Raises:
            CheckpointError: With both.
        """
        for what, theirs, ours in (
            ("task", recipe.task, type(self).__name__),
            ("bands", recipe.schema.bands, self.schema.bands),
            ("classes", recipe.schema.class_names, self.schema.class_names),
            ("quantity", recipe.schema.quantity, self.schema.quantity),
            ("network", recipe.network, self.network_config),
        ):
            if theirs != ours:
                raise CheckpointError(
                    f"The checkpoint was made for {what} {theirs}, the configuration says {ours}. Use the "
                    "config.yaml beside the checkpoint."
                )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the statistics from a checkpoint that was trained for the same bands and classes.

        Raises:
            CheckpointError: The file is not eoseg's, or is for other bands, classes or another network.
        """
        if "eoseg" not in checkpoint:
            raise CheckpointError("The file is not a checkpoint of eoseg: it has no recipe.")
        recipe = Recipe.from_dict(checkpoint["eoseg"])
        self.require_fitting(recipe)
        self.use_statistics(recipe.statistics)
        self.provenance = recipe.provenance
        self.take_threshold(recipe.threshold)
        self._finetuning.read(checkpoint)
        if self._average is not None:
            self._average.read(checkpoint)

    def take_threshold(self, threshold: float | None) -> None:
        """Go on with the threshold of a checkpoint."""

    def _log_figures(self, stage: str) -> None:
        self.counts(stage).sum_over_processes()
        loss = self._losses[stage].over_processes(self.device)
        if self.trainer.sanity_checking:
            return
        if loss is not None:
            self.log(f"{stage}/loss", loss)
        # An undefined figure is left out, never logged as 0 or NaN. The counts are already summed.
        figures = self.figures(stage)
        self.log_dict({f"{stage}/{name}": value for name, value in figures.items() if value is not None})


def usable(batch: Batch, kind: Kind) -> Tensor:
    """Bool `(B, H, W)`: where an image has what a label can be learned from.

    Both dates of a pair, any date of a series.
    """
    valid = batch["valid"]
    if kind == "change":
        return valid.all(dim=1)
    return valid.any(dim=1) if kind == "series" else valid
