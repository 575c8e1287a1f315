"""A confusion matrix and a recipe in the forms that files and W&B take."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoseg.metrics import score, score_labels
from eoseg.recipe import Recipe


def matrix_csv(matrix: NDArray[np.int64], names: Sequence[str]) -> str:
    """A confusion matrix as CSV text: a row per reference class, a column per map class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["reference \\ map", *names])
    writer.writerows([name, *row] for name, row in zip(names, matrix.tolist(), strict=True))
    return text.getvalue()


_LABEL_COLUMNS = ("label", "right", "missed", "false", "rightly absent", "f1")


def label_csv(tables: NDArray[np.int64], names: Sequence[str]) -> str:
    """Counts of chips as CSV text, a row for each label of which a chip may have several.

    Args:
        tables: Int64 `(K, 2, 2)`, rows the reference (0 absent, 1 present), columns the answer.
        names: Names of the K labels.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_LABEL_COLUMNS)
    writer.writerows(_label_rows(tables, names))
    return text.getvalue()


def wandb_labels(tables: NDArray[np.int64], names: Sequence[str], stage: str) -> dict[str, Any]:
    """The same table as `label_csv` for `run.log`: `<stage>/labels`."""
    import wandb

    rows: list[Iterable[Any]] = [list(row) for row in _label_rows(tables, names)]
    return {f"{stage}/labels": wandb.Table(columns=list(_LABEL_COLUMNS), data=rows)}


def _label_rows(tables: NDArray[np.int64], names: Sequence[str]) -> list[tuple[Any, ...]]:
    scores = score_labels(tables, names)
    return [
        (name, table[1][1], table[1][0], table[0][1], table[0][0], f1)
        for name, table, f1 in zip(names, tables.tolist(), scores.f1, strict=True)
    ]


def artifact_metadata(recipe: Recipe) -> dict[str, Any]:
    """A recipe as W&B takes it: at most 100 keys in all, so the statistics go in as one list per key."""
    values = recipe.to_dict()
    bands = values["statistics"].pop("bands")
    values["statistics"] |= {key: [band[key] for band in bands] for key in bands[0]}
    classes = values["schema"].pop("classes")
    values["schema"]["classes"] = [entry["name"] for entry in classes]
    values["schema"]["class_values"] = [entry["values"] for entry in classes]
    values["schema"]["class_colors"] = [entry["color"] for entry in classes]
    return values


def wandb_matrices(
    matrix: NDArray[np.int64], names: Sequence[str], stage: str, *, unit: str = "pixels"
) -> dict[str, Any]:
    """W&B's charts of a confusion matrix, made from counts; its own function wants every single pixel.

    Args:
        matrix: Int64 `(K, K)`, rows reference, columns map.
        names: Names of the K classes.
        stage: "val" or "test".
        unit: What was counted.

    Returns:
        For `run.log`: `<stage>/confusion`, `<stage>/confusion_normalized` and the table `<stage>/classes`.
    """
    import wandb

    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    charts: dict[str, Any] = {}
    for key, values, title in (
        ("confusion", matrix, f"Confusion matrix, {unit}"),
        ("confusion_normalized", shares, "Confusion matrix, share of each reference class"),
    ):
        rows: list[Iterable[Any]] = [
            [actual, predicted, values[row, column].item()]
            for row, actual in enumerate(names)
            for column, predicted in enumerate(names)
        ]
        columns: list[str | int] = ["Actual", "Predicted", "nPredictions"]
        charts[f"{stage}/{key}"] = wandb.plot_table(
            "wandb/confusion_matrix/v1",
            wandb.Table(columns=columns, data=rows),
            fields={str(column): str(column) for column in columns},
            string_fields={"title": title},
        )
    figures = ["iou", "f1", "users_accuracy", "producers_accuracy", "reference_pixels", "mapped_pixels"]
    table: list[Iterable[Any]] = [
        [entry.name, *(getattr(entry, figure) for figure in figures)]
        for entry in score(matrix, names).classes
    ]
    charts[f"{stage}/classes"] = wandb.Table(columns=["class", *figures], data=table)
    return charts
