"""Estimators of scikit-learn as bodies of networks: what those for pixels, chips and series share."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast, override

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eoseg.errors import CheckpointError, ConfigError, DataError
from eoseg.models.classical_methods import Method
from eoseg.models.classical_storage import pack_estimators, unpack_estimators
from eoseg.models.dimensions import Dimensions
from eoseg.models.fitted import FittedBody
from eoseg.models.reservoir import Reservoir

_LOGGER = logging.getLogger(__name__)

_ABSENT = -30.0  # the logit of a class that the sample did not hold; finite, because maps refuse infinity
_LEAST = 1e-7  # the probability that stands for none
_CHUNK = 16_384  # rows that a thread takes at a time
_VALUES = 2**24  # features that are held at a time, 64 MiB


class ClassicalBody(FittedBody):
    """A table of features, learned by one estimator, or by one per label where chips have several.

    The estimator is a buffer of bytes and travels in the state dict; it is unpacked when it is first needed.
    Logits are logarithms of the estimator's probabilities, or its scores where it has no probabilities.
    Runs on the CPU, on as many threads as torch may use. The result for a row is the same whatever rows it
    is computed with.
    """

    stored: Tensor
    is_multilabel: Tensor

    def __init__(self, dims: Dimensions, method: Method) -> None:
        """Make a body that has learned nothing yet.

        Args:
            dims: Sizes of input and output.
            method: What learns from the table.

        Raises:
            ConfigError: An estimator of quantities is to give several outputs.
        """
        super().__init__()
        if method.regression and dims.classes != 1:
            raise ConfigError(f"{method.name} estimates one quantity, found {dims.classes} classes.")
        self.dims = dims
        self.method = method
        self.register_buffer("stored", torch.zeros(0, dtype=torch.uint8))
        self.register_buffer("is_multilabel", torch.tensor(False))
        self.sample = Reservoir(method.max_samples, seed=method.seed)
        self._estimators: list[Any] | None = None

    @override
    def fit(self, class_weights: list[float] | None = None) -> None:
        if class_weights is not None and not self.method.takes_weights:
            raise ConfigError(f"{self.method.name} takes no class weights. Set class_weights to null.")
        seen = self.sample.seen
        sample = self.sample.take()
        if sample is None:
            raise DataError(f"{self.method.name} found nothing labelled to learn from. Look at the labels.")
        rows, targets = sample
        if len(rows) < self.method.min_samples:
            raise DataError(
                f"{self.method.name} needs at least {self.method.min_samples} samples with these options, "
                f"found {len(rows)}. Label more."
            )
        highest = -1 if self.method.regression else int(targets.astype(np.int64).max())
        if highest >= self.dims.classes:
            raise DataError(
                f"{self.method.name} was built for the classes 0 to {self.dims.classes - 1}, found class "
                f"{highest} among the labels. Correct the labels or the classes."
            )
        begin = time.perf_counter()
        several = targets.ndim == 2
        self._estimators = (
            self._fit_labels(rows, targets, class_weights)
            if several
            else [self._fit_one(rows, targets, class_weights)]
        )
        self.stored = pack_estimators(self._estimators)
        self.is_multilabel.fill_(several)
        self.is_fitted.fill_(True)
        _LOGGER.info(
            "%s was fitted to %d of %d samples with %d features in %.1f s and takes %.1f MB.",
            *(self.method.name, len(rows), seen, rows.shape[1]),
            *(time.perf_counter() - begin, len(self.stored) / 1e6),
        )

    def predict_rows(self, table: Tensor) -> Tensor:
        """Logits `(n, K)` of features `(n, F)`, float32.

        Raises:
            CheckpointError: Nothing was learned yet, or what is stored cannot be read.
        """
        self.require_fitted()
        estimators = self._unpack()
        values = table.detach().float().numpy()
        chunks = [values[begin : begin + _CHUNK] for begin in range(0, len(values), _CHUNK)]
        workers = 1 if self.method.is_parallel else min(torch.get_num_threads(), len(chunks))

        def predict(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._logits(estimators, rows)

        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                parts = list(pool.map(predict, chunks))
        else:
            parts = [predict(rows) for rows in chunks]
        empty = np.zeros((0, self.dims.classes), dtype=np.float32)
        return torch.from_numpy(np.concatenate([empty, *parts]))

    def keep_pixels(self, labelled: Tensor, target: Tensor, features: Callable[[Tensor], Tensor]) -> None:
        """Let labelled pixels into the sample.

        Args:
            labelled: Bool `(B, H, W)`.
            target: `(B, H, W)`, classes or values.
            features: Gives the features `(n, F)` of the pixels that a bool `(B, H, W)` chooses, in its order.
        """
        drawn = torch.from_numpy(self.sample.draw(int(labelled.sum())))
        chosen = labelled.clone()
        chosen[labelled] = drawn
        self.sample.add(features(chosen).numpy(), target[chosen].numpy())

    def map_pixels(
        self, batch: int, height: int, width: int, features: Callable[[slice, slice], Tensor], count: int
    ) -> Tensor:
        """Logits `(B, K, H, W)`, some images or some rows of one image at a time, so that memory is bounded.

        Args:
            batch: B.
            height: H.
            width: W.
            features: Gives the features `(b, F, h, W)` of some images and rows.
            count: F.
        """
        logits = torch.empty(batch, self.dims.classes, height, width)
        for images, rows in _pieces(batch, height, width, max(_VALUES // count, width, 1)):
            table = features(images, rows).permute(0, 2, 3, 1)  # (b, h, W, F)
            part = self.predict_rows(table.flatten(0, 2)).unflatten(0, table.shape[:3])  # type: ignore[no-untyped-call]
            logits[images, :, rows] = part.permute(0, 3, 1, 2)
        return logits

    def _fit_labels(
        self, rows: NDArray[np.float32], targets: NDArray[Any], class_weights: list[float] | None
    ) -> list[Any]:
        """One estimator per label; the label itself where all samples agree on it."""
        if class_weights is not None:
            raise ConfigError(
                f"{self.method.name} takes no class weights where chips have several labels. Set "
                "class_weights to null."
            )
        return [
            int(column[0]) if (column == column[0]).all() else self._fit_one(rows, column, None)
            for column in targets.T
        ]

    def _fit_one(
        self, rows: NDArray[np.float32], target: NDArray[Any], class_weights: list[float] | None
    ) -> Any:
        from sklearn.exceptions import ConvergenceWarning

        if not self.method.regression and (target == target[0]).all():
            raise DataError(
                f"{self.method.name} needs samples of at least two classes, found class {int(target[0])} "
                "alone. Label more, or change the split."
            )
        estimator = self.method.estimator()
        options = {}
        if class_weights is not None:
            name = f"{estimator.steps[-1][0]}__sample_weight" if self.method.is_scaled else "sample_weight"
            options[name] = np.asarray(class_weights)[target]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            estimator.fit(rows, target, **options)
        if any(issubclass(entry.category, ConvergenceWarning) for entry in caught):
            _LOGGER.warning("%s stopped before it converged: raise max_iterations.", self.method.name)
        if hasattr(estimator, "estimators_"):
            estimator.n_jobs = 1  # pixels are spread over threads, not trees: sums keep their order
        return estimator

    def _unpack(self) -> list[Any]:
        if self._estimators is None:
            estimators = unpack_estimators(self.stored)
            several = bool(self.is_multilabel)
            expected = _layers(self.method.estimator())
            fits = [
                _layers(entry) == expected or (several and isinstance(entry, int)) for entry in estimators
            ]
            if not all(fits) or len(fits) != (self.dims.classes if several else 1):
                raise CheckpointError(
                    f"The stored model is no {self.method.name} of {self.dims.classes} classes. Use a "
                    "checkpoint that 'eoseg fit' wrote."
                )
            self._estimators = estimators
        return self._estimators

    def _logits(self, estimators: list[Any], rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.method.regression:
            return cast(NDArray[np.float32], estimators[0].predict(rows).astype(np.float32)[:, None])
        logits = np.full((len(rows), self.dims.classes), _ABSENT, dtype=np.float32)
        if not self.is_multilabel:
            logits[:, estimators[0].classes_] = _scores(estimators[0], rows)
            return logits
        for label, estimator in enumerate(estimators):
            if isinstance(estimator, int):
                logits[:, label] = -_ABSENT if estimator else _ABSENT
            else:
                no, yes = _scores(estimator, rows).T
                logits[:, label] = yes - no
        return logits

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ClassicalBody":
        device = fn(torch.zeros(0)).device.type
        if device != "cpu":
            raise ConfigError(
                f"{self.method.name} runs on the CPU, on all cores, found device '{device}'. Set --device "
                "cpu, or trainer.accelerator: cpu in training."
            )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @override
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._estimators = None  # unpacked from the new bytes when it is needed


def _pieces(batch: int, height: int, width: int, pixels: int) -> Iterator[tuple[slice, slice]]:
    """Whole images, as many as fit, or rows of one image."""
    images = max(pixels // (height * width), 1)
    rows = height if images > 1 else max(min(pixels // width, height), 1)
    for first in range(0, batch, images):
        for top in range(0, height, rows):
            yield slice(first, min(first + images, batch)), slice(top, min(top + rows, height))


def _scores(estimator: Any, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """One number per class that the estimator knows, `(n, len(classes_))`."""
    if hasattr(estimator, "predict_proba"):
        return cast(
            NDArray[np.float32], np.log(np.maximum(estimator.predict_proba(rows), _LEAST)).astype(np.float32)
        )
    scores = estimator.decision_function(rows).astype(np.float32)
    return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores


def _layers(estimator: Any) -> list[type]:
    """The types of an estimator's steps."""
    return [type(step) for _, step in getattr(estimator, "steps", [("", estimator)])]
