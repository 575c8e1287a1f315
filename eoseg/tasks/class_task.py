"""What the tasks share whose result is a class: losses, class weights, one confusion matrix."""

import dataclasses
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from eoseg.batch import IGNORE, Batch
from eoseg.errors import ConfigError, DataError
from eoseg.losses import Loss, LossTerm, build_loss
from eoseg.metrics import Scores, score
from eoseg.models import build_network, network_config
from eoseg.recipe import Recipe, Scaling, Schema, Statistics
from eoseg.tasks.counts import BINS, ClassCounts, ProbabilityCounts, Sums
from eoseg.tasks.finetune import FinetuneConfig
from eoseg.tasks.measures import Measured, Measures
from eoseg.tasks.needs import require_labels, require_time
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig
from eoseg.tasks.task import Task, usable

_NO_CHANGE = ("unchanged", "nochange", "nonchange", "stable", "background")
"""Names of "no change", letters only, that must not stand for a change."""


class ClassTask(Task):
    """Train a network to give each pixel or chip a class."""

    default_arch: ClassVar[str]
    """The architecture where a configuration names none."""

    monitor = "val/miou"

    def __init__(
        self,
        schema: Schema,
        chip_size: int,
        *,
        arch: str | None = None,
        encoder: str | None = None,
        weights: str | None = None,
        finetune: FinetuneConfig = FinetuneConfig(),  # noqa: B008 (frozen)
        network_args: dict[str, int | float | str | bool] | None = None,
        loss: str | list[LossTerm] = "cross_entropy",
        class_weights: list[float] | Literal["balanced"] | None = None,
        threshold: float | Literal["auto", "validation", "likeliest"] = "auto",
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008 (frozen)
        scheduler: SchedulerConfig = SchedulerConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """Build the task.

        Args:
            schema: Bands and classes; comes from the data.
            chip_size: Height and width of a chip in pixels; comes from the data.
            arch: Name of a model for this task; 'eoseg models' lists them.
            encoder: Of architectures over an encoder: any of segmentation_models_pytorch or timm, such as
                resnet34 or mit_b0.
            weights: What to start from: nothing by default, "imagenet", the name of torchgeo weights such as
                ResNet18_Weights.SENTINEL2_ALL_MOCO, or a checkpoint of PretrainTask.
            finetune: How the network goes on from `weights`: new_bands, freeze, unfreeze_every, lr_decay,
                lora_rank and lora_alpha.
            network_args: Further options of the architecture.
            loss: cross_entropy, focal, dice, jaccard, lovasz, tversky or perceptron; or a list of terms with
                name, weight and args, which are summed.
            class_weights: One weight per class, or "balanced" (from the training pixels).
            threshold: Of two classes, the probability from which the second is mapped: a number,
                "validation" (the one with the highest F1 there) or "likeliest" (0.5). "auto" is "validation"
                for change and "likeliest" otherwise.
            optimizer: Any optimiser of torch.optim: name, lr and args.
            scheduler: cosine, onecycle, plateau, constant or any class of torch.optim.lr_scheduler:
                name, warmup and args.

        Raises:
            ConfigError: An option is unknown, or the parts do not fit together.
        """
        require_labels(type(self).__name__, schema)
        if not schema.classes:
            raise ConfigError(
                f"{type(self).__name__} learns classes, but the data hold a quantity. Use RegressionTask."
            )
        require_time(type(self).__name__, self.kind, schema)
        if self.kind == "change":
            _require_no_change_first(schema)
        chosen = arch or self.default_arch
        network = build_network(
            chosen,
            kind=self.kind,
            bands=schema.bands,
            num_classes=len(schema.classes),
            encoder=encoder,
            weights=weights,
            new_bands=finetune.new_bands,
            args=network_args,
            chip_size=chip_size,
            steps=schema.steps,
        )
        self._threshold_rule, self._threshold = _threshold_rule(
            threshold, schema, self.kind == "change", getattr(network.body, "has_own_threshold", False)
        )
        super().__init__(
            schema,
            chip_size,
            network=network,
            network_config=network_config(network, chosen, encoder=encoder, args=network_args),
            optimizer=optimizer,
            scheduler=scheduler,
            finetune=finetune,
            weights=weights,
        )
        self._loss_terms = loss
        self._class_weights = class_weights
        self._measures = nn.ModuleDict(
            {stage: Measures(schema.class_names, multilabel=schema.multilabel) for stage in ("val", "test")}
        )
        self.scaling: Scaling | None = None
        self.chooses_threshold = False
        """Whether a validation chooses the threshold though nothing is trained."""
        if self.fitted_body is not None and loss != "cross_entropy":
            raise ConfigError(f"'{chosen}' is fitted in one go, so loss has no effect. Leave it out.")
        # Built here already, so that an impossible combination fails before any data is read.
        self.loss = self._build_loss(
            [1.0] * len(schema.classes) if class_weights == "balanced" else class_weights
        )

    def make_counts(self) -> Sums:
        """A confusion matrix, or the histogram that a threshold is chosen from."""
        if self._threshold_rule == "validation":
            return ProbabilityCounts()
        return ClassCounts(len(self.schema.classes))

    def use_statistics(self, statistics: Statistics) -> None:
        """Set the normalisation and, where asked for, the balanced class weights."""
        super().use_statistics(statistics)
        if self._class_weights == "balanced":
            self.loss = self._build_loss(list(statistics.balanced_weights)).to(self.device)

    def class_weights(self) -> list[float] | None:
        """One weight per class, where the task has them."""
        if self._class_weights == "balanced":
            return None if self.statistics is None else list(self.statistics.balanced_weights)
        return self._class_weights

    def compute_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss over labelled valid pixels, or over chips."""
        loss: Tensor = self.loss(logits, self.target(batch))
        return loss

    def count(self, logits: Tensor, batch: Batch, stage: str) -> None:
        """Add a batch to the counts of a stage."""
        target, measures = self.target(batch), self.measures(stage)
        measures.count_pixels(batch)
        if self._threshold_rule == "validation":
            chances = logits.softmax(dim=1)[:, 1]
            self.counts(stage).update(chances, target)
            # In the steps of the counts, so that the blocks add up to their matrix.
            classes = ((chances.float() * BINS).long().clamp_(0, BINS - 1) >= self._threshold_step).long()
        else:
            classes = self.predict_classes(logits)
            self.counts(stage).update(classes, target)
        # Data of one's own need not know groups: each chip is then one.
        unit = getattr(self.trainer.datamodule, "unit_of", str)  # type: ignore[attr-defined]
        measures.update(logits, classes, target, batch["id"], unit)

    @property
    def unit(self) -> str:
        """What the figures count, in the plural."""
        if self.schema.multilabel:
            return "labels"
        return "chips" if self.kind == "classification" else "pixels"

    def measures(self, stage: str) -> Measures:
        """What a stage adds up beside its counts: "val" or "test"."""
        return cast(Measures, self._measures[stage])

    def measured(self, stage: str) -> Measured:
        """What the last epoch of validation or test has given beside its figures."""
        measured, counts = self.measures(stage).measured(), self.counts(stage)
        if isinstance(
            counts, ProbabilityCounts
        ):  # the threshold may have been chosen since pixels were counted
            curve = counts.curve_at(0.5 if self._threshold is None else self._threshold)
            measured = dataclasses.replace(measured, curve=curve)
        return measured

    def trust_figures(self, stage: str) -> dict[str, float | None]:
        """How far the probabilities of the last epoch can be believed, and what they are good for."""
        measured = self.measured(stage)
        found = {"ece": measured.likeliest.ece, "aurc": measured.curve.aurc}
        if measured.reliability is not None:
            found |= {"brier": measured.reliability.brier, "nll": measured.reliability.nll}
        return found

    def on_validation_epoch_start(self) -> None:
        """Start counting afresh."""
        super().on_validation_epoch_start()
        self.measures("val").reset(judge=self.trainer.state.fn != "fit")

    def on_test_epoch_start(self) -> None:
        """Start counting afresh."""
        super().on_test_epoch_start()
        self.measures("test").reset(judge=True)

    def _log_figures(self, stage: str) -> None:
        self.measures(stage).sum_over_processes()
        super()._log_figures(stage)

    @property
    def _threshold_step(self) -> int:
        return round((0.5 if self._threshold is None else self._threshold) * BINS)

    def predict_classes(self, logits: Tensor) -> Tensor:
        """Classes, `(B, K, ...)` to `(B, ...)`: the one with the highest logit, or by the threshold."""
        if self._threshold is not None:
            return (logits.softmax(dim=1)[:, 1] >= self._threshold).long()
        return logits.max(dim=1).indices  # twice as fast as argmax on channels-last tensors

    def target(self, batch: Batch) -> Tensor:
        """The mask, `IGNORE` wherever the image has no value."""
        return batch["mask"].masked_fill(~usable(batch, self.kind), IGNORE)

    def matrix(self, stage: str) -> NDArray[np.int64]:
        """The confusion matrix of the last epoch, summed over processes once the epoch has ended.

        Args:
            stage: "val" or "test".

        Returns:
            Int64 `(K, K)`, rows reference, columns map.
        """
        counts = self.counts(stage)
        if isinstance(counts, ProbabilityCounts):
            return counts.matrix_at(0.5 if self._threshold is None else self._threshold)
        return cast(NDArray[np.int64], cast(ClassCounts, counts).matrix.cpu().numpy())

    def scores(self, stage: str) -> Scores:
        """The figures of the last epoch, from `matrix`."""
        return score(self.matrix(stage), self.schema.class_names)

    def figures(self, stage: str) -> dict[str, float | None]:
        """The figures of the last epoch; on validation the threshold is chosen first.

        Raises:
            DataError: The split holds no label.
        """
        counts = self.counts(stage)
        chosen: dict[str, float | None] = {}
        if isinstance(counts, ProbabilityCounts):
            if stage == "val" and (self.trainer.state.fn == "fit" or self.chooses_threshold):
                self._threshold = counts.best_threshold()
            chosen["threshold"] = self._threshold
        chosen |= self.trust_figures(stage)
        scores = self.scores(stage)
        if scores.mean_iou is None:
            raise DataError(f"The {stage} split holds no label. Change the split or the labels.")
        return {
            "miou": scores.mean_iou,
            "oa": scores.overall_accuracy,
            "balanced_accuracy": scores.balanced_accuracy,
            "kappa": scores.kappa,
            "mean_f1": scores.mean_f1,
            **{f"iou/{entry.name}": entry.iou for entry in scores.classes},
            **{f"f1/{entry.name}": entry.f1 for entry in scores.classes},
            **chosen,
        }

    def calibrate(self, scaling: Scaling | None) -> None:
        """Scale the network's logits from now on, as a recipe says; None for the logits as they are."""
        self.scaling = scaling
        self.network.calibrate(scaling, len(self.schema.classes))

    def recipe(self) -> Recipe:
        """What a checkpoint says beside the weights, its calibration included."""
        return dataclasses.replace(super().recipe(), scaling=self.scaling)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take what a checkpoint says; its calibration too, unless its weights are to be trained on."""
        super().on_load_checkpoint(checkpoint)
        trained_on = self._trainer is not None and self.trainer.state.fn == "fit"
        self.calibrate(None if trained_on else Recipe.from_dict(checkpoint["eoseg"]).scaling)

    def threshold_in_force(self) -> float | None:
        """Probability from which the second class is mapped; None for the likeliest class."""
        return self._threshold

    def take_threshold(self, threshold: float | None) -> None:
        """Go on with the threshold of a checkpoint, where it is not fixed by the configuration."""
        if self._threshold_rule == "validation":
            self._threshold = threshold

    def _build_loss(self, class_weights: list[float] | None) -> Loss:
        if class_weights is not None and len(class_weights) != len(self.schema.classes):
            raise ConfigError(
                f"class_weights has {len(class_weights)} values for {len(self.schema.classes)} classes; "
                "give one for each."
            )
        return build_loss(self._loss_terms, num_classes=len(self.schema.classes), class_weights=class_weights)


def _threshold_rule(
    threshold: float | str, schema: Schema, change: bool, has_own: bool
) -> tuple[Literal["fixed", "validation", "likeliest"], float | None]:
    """How the threshold comes about, and its value where it is known from the start."""
    binary = len(schema.classes) == 2 and not schema.multilabel
    if threshold == "auto":
        return ("validation", None) if change and binary and not has_own else ("likeliest", None)
    if threshold == "likeliest":
        return "likeliest", None
    if not binary:
        raise ConfigError(
            f"A threshold tells two classes apart; found threshold {threshold} and {len(schema.classes)} "
            "classes. Leave it out."
        )
    if threshold == "validation":
        return "validation", None
    if isinstance(threshold, str) or not 0 < threshold < 1:
        raise ConfigError(
            f"threshold is a probability between 0 and 1, auto, validation or likeliest; found {threshold}."
        )
    return "fixed", float(threshold)


def _require_no_change_first(schema: Schema) -> None:
    """Refuse a list of changes whose first is not "no change", as far as the names tell."""
    for name in schema.class_names[1:]:
        if "".join(filter(str.isalpha, name.lower())) in _NO_CHANGE:
            raise ConfigError(
                f"The first class of ChangeTask is the one without change; found '{name}' after "
                f"'{schema.class_names[0]}'. Write '{name}' first under 'classes'."
            )
