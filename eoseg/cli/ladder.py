"""The table of a ladder of methods: what was measured, means and intervals, Markdown and CSV."""

import csv
import io
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eoseg.errors import DataError
from eoseg.metrics import score

_TITLES = {
    "oa": "OA",
    "mean_f1": "macro F1",
    "miou": "mIoU",
    "kappa": "kappa",
    "change_f1": "F1 of change",
    "micro_f1": "micro F1",
    "rmse": "RMSE",
    "mae": "MAE",
    "bias": "bias",
    "r2": "R2",
}
"""Figures that a table shows where a task has them, in this order."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One training of one method, tested."""

    figures: dict[str, float]
    """Test figures by name, such as `oa`."""
    parameters: int
    seconds: float
    """Of the training, with validation, without starting up."""
    train_pixels: tuple[int, ...]
    """Labelled training pixels, or chips, per class."""
    matrix: tuple[tuple[int, ...], ...] | None
    """Confusion matrix of the test split, rows reference; None where there is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method."""

    method: str
    measured: list[Measured]

    def values(self, figure: str) -> list[float]:
        """What its trainings had."""
        return [one.figures[figure] for one in self.measured if figure in one.figures]

    def interval(self, figure: str) -> tuple[float, float, float] | None:
        """Mean, smallest and largest; None where the figure is not defined."""
        values = self.values(figure)
        return (statistics.fmean(values), min(values), max(values)) if values else None


@dataclass(frozen=True, slots=True)
class Ladder:
    """All methods on one data set."""

    name: str
    over: str
    """What the intervals are over: "seeds" or "folds"."""
    rows: list[Row]
    titles: dict[str, str] = field(default_factory=lambda: dict(_TITLES))

    @property
    def figures(self) -> list[str]:
        """Figures that any method has, in the table's order."""
        return [name for name in self.titles if any(row.values(name) for row in self.rows)]

    @property
    def chart_figures(self) -> list[str]:
        """Titles of the figures that the picture shows."""
        return [self.titles[name] for name in self._charted()]

    def chart_rows(self) -> list[tuple[str, list[tuple[float, float, float] | None]]]:
        """Method, then mean, smallest and largest of each figure of the picture."""
        return [(row.method, [row.interval(name) for name in self._charted()]) for row in self.rows]

    def _charted(self) -> list[str]:
        first = "change_f1" if "change_f1" in self.figures else "mean_f1"
        return [name for name in (first, "r2", "miou", "rmse") if name in self.figures][:2]

    def to_markdown(self) -> str:
        """The table; the best mean of each figure is bold."""
        repeats = max((len(row.measured) for row in self.rows), default=0)
        head = ["method", "parameters", "training (s)", *(self.titles[name] for name in self.figures)]
        lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
        best = {name: self._best(name) for name in self.figures}
        for row in self.rows:
            size = row.measured[0].parameters
            cells = [row.method, f"{size:,}" if size else "-", _seconds(row)]
            cells += [
                _cell(row.interval(name), repeats, bold=best[name] == row.method) for name in self.figures
            ]
            lines.append(f"| {' | '.join(cells)} |")
        if repeats > 1:
            lines += ["", f"Mean, with smallest and largest of {repeats} {self.over} in brackets."]
        return "\n".join(lines) + "\n"

    def _best(self, figure: str) -> str:
        smaller = figure in ("rmse", "mae")
        known = {row.method: found[0] for row in self.rows if (found := row.interval(figure)) is not None}
        if figure == "bias":
            return min(known, key=lambda method: abs(known[method]))
        return min(known, key=known.__getitem__) if smaller else max(known, key=known.__getitem__)

    @property
    def columns(self) -> list[str]:
        """Titles of `lines`."""
        return ["method", self.over[:-1], "parameters", "seconds", *self.figures]

    def lines(self) -> list[list[str | float | int | None]]:
        """One line per training; None where a figure is not defined."""
        return [
            [row.method, number, one.parameters, one.seconds, *map(one.figures.get, self.figures)]
            for row in self.rows
            for number, one in enumerate(row.measured)
        ]

    def to_csv(self) -> str:
        """One line per training; empty where a figure is not defined."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.lines()])
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "ladder": self.name,
            "over": self.over,
            "methods": {
                row.method: [
                    {"parameters": one.parameters, "seconds": one.seconds, "figures": one.figures}
                    for one in row.measured
                ]
                for row in self.rows
            },
        }


def read_measured(fitted: Path, tested: Path) -> Measured:
    """Read what a training and its test left in their run folders.

    Raises:
        DataError: A file of the runs is missing.
    """
    try:
        training = json.loads((fitted / "figures.json").read_text())
        test = json.loads((tested / "figures.json").read_text())
        counts = json.loads((fitted / "statistics.json").read_text())["class_pixels"]
    except (OSError, KeyError) as error:
        raise DataError(f"The runs '{fitted}' and '{tested}' are not complete ({error}).") from error
    matrix_file = tested / "confusion_test.csv"
    matrix = _read_matrix(matrix_file) if matrix_file.is_file() else None
    figures = {
        key.removeprefix("test/"): value
        for key, value in test["figures"].items()
        if key.startswith("test/") and key.count("/") == 1
    }
    return Measured(figures, training["parameters"], training["seconds"], tuple(counts), matrix)


def trivial_row(first: Row) -> list[Row]:
    """What always answering with the training's most frequent class would have; nothing for quantities."""
    measured = []
    for one in first.measured:
        if one.matrix is None or len(one.matrix) != len(one.train_pixels):
            return []
        counts = np.array(one.matrix)
        answers = np.zeros_like(counts)
        answers[:, int(np.argmax(one.train_pixels))] = counts.sum(axis=1)
        scores = score(answers, [str(number) for number in range(len(counts))])
        found = {
            "oa": scores.overall_accuracy,
            "mean_f1": scores.mean_f1,
            "miou": scores.mean_iou,
            "kappa": scores.kappa,
        }
        if "change_f1" in one.figures:
            found["change_f1"] = scores.classes[1].f1
        figures = {name: value for name, value in found.items() if value is not None}
        measured.append(Measured(figures, 0, 0.0, one.train_pixels, one.matrix))
    return [Row("most frequent class", measured)]


def _read_matrix(path: Path) -> tuple[tuple[int, ...], ...]:
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    return tuple(tuple(int(value) for value in line[1:]) for line in lines[1:])


def _seconds(row: Row) -> str:
    return f"{statistics.fmean(one.seconds for one in row.measured):.0f}"


def _cell(interval: tuple[float, float, float] | None, repeats: int, *, bold: bool) -> str:
    if interval is None:
        return "undefined"
    mean, low, high = interval
    text = f"**{mean:.3f}**" if bold else f"{mean:.3f}"
    return f"{text} ({low:.3f}-{high:.3f})" if repeats > 1 else text
