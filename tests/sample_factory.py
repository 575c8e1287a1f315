"""Samples of maps, filled as an interpreter would, or spoilt as one might."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from eoseg.evaluate.design import SampleSize
from eoseg.evaluate.sampling import Drawn, draw_sample
from eoseg.recipe import parse_classes

LAND = parse_classes({"forest": "#1B5E20", "clearing": "#D55E00", "water": "#0072B2"})
"""Classes of the maps, whose label values are 0, 1 and 2."""


def land(*, height: int = 120, width: int = 150, wrong: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """What is on the ground, and a map of it with errors and a strip without class."""
    generator = np.random.default_rng(0)
    coarse = generator.choice(3, (height // 10, width // 10), p=(0.7, 0.2, 0.1))
    truth = np.kron(coarse, np.ones((10, 10), int)).astype(np.uint8)
    other = generator.integers(0, 3, truth.shape)
    mapped = np.where(generator.random(truth.shape) < wrong, other, truth).astype(np.uint8)
    mapped[:6] = 255
    return truth, mapped


def draw(map_path: Path, out: Path, *, points: int = 150, **options: object) -> Drawn:
    """A sample of a map."""
    return draw_sample(map_path, out, size=SampleSize(points=points), **options)  # type: ignore[arg-type]


def answers_of(drawn: Drawn, truth: np.ndarray) -> list[str]:
    """What an interpreter who is always right would answer."""
    return [LAND[truth[row, col]].name for row, col, _ in drawn.design.points]


def fill(path: Path, answers: Sequence[str | None]) -> None:
    """Write the answers in the order of the points' numbers."""
    change(
        path,
        *(
            f"UPDATE points SET reference = {'NULL' if text is None else repr(text)} WHERE id = {number}"
            for number, text in enumerate(answers, start=1)
        ),
    )


def change(path: Path, *statements: str) -> None:
    """Change the file by SQL. Its triggers need functions of a GIS, and are dropped."""
    with closing(sqlite3.connect(path)) as database, database:
        named = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in named:
            database.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            database.execute(statement)
