"""Accuracy figures from one confusion matrix of whole counts, so that they are exact however it was summed.

A figure that is not defined is None: never 0 or NaN, and left out of every mean.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eoseg.errors import DataError
from eoseg.recipe import IGNORE


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Figures of one class, each 0 to 1, None where it is not defined.

    A class without reference pixels has no IoU, F1 or producer's accuracy, even where the map shows
    it: those pixels count as errors of the classes that are there.
    """

    name: str
    iou: float | None
    """Intersection over union, TP / (TP + FP + FN) (Jaccard 1901)."""
    f1: float | None
    """2 TP / (2 TP + FP + FN), the harmonic mean of the two accuracies (Dice 1945)."""
    users_accuracy: float | None
    """Share of the class's map pixels that are right, TP / (TP + FP); precision."""
    producers_accuracy: float | None
    """Share of the class's reference pixels that the map found, TP / (TP + FN); recall."""
    reference_pixels: int
    mapped_pixels: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Figures of a map, each at most 1, None where it is not defined.

    Words as in Olofsson et al. 2014 (https://doi.org/10.1016/j.rse.2014.02.015). They describe the
    counted pixels; they are no estimates of areas.
    """

    overall_accuracy: float | None
    """Share of pixels that are right."""
    balanced_accuracy: float | None
    """Mean of the producer's accuracies."""
    kappa: float | None
    """Agreement beyond chance (Cohen 1960); not defined where chance alone agrees everywhere."""
    mean_iou: float | None
    mean_f1: float | None
    classes: tuple[ClassScores, ...]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values: numbers, None, strings, lists and dictionaries."""
        values = dataclasses.asdict(self)
        return {**values, "classes": list(values["classes"])}


def confusion_matrix(reference: ArrayLike, predicted: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Count pairs of classes.

    Args:
        reference: Whole numbers of any shape: a class in 0..K-1, or `IGNORE`, which is left out.
        predicted: The map, of the same shape: a class in 0..K-1, or `IGNORE` where nothing was mapped,
            which is left out too; count it beside, where it matters.
        num_classes: K, 1 to 255.

    Returns:
        Int64 `(K, K)`: rows are the reference, columns the map.

    Raises:
        DataError: The shapes differ, values are not whole numbers, or a value is no class.
    """
    if not 1 <= num_classes <= IGNORE:
        raise DataError(f"A confusion matrix has 1 to {IGNORE} classes, found {num_classes}.")
    rows, columns = np.asarray(reference), np.asarray(predicted)
    if rows.shape != columns.shape:
        raise DataError(f"Reference and map must have one shape, found {rows.shape} and {columns.shape}.")
    _require_classes(rows, num_classes, "reference")
    _require_classes(columns, num_classes, "map")
    known = (rows != IGNORE) & (columns != IGNORE)
    pairs = rows[known].astype(np.int64) * num_classes + columns[known].astype(np.int64)
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64, copy=False)


def score(matrix: ArrayLike, names: Sequence[str]) -> Scores:
    """Work out all figures.

    Args:
        matrix: Counts `(K, K)`: rows are the reference, columns the map.
        names: Names of the K classes.

    Raises:
        DataError: The matrix is not square, holds other than counts, or has another size than `names`.
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(names), len(names)):
        raise DataError(f"A confusion matrix of {len(names)} classes is square, found shape {counts.shape}.")
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise DataError(
            f"A confusion matrix holds counts, found {counts.dtype} with values below 0 or not whole."
        )
    # Python's integers do not overflow: kappa squares a sum that passes 2**32 in one large scene.
    cells: list[list[int]] = counts.tolist()
    reference = [sum(row) for row in cells]
    mapped = [sum(column) for column in zip(*cells, strict=True)]
    right = [row[index] for index, row in enumerate(cells)]
    classes = tuple(
        _class_scores(name, *figures) for name, *figures in zip(names, right, reference, mapped, strict=True)
    )
    total, agreed = sum(reference), sum(right)
    by_chance = sum(row * column for row, column in zip(reference, mapped, strict=True))  # times total**2
    return Scores(
        overall_accuracy=_ratio(agreed, total),
        balanced_accuracy=_mean([entry.producers_accuracy for entry in classes]),
        kappa=_ratio(total * agreed - by_chance, total**2 - by_chance),
        mean_iou=_mean([entry.iou for entry in classes]),
        mean_f1=_mean([entry.f1 for entry in classes]),
        classes=classes,
    )


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Figures of labels of which a chip may have several, each 0 to 1, None where it is not defined."""

    f1: tuple[float | None, ...]
    """Of each label; not defined where no chip has it."""
    mean_f1: float | None
    """Mean over the labels that occur (macro F1)."""
    micro_f1: float | None
    """Of all labels taken together: 2 TP / (2 TP + FP + FN) over their sums."""
    labels_right: float | None
    """Share of all yes-or-no answers that are right (1 - Hamming loss)."""


def score_labels(tables: ArrayLike, names: Sequence[str]) -> LabelScores:
    """Work out the figures of a multi-label classification.

    Args:
        tables: Counts of chips `(K, 2, 2)`: for each label rows are the reference (0 absent, 1 present),
            columns the answer.
        names: Names of the K labels.

    Raises:
        DataError: The tables have another shape.
    """
    counts = np.asarray(tables)
    if counts.shape != (len(names), 2, 2):
        raise DataError(f"Expected counts of shape ({len(names)}, 2, 2), found {counts.shape}.")
    true, missed, false = ([int(n) for n in counts[:, row, col]] for row, col in ((1, 1), (1, 0), (0, 1)))
    f1 = tuple(
        _ratio(2 * tp, 2 * tp + fn + fp) if tp + fn else None
        for tp, fn, fp in zip(true, missed, false, strict=True)
    )
    tp, wrong = sum(true), sum(missed) + sum(false)
    return LabelScores(
        f1=f1,
        mean_f1=_mean(f1),
        micro_f1=_ratio(2 * tp, 2 * tp + wrong),
        labels_right=_ratio(int(counts.sum()) - wrong, int(counts.sum())),
    )


@dataclass(frozen=True, slots=True)
class ValueScores:
    """Errors of estimated values, in their unit; None where nothing was compared."""

    rmse: float | None
    """Root of the mean squared error."""
    mae: float | None
    """Mean absolute error."""
    bias: float | None
    """Mean of estimate minus reference."""
    r2: float | None
    """Share of the reference's variance that is explained, 1 - MSE / variance; at most 1, below 0 where the
    mean alone would do better; not defined where the reference has no variance."""


def score_values(
    count: float, error: float, absolute: float, squared: float, reference: float, reference_squared: float
) -> ValueScores:
    """Work out the errors of a regression from sums over its pixels.

    Args:
        count: Pixels.
        error: Sum of estimate minus reference.
        absolute: Sum of its absolute value.
        squared: Sum of its square.
        reference: Sum of the reference's deviation from any fixed value.
        reference_squared: Sum of the square of that deviation.
    """
    if not count:
        return ValueScores(None, None, None, None)
    spread = reference_squared - reference**2 / count
    return ValueScores(
        rmse=(squared / count) ** 0.5,
        mae=absolute / count,
        bias=error / count,
        r2=1 - squared / spread if spread > 0 else None,
    )


def _class_scores(name: str, right: int, reference: int, mapped: int) -> ClassScores:
    present = reference > 0
    return ClassScores(
        name=name,
        iou=_ratio(right, reference + mapped - right) if present else None,
        f1=_ratio(2 * right, reference + mapped) if present else None,
        users_accuracy=_ratio(right, mapped),
        producers_accuracy=_ratio(right, reference),
        reference_pixels=reference,
        mapped_pixels=mapped,
    )


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _require_classes(values: NDArray[Any], num_classes: int, what: str) -> None:
    if not np.issubdtype(values.dtype, np.integer):
        raise DataError(f"The {what} must hold whole numbers, found {values.dtype}.")
    wrong = (values != IGNORE) & ((values < 0) | (values >= num_classes))
    if wrong.any():
        found = np.unique(values[wrong])
        shown = ", ".join(str(value) for value in found[:5].tolist()) + (", ..." if found.size > 5 else "")
        raise DataError(
            f"The {what} holds the value {shown}, which is no class: expected 0 to {num_classes - 1}, or "
            f"{IGNORE} for no label."
        )
